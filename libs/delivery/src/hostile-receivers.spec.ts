import {
  optionKey,
  sessionIdSchema,
  userIdSchema,
  type OptionValues,
  type PushJob,
} from '@flexpush/contracts';
import { startReceiver, watchUncaught, type Receiver } from '@flexpush/testkit';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { customhttpProvider } from './customhttp-provider';
import { Delivery } from './delivery';
import type { DeliveryJob } from './delivery-job';
import { openHttpChannel } from './http-channel';

const CONNECTIONS_MAX = 4;
const EXCHANGE_TIMEOUT_MS = 30_000;
const PROBE_AFTER_MS = 1_000;
const FAILURES_MAX = 3;
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

/** What a receiver does with a connection on which a POST has come. */
type Behaviour = (socket: Socket) => void;

/** Writes the same again and again, as fast as it is taken, until the connection ends. */
function endlessly(first: string, part: string): Behaviour {
  return (socket) => {
    socket.write(first);
    const write = () => {
      while (!socket.destroyed && socket.write(part));
      if (!socket.destroyed) socket.once('drain', write);
    };
    write();
  };
}

/** A server without any manners: it behaves as the test says at the moment. */
class RawReceiver {
  behave: Behaviour = (socket) => socket.write(OK);
  posts = 0;
  /** Most connections that stood at once; those that the other side has closed are seen a moment longer. */
  connectionsMost = 0;
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  private port = 0;
  private onPost: () => void = () => undefined;

  get url(): string {
    return `http://127.0.0.1:${this.port}/push`;
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => this.take(socket));
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (!this.server) return;
    this.server.close();
    await once(this.server, 'close');
    this.server = undefined;
  }

  async arrivals(count: number): Promise<void> {
    while (this.posts < count) await new Promise<void>((resolve) => (this.onPost = resolve));
  }

  private take(socket: Socket): void {
    this.sockets.add(socket);
    this.connectionsMost = Math.max(this.connectionsMost, this.sockets.size);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      if (!chunk.includes('POST ')) return;
      this.posts += 1;
      this.behave(socket);
      this.onPost();
    });
  }
}

/** A delivery over real connections, whose clock the test moves. */
class Bench {
  nowMs = 0;
  readonly results = new Map<string, string>();
  private onResult: () => void = () => undefined;
  readonly delivery = new Delivery(
    {
      nowMs: () => this.nowMs,
      openChannel: (origin) =>
        openHttpChannel(
          { origin },
          {
            connectionsMax: CONNECTIONS_MAX,
            connectTimeoutMs: 10_000,
            // Never reached: what lasts too long is ended by the sweep, and so by the clock of the test.
            answerTimeoutMs: 600_000,
            exchangeTimeoutMs: EXCHANGE_TIMEOUT_MS,
            nowMs: () => this.nowMs,
          },
        ),
      isDeposed: () => false,
      settled: ({ job }, { outcome, reason }) => {
        this.results.set(job.id, reason === undefined ? outcome : `${outcome} ${reason}`);
        this.onResult();
      },
      log: {
        isLevelEnabled: () => false,
        debug: () => undefined,
        info: () => undefined,
        warn: () => undefined,
      },
      providers: [customhttpProvider],
    },
    {
      queueMax: 10_000,
      connectionsMax: CONNECTIONS_MAX,
      destinationsMax: 16,
      deadTimeoutMs: 10 * EXCHANGE_TIMEOUT_MS,
      rememberedMax: 1_000,
      breakerFailuresMax: FAILURES_MAX,
      breakerProbeAfterMs: PROBE_AFTER_MS,
    },
  );

  async settled(ids: readonly string[]): Promise<string[]> {
    while (!ids.every((id) => this.results.has(id)))
      await new Promise<void>((resolve) => (this.onResult = resolve));
    return ids.map((id) => this.results.get(id) ?? '');
  }

  /** Each job is of a subscription of its own. */
  offer(provider: string, count: number, prefix: string): string[] {
    const jobs = Array.from({ length: count }, (_, i) => job(provider, `${prefix}-${i}`, this.nowMs));
    expect(this.delivery.offer(jobs)).toBe('accepted');
    return jobs.map(({ job: { id } }) => id);
  }

  breaker(url: string): string | undefined {
    const { origin } = new URL(url);
    return this.delivery.destinationStates().find((one) => one.origin === origin)?.breaker;
  }
}

function job(provider: string, session: string, receivedAtMs: number): DeliveryJob {
  const push = {
    id: `${session}:U:1`,
    n: 1,
    sessionId: sessionIdSchema.parse(session),
    userId: userIdSchema.parse('U'),
    service: 'chat',
    deviceType: 'customhttp',
    deviceId: session,
    provider,
    debug: false,
    obfuscatedKey: 'key',
    chatEnded: false,
    atMs: 0,
    kind: 'trigger',
    attempt: 0,
    position: 1,
    content: [],
  } satisfies PushJob;
  return { job: push, alias: '1', actorId: 'actor-1', shard: 3, term: 5, receivedAtMs };
}

const enabled = { [optionKey('push', 'pushEnabled')]: 'customhttp' };
let bad: RawReceiver;
let healthy: Receiver;
let bench: Bench;
let uncaught: ReturnType<typeof watchUncaught>;

beforeEach(async () => {
  uncaught = watchUncaught();
  bad = new RawReceiver();
  [healthy] = await Promise.all([startReceiver(), bad.listen()]);
  bench = new Bench();
  bench.delivery.useOptions({
    ...enabled,
    [optionKey('push.provider.bad', 'customhttp.url')]: bad.url,
    [optionKey('push.provider.healthy', 'customhttp.url')]: `${healthy.url}/push`,
  } satisfies OptionValues);
});

afterEach(async () => {
  await bench.delivery.close();
  await Promise.all([healthy.close(), bad.close()]);
  await uncaught.none();
  uncaught.stop();
});

const silence: Behaviour = () => undefined;

interface Kind {
  name: string;
  behave: Behaviour;
  /** Each POST holds its connection until the sweep ends it. */
  holds?: true;
  result: string | RegExp;
}

/** The destination cannot be reached: the breaker opens. */
const unreachable: Kind[] = [
  { name: 'resets', behave: (socket) => socket.resetAndDestroy(), result: /^failed connection-/ },
  { name: 'closes without an answer', behave: (socket) => socket.end(), result: /^failed connection-/ },
  { name: 'never answers (30 s)', behave: silence, holds: true, result: 'failed timeout' },
  {
    name: 'stops in the middle of the head',
    behave: (socket) => socket.write('HTTP/1.1 200 OK\r\nx-half: '),
    holds: true,
    result: 'failed timeout',
  },
  {
    name: 'promises an answer for ever',
    behave: (socket) => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(3)),
    holds: true,
    result: 'failed timeout',
  },
  {
    name: 'sends a head without end',
    behave: endlessly('HTTP/1.1 200 OK\r\n', `x-more: ${'x'.repeat(1_000)}\r\n`),
    result: /^failed connection-/,
  },
  {
    name: 'answers rubbish',
    behave: (socket) => socket.write('\0\xff{"not":"http"}\r\n\r\n', 'latin1'),
    result: /^failed connection-/,
  },
  {
    name: 'answers another protocol',
    behave: (socket) => socket.write('220 mail.example.org ESMTP\r\n'),
    result: /^failed connection-/,
  },
  {
    name: 'contradicts itself on the length',
    behave: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n'),
    result: /^failed connection-/,
  },
];

/** The destination has answered, whatever it says: the status is the result, and the breaker stays closed. */
const answering: Kind[] = [
  {
    name: 'answers 500',
    behave: (socket) => socket.write('HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n'),
    result: 'failed http-500',
  },
  {
    name: 'redirects to itself',
    behave: (socket) => socket.write('HTTP/1.1 307 Again\r\nlocation: /push\r\ncontent-length: 0\r\n\r\n'),
    result: 'failed http-307',
  },
  {
    name: 'sends a body without end',
    behave: endlessly('HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(65_536)),
    result: 'delivered',
  },
  {
    name: 'stops in the middle of the body',
    behave: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart'),
    holds: true,
    result: 'delivered',
  },
  {
    name: 'answers and closes',
    behave: (socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
    result: 'delivered',
  },
];

const match = (result: string | RegExp) =>
  result instanceof RegExp ? expect.stringMatching(result) : result;

/** Half of the bad jobs, the healthy ones, the other half; the healthy ones are all delivered while the clock stands. */
async function othersAreNotDelayed(kind: Kind): Promise<string[]> {
  bad.behave = kind.behave;
  const ids = bench.offer('bad', 10, 'bad');
  const good = bench.offer('healthy', 20, 'good');
  ids.push(...bench.offer('bad', 10, 'worse'));
  expect(new Set(await bench.settled(good))).toEqual(new Set(['delivered']));
  expect(healthy.posts).toHaveLength(20);
  if (kind.holds) {
    // Nothing but the destination's own permits is held.
    await bad.arrivals(CONNECTIONS_MAX);
    expect(bench.delivery.inFlight).toBe(CONNECTIONS_MAX);
    expect(bad.posts).toBe(CONNECTIONS_MAX);
  }
  return ids;
}

const BREAKER_OPEN = 'failed destination-unreachable';

async function someTurns(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/** Ends what holds, as time would, until all are settled. */
async function endExchanges(kind: Kind, ids: readonly string[]): Promise<string[]> {
  while (kind.holds && ids.some((id) => !bench.results.has(id))) {
    const posted = ids.filter((id) => (bench.results.get(id) ?? BREAKER_OPEN) !== BREAKER_OPEN);
    await bad.arrivals(posted.length + bench.delivery.inFlight);
    // What the receiver has written by now lies in the sockets, and is read before the clock moves.
    await someTurns();
    bench.nowMs += EXCHANGE_TIMEOUT_MS;
    bench.delivery.sweep(bench.nowMs);
    await someTurns();
  }
  return bench.settled(ids);
}

async function recoversWithinOneProbe(kind?: Kind): Promise<void> {
  bad.behave = (socket) => socket.write(OK);
  const before = bad.posts;
  // Over the end of the held ones the time of the probe has come.
  if (!kind?.holds) {
    const refused = bench.offer('bad', 2, 'early');
    expect(await bench.settled(refused)).toEqual(Array(2).fill(BREAKER_OPEN));
    expect(bad.posts).toBe(before);
  }
  bench.nowMs += PROBE_AFTER_MS;
  const [probe = ''] = bench.offer('bad', 1, 'probe');
  const meanwhile = bench.offer('bad', 1, 'meanwhile');
  expect(await bench.settled([probe, ...meanwhile])).toEqual(['delivered', BREAKER_OPEN]);
  expect(bad.posts).toBe(before + 1);
  expect(bench.breaker(bad.url)).toBe('closed');
  const after = bench.offer('bad', 10, 'after');
  expect(new Set(await bench.settled(after))).toEqual(new Set(['delivered']));
}

describe('a receiver that cannot be reached delays nobody else; one probe brings it back', () => {
  it.each(unreachable)('$name', async (kind) => {
    const ids = await othersAreNotDelayed(kind);
    const results = await endExchanges(kind, ids);
    // Every trigger is settled, so that its schedule goes on (I4).
    for (const result of results) expect([match(kind.result), BREAKER_OPEN]).toContainEqual(result);
    expect(results).toContainEqual(match(kind.result));
    expect(bad.posts).toBeLessThan(ids.length);
    expect(bad.connectionsMost).toBeLessThanOrEqual(2 * CONNECTIONS_MAX);
    expect(bench.breaker(bad.url)).toBe('open');
    await recoversWithinOneProbe(kind);
  });

  it('is down, and up again', async () => {
    await bad.close();
    const ids = await othersAreNotDelayed({ name: 'down', behave: silence, result: '' });
    const results = await bench.settled(ids);
    expect(results.slice(0, FAILURES_MAX)).toEqual(
      Array(FAILURES_MAX).fill('failed connection-ECONNREFUSED'),
    );
    expect(bench.breaker(bad.url)).toBe('open');
    await bad.listen();
    await recoversWithinOneProbe();
  });
});

describe('a receiver that answers badly delays nobody else, and is not given up', () => {
  it.each(answering)('$name', async (kind) => {
    const ids = await othersAreNotDelayed(kind);
    const results = await endExchanges(kind, ids);
    expect(results).toEqual(ids.map(() => match(kind.result)));
    expect(bad.posts).toBe(ids.length);
    expect(bad.connectionsMost).toBeLessThanOrEqual(2 * CONNECTIONS_MAX);
    expect(bench.breaker(bad.url)).toBe('closed');
  });

  it('keeps no more than a bounded part of an answer without end', async () => {
    let sent = 0;
    bad.behave = (socket) => {
      const part = 'x'.repeat(65_536);
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const write = () => {
        while (!socket.destroyed && socket.write(part)) sent += part.length;
        if (!socket.destroyed) socket.once('drain', write);
      };
      write();
    };
    await bench.settled(bench.offer('bad', CONNECTIONS_MAX, 'bad'));
    // What the sockets of both sides hold, and no more: the rest was never asked for.
    expect(sent).toBeLessThan(CONNECTIONS_MAX * 16_000_000);
  });
});

describe('a kept connection that the receiver closes', () => {
  it('is not written to when its end has come before the POST starts', async () => {
    const closes = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      `const { createServer } = require('node:net');
       const { parentPort, workerData } = require('node:worker_threads');
       let first;
       const server = createServer((socket) => {
         first ??= socket;
         socket.on('error', () => {});
         socket.on('data', () => socket.write(${JSON.stringify(OK)}));
       });
       server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
       parentPort.on('message', () => {
         first.on('close', () => { Atomics.store(workerData, 0, 1); Atomics.notify(workerData, 0); });
         first.destroy();
       });`,
      { eval: true, workerData: closes },
    );
    const [port] = (await once(worker, 'message')) as [number];
    const url = `http://127.0.0.1:${port}/push`;
    bench.delivery.useOptions({ ...enabled, [optionKey('push.provider.bad', 'customhttp.url')]: url });
    expect(await bench.settled(bench.offer('bad', 1, 'first'))).toEqual(['delivered']);
    // This thread sleeps until the close has been sent: it is in the socket, and nobody has looked yet.
    worker.postMessage('close');
    Atomics.wait(closes, 0, 0);
    expect(await bench.settled(bench.offer('bad', 1, 'second'))).toEqual(['delivered']);
    await worker.terminate();
  });

  it('is not written to when the receiver closes it right behind each answer', async () => {
    bad.behave = (socket) => socket.end(OK);
    const ids = bench.offer('bad', 10 * CONNECTIONS_MAX, 'one');
    expect(new Set(await bench.settled(ids))).toEqual(new Set(['delivered']));
    expect(bad.posts).toBe(ids.length);
  });

  it('loses the POST that crosses its end: nobody can tell whether it was taken, so it is not repeated', async () => {
    let answered = 0;
    bad.behave = (socket) => (answered++ === 0 ? socket.write(OK) : socket.destroy());
    expect(await bench.settled(bench.offer('bad', 1, 'first'))).toEqual(['delivered']);
    const [result] = await bench.settled(bench.offer('bad', 1, 'second'));
    expect(result).toMatch(/^failed connection-/);
    expect(bad.posts).toBe(2);
  });
});
