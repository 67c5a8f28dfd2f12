import { BOUNDS, LOG_STREAM, subjects, type InternalRecord } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { LogAppender } from './log-appender';
import { ensureStreams } from './streams';

/** A record that carries a number and, if wanted, weight. */
function record(n: number, padding = ''): InternalRecord {
  return { v: 1, type: 'options.changed', revision: n, values: { padding } };
}

describe('LogAppender', () => {
  let nats: TestNats;
  let bus: NatsBus;
  let appender: LogAppender;
  const LOG_BYTES_MAX = 4_000_000;

  beforeEach(async () => {
    nats = await startTestNats();
    bus = await connectBus({ url: nats.url, name: 'test' });
    await ensureStreams(bus, {
      shardCount: 64,
      replicas: 1,
      logBytesMax: LOG_BYTES_MAX,
      logAgeMaxMs: 3_600_000,
    });
    appender = new LogAppender(bus);
  });
  afterEach(async () => {
    await bus.close();
    await nats.stop();
  });

  /** The messages of one shard as lists of the numbers of their records. */
  async function stored(shard: number): Promise<{ seq: number; revisions: number[]; bytes: number }[]> {
    const jsm = await bus.connection.jetstreamManager();
    const { state } = await jsm.streams.info(LOG_STREAM);
    const found: { seq: number; revisions: number[]; bytes: number }[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await jsm.streams.getMessage(LOG_STREAM, { seq });
      if (message.subject !== subjects.logInternal(shard)) continue;
      const records = [message.json<{ revision: number } | { revision: number }[]>()].flat();
      found.push({ seq, revisions: records.map(({ revision }) => revision), bytes: message.data.length });
    }
    return found;
  }

  const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const appendAll = (shard: number, records: InternalRecord[]) =>
    Promise.all(records.map((one) => appender.append(shard, one)));

  it('stores a single record as it is and tells its sequence', async () => {
    expect(await appender.append(5, record(1))).toEqual({ kind: 'appended', seq: 1 });
    const jsm = await bus.connection.jetstreamManager();
    const message = await jsm.streams.getMessage(LOG_STREAM, { seq: 1 });
    expect(message.subject).toBe('flexpush.log.5.int');
    expect(message.json()).toEqual(record(1));
  });

  it('keeps the order of the calls per shard, and packs what waits', async () => {
    const all = numbers(1, 1_000);
    const results = await Promise.all([
      appendAll(
        1,
        all.map((n) => record(n)),
      ),
      appendAll(
        2,
        all.map((n) => record(-n)),
      ),
    ]);
    for (const shard of [1, 2]) {
      const messages = await stored(shard);
      expect(messages.flatMap(({ revisions }) => revisions)).toEqual(all.map((n) => (shard === 1 ? n : -n)));
      // The first goes out alone, the rest while it is on its way.
      expect(messages[0]?.revisions).toHaveLength(1);
      expect(messages.length).toBeLessThanOrEqual(1 + Math.ceil(999 / BOUNDS.recordsPerMessage));
      const seqs = messages.flatMap(({ seq, revisions }) => revisions.map(() => seq));
      expect(results[shard - 1]).toEqual(seqs.map((seq) => ({ kind: 'appended', seq })));
    }
  });

  it.each([
    { name: 'plain letters', padding: 'x'.repeat(60_000) },
    { name: 'letters of several bytes', padding: 'ü€'.repeat(10_000) },
  ])('keeps a message within its bytes with records of $name', async ({ padding }) => {
    const results = await appendAll(
      3,
      numbers(1, 12).map((n) => record(n, padding)),
    );
    expect(new Set(results.map(({ kind }) => kind))).toEqual(new Set(['appended']));
    const messages = await stored(3);
    expect(messages.flatMap(({ revisions }) => revisions)).toEqual(numbers(1, 12));
    for (const { bytes } of messages) expect(bytes).toBeLessThanOrEqual(BOUNDS.messageBytes);
    expect(messages.some(({ revisions }) => revisions.length > 1)).toBe(true);
  });

  it.each([
    { name: 'plain letters', padding: 'x'.repeat(BOUNDS.recordBytes) },
    { name: 'fewer letters of several bytes', padding: '€'.repeat(BOUNDS.recordBytes / 2) },
  ])('refuses a record that is too large, in $name, for good', async ({ padding }) => {
    expect(await appender.append(3, record(1, padding))).toEqual({
      kind: 'refused',
      reason: 'record-too-large',
      retryable: false,
    });
  });

  it('refuses what waits beyond its bound as busy, and takes records again when the others are stored', async () => {
    const results = numbers(1, 20_500).map((n) => appender.append(4, record(n)));
    const refused = (await Promise.all(results)).filter(({ kind }) => kind === 'refused');
    expect(refused).toHaveLength(500);
    expect(refused[0]).toEqual({ kind: 'refused', reason: 'busy', retryable: true });
    const messages = await stored(4);
    expect(messages.flatMap(({ revisions }) => revisions)).toEqual(numbers(1, 20_000));
    expect(await appender.append(4, record(20_501))).toMatchObject({ kind: 'appended' });
  });

  it('bounds the bytes that wait too', async () => {
    const weight = 'x'.repeat(60_000);
    const results = numbers(1, 1_500).map((n) => appender.append(4, record(n, weight)));
    const reasons = (await Promise.all(results)).map((result) =>
      result.kind === 'refused' ? result.reason : 'appended',
    );
    expect(reasons).toContain('busy');
    await appender.flush();
    // The log is full by now, but nothing waits any more.
    expect(await appender.append(4, record(1, weight))).not.toMatchObject({ reason: 'busy' });
  });

  it('flushes', async () => {
    await appender.flush();
    let settled = 0;
    for (const n of numbers(1, 300)) void appender.append(n % 8, record(n)).then(() => (settled += 1));
    await appender.flush();
    expect(settled).toBe(300);
  });

  it('stores the same record again when asked to', async () => {
    const results = [await appender.append(5, record(1)), await appender.append(5, record(1))];
    expect(results).toEqual([
      { kind: 'appended', seq: 1 },
      { kind: 'appended', seq: 2 },
    ]);
  });

  it('is refused by a full log, which forgets nothing, and says so to each record of a pack', async () => {
    const weight = 'x'.repeat(50_000);
    const results = await appendAll(
      6,
      numbers(1, 120).map((n) => record(n, weight)),
    );
    const refused = results.filter((result) => result.kind === 'refused');
    expect(refused.length).toBeGreaterThan(20);
    for (const result of refused)
      expect(result).toEqual({ kind: 'refused', reason: 'maximum bytes exceeded', retryable: true });
    const kept = (await stored(6)).flatMap(({ revisions }) => revisions);
    expect(kept).toEqual(numbers(1, kept.length));
    expect(kept.length).toBe(120 - refused.length);
  });

  it('is refused when the log is not there, and goes on when it is', async () => {
    const jsm = await bus.connection.jetstreamManager();
    const { config } = await jsm.streams.info(LOG_STREAM);
    await jsm.streams.delete(LOG_STREAM);
    expect(await appender.append(7, record(1))).toEqual({
      kind: 'refused',
      reason: 'log-away',
      retryable: true,
    });
    await jsm.streams.add(config);
    expect(await appender.append(7, record(2))).toMatchObject({ kind: 'appended' });
  });

  it('is refused when its connection is closed', async () => {
    const other = await connectBus({ url: nats.url, name: 'other' });
    await other.close();
    expect(await new LogAppender(other).append(1, record(1))).toMatchObject({
      kind: 'refused',
      retryable: true,
    });
  });

  it('never reorders over a crash of the server; what was acknowledged is there', async () => {
    const acknowledged: number[] = [];
    let appended = 0;
    const appendNext = async (): Promise<void> => {
      appended += 1;
      const n = appended;
      if ((await appender.append(8, record(n))).kind === 'appended') acknowledged.push(n);
    };
    for (let i = 0; i < 200; i++) await appendNext();
    const during = numbers(1, 200).map(() => appendNext());
    await nats.server.kill();
    await nats.server.start();
    await Promise.all(during);
    for (let tries = 0; acknowledged.at(-1) !== appended && tries < 50; tries++) await appendNext();
    const kept = (await stored(8)).flatMap(({ revisions }) => revisions);
    expect(kept).toEqual([...kept].sort((a, b) => a - b));
    expect(new Set(kept).size).toBe(kept.length);
    expect(kept).toEqual(expect.arrayContaining(acknowledged));
  });

  it('lets the server drop a repeat of a message id that came through the mapping', async () => {
    const js = bus.connection.jetstream();
    const first = await js.publish(subjects.event('session-1'), '{}', { msgID: 'm-1' });
    const repeat = await js.publish(subjects.event('session-1'), '{}', { msgID: 'm-1' });
    expect([first.duplicate, repeat.duplicate]).toEqual([false, true]);
    expect(repeat.seq).toBe(first.seq);
  });
});
