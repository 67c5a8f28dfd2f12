import { type Receiver, startReceiver } from './receiver';

async function post(url: string, body: unknown): Promise<number> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  await response.text();
  return response.status;
}

describe('receiver', () => {
  let receiver: Receiver;
  beforeEach(async () => {
    receiver = await startReceiver();
  });
  afterEach(() => receiver.close());

  it('records posts with path, body and time', async () => {
    const beforeMs = Date.now();
    expect(await post(`${receiver.url}/push`, { a: 1 })).toBe(200);
    expect(receiver.posts).toEqual([expect.objectContaining({ path: '/push', body: { a: 1 } })]);
    expect(receiver.posts[0]?.receivedAtMs).toBeGreaterThanOrEqual(beforeMs);
  });

  it('answers as told', async () => {
    receiver.respondWith(503);
    expect(await post(receiver.url, {})).toBe(503);
  });

  it('finds posts that came before and those that come after the question', async () => {
    const later = receiver.waitFor((candidate) => (candidate.body as { n: number }).n === 2);
    await post(receiver.url, { n: 1 });
    await post(receiver.url, { n: 2 });
    expect((await later).body).toEqual({ n: 2 });
    expect((await receiver.waitFor((candidate) => (candidate.body as { n: number }).n === 1)).body).toEqual({
      n: 1,
    });
    expect(await receiver.waitForCount(2)).toHaveLength(2);
  });

  it('says what it has when nothing fits', async () => {
    await post(receiver.url, { n: 7 });
    await expect(receiver.waitFor(() => false, 1)).rejects.toThrow(/1 recorded.*"n":7/);
  });

  it('leaves held posts unanswered until they are released', async () => {
    receiver.hold();
    let isAnswered = false;
    const answer = post(receiver.url, { n: 1 }).then((status) => {
      isAnswered = true;
      return status;
    });
    await receiver.waitForCount(1);
    expect(isAnswered).toBe(false);
    receiver.release();
    expect(await answer).toBe(200);
  });

  it('refuses connections and accepts them again on the same port', async () => {
    const { url } = receiver;
    await receiver.refuse();
    await expect(post(url, {})).rejects.toThrow();
    await receiver.accept();
    expect(await post(url, {})).toBe(200);
  });
});
