import { TokenFetchError, TokenSource, type AccessToken, type TokenAnswer } from './token-source';

class Bench {
  nowMs = 1_000_000;
  fetches: { resolve: (token: AccessToken) => void; reject: (error: Error) => void }[] = [];
  readonly failures: { code: string; retryInMs: number }[] = [];
  readonly source = new TokenSource({
    fetch: () => new Promise((resolve, reject) => this.fetches.push({ resolve, reject })),
    nowMs: () => this.nowMs,
    onFailure: (failure) => this.failures.push(failure),
  });

  take(): { answer?: TokenAnswer } {
    const taken: { answer?: TokenAnswer } = {};
    this.source.take((answer) => (taken.answer = answer));
    return taken;
  }

  async fetched(token: string, lifetimeMs = 3_600_000): Promise<void> {
    this.fetches.shift()?.resolve({ token, expiresAtMs: this.nowMs + lifetimeMs });
    await Promise.resolve();
  }

  async failed(code: string): Promise<void> {
    this.fetches.shift()?.reject(new TokenFetchError(code));
    await Promise.resolve();
  }
}

const token = (text: string) => ({ answer: { kind: 'token', token: text } });
const failed = (code: string) => ({ answer: { kind: 'failed', code } });

it('T1: all who wait get the answer of one fetch', async () => {
  const bench = new Bench();
  const takers = [bench.take(), bench.take(), bench.take()];
  expect(bench.fetches).toHaveLength(1);
  expect(takers[0]).toEqual({});
  await bench.fetched('a');
  expect(takers).toEqual([token('a'), token('a'), token('a')]);
  expect(bench.take()).toEqual(token('a'));
  expect(bench.fetches).toHaveLength(0);
});

it('T2: renews in the background before the end, and uses the old one meanwhile, also when that fails', async () => {
  const bench = new Bench();
  bench.take();
  await bench.fetched('a');
  bench.nowMs += 3_600_000 - 299_000;
  expect(bench.take()).toEqual(token('a'));
  expect(bench.take()).toEqual(token('a'));
  expect(bench.fetches).toHaveLength(1);
  await bench.failed('http-503');
  expect(bench.take()).toEqual(token('a'));
  bench.nowMs += 1_000;
  bench.take();
  await bench.fetched('b');
  expect(bench.take()).toEqual(token('b'));
});

it('never uses a token that ends in a moment', async () => {
  const bench = new Bench();
  bench.take();
  await bench.fetched('a', 9_000);
  const late = bench.take();
  expect(late).toEqual({});
  await bench.fetched('b');
  expect(late).toEqual(token('b'));
});

it('T3: after failures it waits twice as long each time, and tells the failure to who asks', async () => {
  const bench = new Bench();
  for (const retryInMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    const first = bench.take();
    await bench.failed('invalid_grant');
    expect(first).toEqual(failed('invalid_grant'));
    expect(bench.failures.at(-1)).toEqual({ code: 'invalid_grant', retryInMs });
    bench.nowMs += retryInMs - 1;
    expect(bench.take()).toEqual(failed('invalid_grant'));
    expect(bench.fetches).toHaveLength(0);
    bench.nowMs += 1;
  }
  bench.take();
  await bench.fetched('a');
  expect(bench.take()).toEqual(token('a'));
});

it('a fresh token that is refused is not replaced at once: a refusing server would get a fetch per push', async () => {
  const bench = new Bench();
  bench.take();
  await bench.fetched('a');
  bench.source.refuse('a');
  expect(bench.take()).toEqual(failed('token-refused'));
  bench.nowMs += 1_000;
  bench.take();
  await bench.fetched('b');
  bench.source.refuse('a');
  expect(bench.take()).toEqual(token('b'));
  bench.source.refuse('b');
  expect(bench.failures.map(({ retryInMs }) => retryInMs)).toEqual([1_000, 2_000]);
});

it('an older token that is refused is replaced at once', async () => {
  const bench = new Bench();
  bench.take();
  await bench.fetched('a');
  bench.nowMs += 1_000_000;
  bench.source.refuse('a');
  bench.take();
  await bench.fetched('b');
  expect(bench.take()).toEqual(token('b'));
});
