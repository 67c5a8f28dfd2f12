import { LOG_STREAM, shardOf, subjects, userIdSchema, type UserId } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { EventPublisher, type ChatEventInput } from './event-publisher';
import { ensureStreams } from './streams';

const SESSION = 'session-1';
const MESSAGE = {
  type: 'message.send' as const,
  sessionId: SESSION,
  userId: userIdSchema.parse('agent'),
  text: 'Grüße',
};

describe('EventPublisher', () => {
  let nats: TestNats;
  let bus: NatsBus;
  let publisher: EventPublisher;

  beforeAll(async () => {
    nats = await startTestNats();
    bus = await connectBus({ url: nats.url, name: 'test' });
    const waiting = EventPublisher.connect({ url: nats.url });
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e7, logAgeMaxMs: 3_600_000 });
    publisher = await waiting;
  });
  afterAll(async () => {
    await publisher.close();
    await bus.close();
    await nats.stop();
  });

  async function storedAt(seq: number): Promise<{ subject: string; record: unknown }> {
    const jsm = await bus.connection.jetstreamManager();
    const message = await jsm.streams.getMessage(LOG_STREAM, { seq });
    return { subject: message.subject, record: message.json() };
  }

  it('stores an event on the public subject of its shard, with an id of its own', async () => {
    const result = await publisher.publish(MESSAGE);
    if (result.kind !== 'stored') throw new Error(JSON.stringify(result));
    expect(result.duplicate).toBe(false);
    expect(await storedAt(result.seq)).toEqual({
      subject: subjects.logPublic(shardOf(SESSION, 64)),
      record: { v: 1, id: result.id, ...MESSAGE },
    });
  });

  it('tells a repeat by its id and does not store it again', async () => {
    const first = await publisher.publish({ ...MESSAGE, id: 'once' });
    const again = await publisher.publish({ ...MESSAGE, id: 'once' });
    expect(first).toMatchObject({ kind: 'stored', id: 'once', duplicate: false });
    expect(again).toEqual({ ...first, duplicate: true });
  });

  it('recognizes a repeat that came through the mapping of the server', async () => {
    const js = bus.connection.jetstream();
    const record = JSON.stringify({ v: 1, id: 'mapped', ...MESSAGE });
    const ack = await js.publish(subjects.event(SESSION), record, { msgID: 'mapped' });
    const repeat = await js.publish(subjects.event(SESSION), record, { msgID: 'mapped' });
    expect([ack.duplicate, repeat.duplicate, repeat.seq]).toEqual([false, true, ack.seq]);
    expect(await publisher.publish({ ...MESSAGE, id: 'mapped' })).toEqual({
      kind: 'stored',
      id: 'mapped',
      seq: ack.seq,
      index: 0,
      duplicate: true,
    });
  });

  it('lets events that wait travel together, each with its place in the message', async () => {
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, n) => publisher.publish({ ...MESSAGE, id: `pack-${n}` })),
    );
    const places = results.map((result) => {
      if (result.kind !== 'stored') throw new Error(JSON.stringify(result));
      return result;
    });
    expect(new Set(places.map(({ seq }) => seq)).size).toBe(2);
    for (const { seq, index, id } of places) {
      const { record } = await storedAt(seq);
      expect([record].flat()[index]).toMatchObject({ id });
    }
    // In the order of the calls.
    expect(places.map(({ id }) => id)).toEqual(places.map((_, n) => `pack-${n}`));
    expect(places.map(({ seq }) => seq)).toEqual(places.map(({ seq }) => seq).sort((a, b) => a - b));
  });

  it.each([
    {
      name: 'a session id that is no token',
      event: { ...MESSAGE, sessionId: 'a.b' },
      problem: /^sessionId: /,
    },
    { name: 'an unknown type', event: { ...MESSAGE, type: 'message.shout' }, problem: /^type: / },
    { name: 'a text that is too long', event: { ...MESSAGE, text: 'x'.repeat(16_385) }, problem: /^text: / },
    { name: 'a field too many', event: { ...MESSAGE, secureKey: 'abc' }, problem: /secureKey/ },
    { name: 'an internal record', event: { ...MESSAGE, type: 'timers.fired' }, problem: /^type: / },
  ])('refuses $name before it reaches the log', async ({ event, problem }) => {
    const before = (await (await bus.connection.jetstreamManager()).streams.info(LOG_STREAM)).state.last_seq;
    const result = await publisher.publish(event as ChatEventInput);
    if (result.kind !== 'invalid') throw new Error(JSON.stringify(result));
    expect(result.problems.join('\n')).toMatch(problem);
    const after = (await (await bus.connection.jetstreamManager()).streams.info(LOG_STREAM)).state.last_seq;
    expect(after).toBe(before);
  });

  it('names every problem at once', async () => {
    const result = await publisher.publish({
      type: 'url.push',
      sessionId: '',
      userId: '' as UserId,
      url: '',
    });
    if (result.kind !== 'invalid') throw new Error(JSON.stringify(result));
    expect(result.problems.map((problem) => problem.split(':')[0]).sort()).toEqual([
      'sessionId',
      'url',
      'userId',
    ]);
  });

  it('is refused with the reason when the log is away, and may be tried again', async () => {
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.delete(LOG_STREAM);
    expect(await publisher.publish({ ...MESSAGE, id: 'later' })).toEqual({
      kind: 'refused',
      id: 'later',
      reason: 'log-away',
    });
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e7, logAgeMaxMs: 3_600_000 });
    expect(await publisher.publish({ ...MESSAGE, id: 'later' })).toMatchObject({ kind: 'stored' });
  });

  it('ends while the server is away, and stores the same id once it is back', async () => {
    const during = Array.from({ length: 300 }, (_, n) => publisher.publish({ ...MESSAGE, id: `storm-${n}` }));
    await nats.server.kill();
    const outcomes = await Promise.all(during);
    expect(outcomes.filter(({ kind }) => kind === 'invalid')).toEqual([]);
    const startedAtMs = performance.now();
    const result = await publisher.publish({ ...MESSAGE, id: 'in an outage' });
    expect(result).toMatchObject({ kind: 'refused', id: 'in an outage', reason: 'timeout' });
    expect(performance.now() - startedAtMs).toBeLessThan(6_000);
    await nats.server.start();
    let again = await publisher.publish({ ...MESSAGE, id: 'in an outage' });
    for (let tries = 0; again.kind === 'refused' && tries < 10; tries++)
      again = await publisher.publish({ ...MESSAGE, id: 'in an outage' });
    expect(again).toMatchObject({ kind: 'stored', id: 'in an outage' });
  }, 60_000);
});

describe('EventPublisher.connect', () => {
  it('says so when no server answers, without the password of the URL', async () => {
    const url = 'nats://user:secret@127.0.0.1:1';
    const error = await EventPublisher.connect({ url, timeoutMs: 500 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'NOT_THERE',
      message: expect.stringContaining('at nats://127.0.0.1:1: '),
    });
    expect(String(error)).not.toContain('secret');
  });

  it('says so when the server has no flexpush on it, and leaves no connection behind', async () => {
    const nats = await startTestNats();
    await expect(EventPublisher.connect({ url: nats.url, timeoutMs: 500 })).rejects.toMatchObject({
      code: 'NOT_THERE',
      message: expect.stringContaining('no flexpush on it'),
    });
    await nats.stop();
  });
});
