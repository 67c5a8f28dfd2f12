import { cpSync, rmSync } from 'node:fs';
import { LOG_STREAM, subjects } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { parseDelivery, type LogMessage, type LogReader, type ReaderEvent } from './log-reader';
import { ShardLog } from './shard-log';
import { ensureStreams } from './streams';

const SHARD = 5;
const QUEUE_MAX = 256;

describe('parseDelivery', () => {
  it.each([
    { name: 'an older server', reply: '$JS.ACK.LOG.consumer.1.4711.42.1763856000123456789.7' },
    {
      name: 'a newer server',
      reply: '$JS.ACK.domain.account.LOG.consumer.1.4711.42.1763856000123456789.7.token',
    },
  ])('reads sequence, delivery and time of $name', ({ reply }) => {
    expect(parseDelivery(reply)).toEqual({ seq: 4711, delivered: 42, atMs: 1_763_856_000_123 });
  });
});

describe('LogReader', () => {
  let nats: TestNats;
  let writer: NatsBus;
  let bus: NatsBus;
  let log: ShardLog;
  let events: ReaderEvent[];
  let onEvent: (event: ReaderEvent) => void;
  const readers: LogReader[] = [];

  beforeEach(async () => {
    nats = await startTestNats();
    [writer, bus] = await Promise.all([
      connectBus({ url: nats.url, name: 'writer' }),
      connectBus({ url: nats.url, name: 'reader' }),
    ]);
    await ensureStreams(writer, { shardCount: 64, replicas: 1, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
    log = await ShardLog.open(bus);
    events = [];
    onEvent = () => undefined;
  });
  afterEach(async () => {
    for (const reader of readers.splice(0)) reader.close();
    await Promise.all([writer.close(), bus.close()]);
    await nats.stop();
  });

  async function open(options: { fromSeq?: number; queueMax?: number } = {}): Promise<LogReader> {
    const reader = await log.read({
      shard: SHARD,
      fromSeq: options.fromSeq ?? 1,
      queueMax: options.queueMax ?? QUEUE_MAX,
      onEvent: (event) => {
        events.push(event);
        onEvent(event);
      },
    });
    readers.push(reader);
    return reader;
  }

  function eventSeen(wanted: ReaderEvent): Promise<void> {
    return new Promise((resolve) => {
      onEvent = (event) => event === wanted && resolve();
    });
  }

  /** Appends numbered messages, in turn to both kinds of subject, with another shard's in between. */
  async function append(from: number, to: number): Promise<void> {
    const js = writer.connection.jetstream();
    for (let at = from; at <= to; at += 500) {
      const acks: Promise<unknown>[] = [];
      for (let i = at; i <= Math.min(to, at + 499); i++) {
        const subject = i % 3 === 0 ? subjects.logPublic(SHARD) : subjects.logInternal(SHARD);
        acks.push(js.publish(subject, String(i), { msgID: `m${i}`, timeout: 10_000 }));
        if (i % 7 === 0) acks.push(js.publish(subjects.logPublic(SHARD + 1), 'other', { timeout: 10_000 }));
      }
      await Promise.all(acks);
    }
  }

  async function read(reader: LogReader, count: number, max = 100): Promise<LogMessage[]> {
    const messages: LogMessage[] = [];
    while (messages.length < count) messages.push(...(await reader.next(max)));
    return messages;
  }

  const textOf = (message: LogMessage) => Buffer.from(message.data).toString();
  const numbers = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

  /** JetStream answers a moment after the server does. */
  async function appendWhenBack(from: number, to: number): Promise<void> {
    for (let attempt = 0; attempt < 40; attempt++) {
      // The ids make a repeat harmless.
      const done = await append(from, to).then(
        () => true,
        () => false,
      );
      if (done) return;
    }
    throw new Error('the log did not come back');
  }

  it('gives ten thousand messages of both subjects in order, without gap, repeat or a stranger', async () => {
    const reader = await open();
    const reading = read(reader, 10_000);
    await append(1, 10_000);
    const messages = await reading;
    expect(messages.map(textOf)).toEqual(numbers(1, 10_000));
    for (let i = 1; i < messages.length; i++)
      expect(messages[i]?.seq).toBeGreaterThan(messages[i - 1]?.seq ?? 0);
    for (const message of messages) expect(message.isPublic).toBe(Number(textOf(message)) % 3 === 0);
    expect(events).toEqual(['opened']);
  });

  it('gives each message the time of its storing', async () => {
    await append(1, 2);
    const jsm = await writer.connection.jetstreamManager();
    const [first] = await read(await open(), 2);
    const stored = await jsm.streams.getMessage(LOG_STREAM, { seq: first?.seq ?? 0 });
    expect(first?.atMs).toBe(stored.time.getTime());
  });

  it('starts where it is told to', async () => {
    await append(1, 50);
    const all = await read(await open(), 50);
    const from = (all[30]?.seq ?? 0) + 1;
    expect((await read(await open({ fromSeq: from }), 19)).map(textOf)).toEqual(numbers(32, 50));
  });

  it('gives at most as many as asked, and waits while there is none', async () => {
    const reader = await open();
    const waiting = reader.next(2);
    await append(1, 5);
    const first = await waiting;
    expect(first.length).toBeGreaterThanOrEqual(1);
    expect(first.length).toBeLessThanOrEqual(2);
    const rest = await read(reader, 5 - first.length, 2);
    expect([...first, ...rest].map(textOf)).toEqual(numbers(1, 5));
  });

  it.each([1, 2, 7, 64])('never holds more than its bound of %d, and still gives all', async (queueMax) => {
    await append(1, 300);
    const reader = await open({ queueMax });
    const messages: LogMessage[] = [];
    while (messages.length < 300) {
      messages.push(...(await reader.next(3)));
      expect(reader.waiting()).toBeLessThanOrEqual(queueMax);
      // What the server has sent by now has arrived behind its answer.
      if (messages.length % 10 < 3) await bus.flush();
      expect(reader.waiting()).toBeLessThanOrEqual(queueMax);
    }
    expect(messages.map(textOf)).toEqual(numbers(1, 300));
  });

  it('goes on when the server has lost its consumer', async () => {
    const reader = await open();
    await append(1, 100);
    const before = await read(reader, 100);
    const jsm = await writer.connection.jetstreamManager();
    for await (const consumer of jsm.consumers.list(LOG_STREAM))
      await jsm.consumers.delete(LOG_STREAM, consumer.name);
    await append(101, 200);
    const after = await read(reader, 100);
    expect([...before, ...after].map(textOf)).toEqual(numbers(1, 200));
  });

  it('goes on when its consumer is lost while its queue is full', async () => {
    await append(1, 1_000);
    const reader = await open({ queueMax: 32 });
    const before = await read(reader, 64, 16);
    const jsm = await writer.connection.jetstreamManager();
    for await (const consumer of jsm.consumers.list(LOG_STREAM))
      await jsm.consumers.delete(LOG_STREAM, consumer.name);
    const after = await read(reader, 1_000 - before.length, 16);
    expect([...before, ...after].map(textOf)).toEqual(numbers(1, 1_000));
  });

  it('goes on after the server was killed, and loses and repeats nothing', async () => {
    const reader = await open();
    await append(1, 500);
    const before = await read(reader, 300);
    const lost = new Promise<void>((resolve) => {
      const watch = async () => {
        for await (const status of bus.connection.status()) if (status.type === 'reconnect') return resolve();
      };
      void watch();
    });
    await nats.server.kill();
    await nats.server.start();
    await lost;
    await appendWhenBack(501, 1_000);
    const after = await read(reader, 1_000 - before.length);
    expect([...before, ...after].map(textOf)).toEqual(numbers(1, 1_000));
  });

  /** What a power cut leaves: the server is stopped, its files are as they were at `copy`. */
  async function goBackTo(copy: string, storeDir: string): Promise<void> {
    rmSync(storeDir, { recursive: true, force: true });
    cpSync(copy, storeDir, { recursive: true });
  }

  it.each([
    { name: 'is shorter', grown: 0 },
    { name: 'has grown to the same length', grown: 10 },
    { name: 'has grown beyond its place', grown: 25 },
  ])('gives nothing more from a log that lost its end and $name (R5)', async ({ grown }) => {
    const copy = `${nats.storeDir}-copy`;
    await append(1, 7);
    await nats.server.stop();
    cpSync(nats.storeDir, copy, { recursive: true });
    await nats.server.start();
    await appendWhenBack(8, 17);
    const reader = await open();
    await read(reader, 17);
    const reported = eventSeen('differs');
    await nats.server.stop();
    await goBackTo(copy, nats.storeDir);
    if (grown > 0) {
      // Before the reader can come back, another server lets the log grow.
      const other = await startTestNats();
      await other.server.stop();
      await goBackTo(nats.storeDir, other.storeDir);
      await other.server.start();
      const publisher = await connectBus({ url: other.url, name: 'publisher' });
      const js = publisher.connection.jetstream();
      for (let i = 0; i < grown; i++) await js.publish(subjects.logInternal(SHARD), `new ${i}`);
      await publisher.close();
      await other.server.stop();
      await goBackTo(other.storeDir, nats.storeDir);
      await other.stop();
    }
    await nats.server.start();
    await reported;
    expect(await reader.next(10)).toEqual([]);
    expect((await read(await open(), 7 + grown)).map(textOf).slice(7)).toEqual(
      Array.from({ length: grown }, (_, i) => `new ${i}`),
    );
  });

  it('gives nothing more from a log that was made anew, however long it is (R5)', async () => {
    await append(1, 10);
    const reader = await open();
    await read(reader, 10);
    const reported = eventSeen('differs');
    await (await writer.connection.jetstreamManager()).streams.delete(LOG_STREAM);
    await ensureStreams(writer, { shardCount: 64, replicas: 1, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
    const js = writer.connection.jetstream();
    for (let i = 0; i < 30; i++) await js.publish(subjects.logInternal(SHARD), `new ${i}`);
    await reported;
    expect(await reader.next(10)).toEqual([]);
  });

  it('goes on when what it read has left by its age', async () => {
    await append(1, 10);
    const reader = await open();
    await read(reader, 10);
    const jsm = await writer.connection.jetstreamManager();
    await jsm.streams.purge(LOG_STREAM);
    for await (const consumer of jsm.consumers.list(LOG_STREAM))
      await jsm.consumers.delete(LOG_STREAM, consumer.name);
    await append(11, 20);
    expect((await read(reader, 10)).map(textOf)).toEqual(numbers(11, 20));
    expect(events).not.toContain('differs');
  });

  it('opens when the server is away, as soon as it is back', async () => {
    await append(1, 10);
    await nats.server.kill();
    const opening = open();
    await nats.server.start();
    expect((await read(await opening, 10)).map(textOf)).toEqual(numbers(1, 10));
  });

  it('reads on while its connection is cut again and again', async () => {
    const reader = await open();
    const reading = read(reader, 3_000);
    for (let round = 0; round < 3; round++) {
      await append(round * 1_000 + 1, (round + 1) * 1_000);
      await bus.connection.reconnect();
    }
    expect((await reading).map(textOf)).toEqual(numbers(1, 3_000));
  });

  it('stays quiet on an idle log, beyond the end of a pull', async () => {
    const reader = await open();
    // Its first request for messages is behind it; the next comes when that one has ended.
    await bus.flush();
    const nextPull = new Promise<void>((resolve) =>
      writer.subscribe('$JS.API.CONSUMER.MSG.NEXT.>', () => resolve()),
    );
    const waiting = reader.next(10);
    await nextPull;
    expect(events).toEqual(['opened']);
    await append(1, 1);
    expect((await waiting).map(textOf)).toEqual(['1']);
  });

  it('takes its own stall for no silence of the server', async () => {
    const reader = await open();
    const waiting = reader.next(10);
    // Meanwhile heartbeats pile up in the socket, behind the timer that looks for silence.
    const stalledUntilMs = performance.now() + 1_900;
    while (performance.now() < stalledUntilMs);
    await bus.flush();
    await append(1, 1);
    expect((await waiting).map(textOf)).toEqual(['1']);
    expect(events).toEqual(['opened']);
  });

  it('begins anew when its request for messages was lost', async () => {
    const publish = bus.connection.publish.bind(bus.connection);
    let lost = 0;
    bus.connection.publish = (subject, ...rest) => {
      if (lost === 0 && subject.startsWith('$JS.API.CONSUMER.MSG.NEXT.')) lost += 1;
      else publish(subject, ...rest);
    };
    const reader = await open();
    await append(1, 10);
    expect((await read(reader, 10)).map(textOf)).toEqual(numbers(1, 10));
    expect(lost).toBe(1);
    expect(events).toEqual(['opened', 'silent']);
  });

  it('is patient with a server that holds its request but is too busy for heartbeats', async () => {
    const subscribe = bus.connection.subscribe.bind(bus.connection);
    bus.connection.subscribe = (subject, options) =>
      subscribe(subject, {
        ...options,
        callback: (error, message) => {
          if (message.headers?.code !== 100) options?.callback?.(error, message);
        },
      });
    const reader = await open();
    const waiting = reader.next(10);
    const asked = new Promise<void>((resolve) =>
      writer.subscribe('$JS.API.CONSUMER.INFO.>', () => resolve()),
    );
    await asked;
    await bus.flush();
    await append(1, 1);
    expect((await waiting).map(textOf)).toEqual(['1']);
    expect(events).toEqual(['opened']);
  });

  it('begins anew at once when the connection was cut', async () => {
    const reader = await open();
    const healed = eventSeen('lost');
    const cutAtMs = performance.now();
    await bus.connection.reconnect();
    await healed;
    await append(1, 1);
    expect((await read(reader, 1)).map(textOf)).toEqual(['1']);
    // Waiting for the silence to be noticed would take longer.
    expect(performance.now() - cutAtMs).toBeLessThan(1_400);
  });

  it('lets a waiting reader go with nothing when nudged, and goes on', async () => {
    const reader = await open();
    const waiting = reader.next(10);
    reader.nudge();
    expect(await waiting).toEqual([]);
    await append(1, 1);
    expect((await read(reader, 1)).map(textOf)).toEqual(['1']);
  });

  it('lets a waiting reader go when closed, and leaves no consumer on the server', async () => {
    const reader = await open();
    const waiting = reader.next(10);
    reader.close();
    expect(await waiting).toEqual([]);
    expect(await reader.next(10)).toEqual([]);
    await bus.flush();
    const info = await (await writer.connection.jetstreamManager()).streams.info(LOG_STREAM);
    expect(info.state.consumer_count).toBe(0);
  });

  it('may be closed while it is being opened or healed', async () => {
    const reader = await open();
    const failed = eventSeen('failed');
    const jsm = await writer.connection.jetstreamManager();
    await jsm.streams.delete(LOG_STREAM);
    await failed;
    reader.close();
    expect(await reader.next(1)).toEqual([]);
  });
});

describe('ShardLog', () => {
  it('tells where the log stands, and the last sequence of a shard', async () => {
    const nats = await startTestNats();
    const bus = await connectBus({ url: nats.url, name: 'test' });
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
    const log = await ShardLog.open(bus);
    expect(await log.state()).toMatchObject({ firstSeq: 0, lastSeq: 0 });
    expect(await log.lastSeqOf(3)).toBe(0);
    const js = bus.connection.jetstream();
    for (const subject of ['flexpush.log.3.int', 'flexpush.log.3.pub', 'flexpush.log.30.pub'])
      await js.publish(subject, '{}');
    expect(await log.lastSeqOf(3)).toBe(2);
    expect(await log.lastSeqOf(30)).toBe(3);
    const { createdAt, lastSeq } = await log.state();
    expect(lastSeq).toBe(3);
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.delete(LOG_STREAM);
    await ensureStreams(bus, { shardCount: 64, replicas: 1, logBytesMax: 1e8, logAgeMaxMs: 3_600_000 });
    expect((await log.state()).createdAt).not.toBe(createdAt);
    await bus.close();
    await nats.stop();
  });
});
