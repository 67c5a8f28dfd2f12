import {
  parseJson,
  callRepliesSchema,
  dispatchSchema,
  LOG_STREAM,
  shardOf,
  subjects,
  termAnnouncementSchema,
  type CallReply,
  type GmsView,
  type InternalRecord,
  type PushJob,
} from '@flexpush/contracts';
import { connectBus, ensureStreams, LeaseStore, LogAppender, type NatsBus } from '@flexpush/nats-bus';
import { connectRedis, keys, StateStore, type RedisConnection } from '@flexpush/redis-store';
import { startTestNats, startTestRedis, type TestNats, type TestRedis } from '@flexpush/testkit';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The built service, as it is run; `npx tsc --build` makes it. */
const ENTRY = join(__dirname, '..', 'dist', 'main.js');
const SHARDS = 8;
const BEAT_MS = 100;
const KEY_HASH = 'a1'.repeat(32);
/** The machine may be busy with other tests; nothing here measures time below it. */
const PATIENCE_MS = 40_000;

interface Line {
  msg: string;
  [field: string]: unknown;
}

/** A session-actor in a process of its own. */
class ActorProcess {
  readonly lines: Line[] = [];
  stderr = '';
  url = '';
  readonly exited: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(nodeId: string, env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [ENTRY], {
      env: {
        PATH: process.env['PATH'],
        FLEXPUSH_NODE_ID: nodeId,
        FLEXPUSH_NATS_URL: nats.url,
        FLEXPUSH_REDIS_URL: redisServer.socketPath,
        FLEXPUSH_SHARDS: String(SHARDS),
        FLEXPUSH_HEARTBEAT_INTERVAL_MS: String(BEAT_MS),
        FLEXPUSH_DEAD_AFTER_MS: '1000',
        FLEXPUSH_SETTLE_DEADLINE_MS: '2000',
        FLEXPUSH_LOG_LEVEL: 'debug',
        FLEXPUSH_EXIT_WITH_PARENT: '1',
        ...env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    if (this.child.stdout) createInterface(this.child.stdout).on('line', (line) => this.hear(line));
    started.push(this);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  facts(fact: string): Line[] {
    return this.lines.filter(({ msg }) => msg === fact);
  }

  async readiness(): Promise<{ status: number; body: string }> {
    const response = await fetch(`${this.url}/readyz`);
    return { status: response.status, body: await response.text() };
  }

  async ready(): Promise<this> {
    await until(
      `${this.stderr} ready`,
      async () => this.url !== '' && (await this.readiness()).status === 200,
    );
    return this;
  }

  private hear(text: string): void {
    const line = parseJson(text) as Line | undefined;
    if (!line) return;
    this.lines.push(line);
    if (line.msg === 'service.started') this.url = String(line['url']);
  }
}

let nats: TestNats;
let redisServer: TestRedis;
let bus: NatsBus;
let redis: RedisConnection;
let store: StateStore;
let leases: LeaseStore;
let appender: LogAppender;
const started: ActorProcess[] = [];

/** The GMS node that this file plays, with the registry that shows it. */
const desk = {
  isBusy: false,
  terms: new Map<number, number>(),
  accepted: [] as { actorId: string; shard: number; term: number; job: PushJob }[],
  refused: [] as { actorId: string; shard: number; term: number }[],
};
const replies: CallReply[] = [];
const VIEW: GmsView = {
  v: 1,
  registryId: 'spec',
  atMs: 0,
  settled: true,
  nodes: [
    {
      nodeId: 'gms-a' as GmsView['nodes'][number]['nodeId'],
      incarnation: '1',
      group: 'alpha',
      types: ['customhttp'],
      queued: 0,
      inFlight: 0,
      capacity: 1,
      state: 'ready',
      status: 'alive',
    },
  ],
};

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endAtMs = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > endAtMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function noteTerm(shard: number, term: number): number {
  const highest = Math.max(term, desk.terms.get(shard) ?? 0);
  desk.terms.set(shard, highest);
  return highest;
}

function answerDispatch(text: string): object {
  if (desk.isBusy) return { status: 'busy', retryAfterMs: 50 };
  const { actorId, shards } = dispatchSchema.parse(parseJson(text));
  const oldTerms: [number, number][] = [];
  for (const { shard, term, jobs } of shards) {
    const highest = noteTerm(shard, term);
    if (highest > term) {
      oldTerms.push([shard, highest]);
      desk.refused.push({ actorId, shard, term });
    } else for (const job of jobs) desk.accepted.push({ actorId, shard, term, job });
  }
  return { status: 'accepted', oldTerms };
}

beforeAll(async () => {
  if (!existsSync(ENTRY)) throw new Error(`${ENTRY} is missing: run npx tsc --build`);
  [nats, redisServer] = await Promise.all([startTestNats({ shards: SHARDS }), startTestRedis()]);
  bus = await connectBus({ url: nats.url, name: 'spec' });
  redis = connectRedis({ url: redisServer.socketPath });
  store = new StateStore(redis);
  appender = new LogAppender(bus);
  bus.subscribe(subjects.registryView, (message) => message.respond(JSON.stringify(VIEW)));
  bus.subscribe(subjects.gmsPush('gms-a'), (message) =>
    message.respond(JSON.stringify(answerDispatch(message.text()))),
  );
  bus.subscribe(subjects.gmsTerm, (message) => {
    const { shard, term } = termAnnouncementSchema.parse(parseJson(message.text()));
    noteTerm(shard, term);
  });
  bus.subscribe(subjects.reply('spec'), (message) =>
    replies.push(...callRepliesSchema.parse(parseJson(message.text())).replies),
  );
  // The streams and buckets are made by the first session-actor; the options of the tests come first in each log.
  await new ActorProcess('first').ready();
  leases = await LeaseStore.open(bus);
  for (let shard = 0; shard < SHARDS; shard++)
    await append(shard, {
      v: 1,
      type: 'options.changed',
      revision: 1,
      values: { 'settings/flex-push-on-join': 'true', 'push/pushEnabled': 'customhttp' },
    });
}, 60_000);

afterEach(async () => {
  desk.isBusy = false;
  for (const one of started.splice(0)) {
    one.signal('SIGCONT');
    one.signal('SIGTERM');
    await one.exited;
  }
}, 60_000);

afterAll(async () => {
  await bus?.close();
  redis?.disconnect();
  await Promise.all([nats?.stop(), redisServer?.stop()]);
});

/** The client of this file may still be reconnecting; a record that was stored twice is folded once. */
async function append(shard: number, record: InternalRecord): Promise<void> {
  await until(record.type, async () => (await appender.append(shard, record)).kind === 'appended');
}

let lastId = 0;
const envelope = (sessionId: string) => ({ v: 1, id: `r-${++lastId}`, sessionId });

/** A chat of Mira's, with an agent, as chat-api and an agent's program make it. */
async function startChat(sessionId: string): Promise<void> {
  await append(shardOf(sessionId, SHARDS), {
    ...envelope(sessionId),
    type: 'session.create',
    service: 'support',
    userId: 'mira',
    secureKey: 'secret-key',
    keyHash: KEY_HASH,
    obfuscatedKey: 'opaque',
    nickname: 'Mira',
    userData: {},
    subscription: {
      deviceId: 'd',
      deviceType: 'customhttp',
      notifyRequestor: false,
      resend: true,
      debug: false,
    },
    replyTo: 'spec',
  } as unknown as InternalRecord);
  say(sessionId, { type: 'participant.join', userId: 'jonas', nickname: 'Jonas', participantType: 'Agent' });
}

function say(sessionId: string, record: object): void {
  bus.publish(subjects.event(sessionId), JSON.stringify({ ...envelope(sessionId), ...record }));
}

function message(sessionId: string, text: string): void {
  say(sessionId, { type: 'message.send', userId: 'jonas', text });
}

async function owner(shard: number): Promise<string | undefined> {
  return (await leases.read(shard)).lease?.owner;
}

async function transcript(sessionId: string): Promise<(string | undefined)[]> {
  const events = await store.loadTranscript(shardOf(sessionId, SHARDS), sessionId, { first: 1, last: 50 });
  return events.flatMap((json) => (json === null ? [] : [(JSON.parse(json) as { text?: string }).text]));
}

/** A session whose shard this node owns. */
async function sessionOf(nodeId: string, name: string): Promise<string> {
  for (let i = 0; ; i++) {
    const sessionId = `${name}-${i}`;
    if ((await owner(shardOf(sessionId, SHARDS))) === nodeId) return sessionId;
  }
}

/** A way to Redis that can be cut without either end being told, as by a firewall that forgets its connections. */
async function blackHole(): Promise<{ url: string; swallow(swallows: boolean): void; close(): void }> {
  let swallows = false;
  const sockets = new Set<Socket>();
  const server = createServer((from) => {
    const to = connect(redisServer.socketPath);
    for (const [near, far] of [
      [from, to],
      [to, from],
    ] as const) {
      sockets.add(near);
      near.on('data', (chunk) => !swallows && far.write(chunk));
      near.on('error', () => undefined);
      near.on('close', () => far.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    swallow: (on) => {
      swallows = on;
      // What was swallowed is missing in the stream for good.
      if (!on) for (const socket of sockets) socket.destroy();
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function twoNodes(envOfA: Record<string, string> = {}): Promise<[ActorProcess, ActorProcess]> {
  const both: [ActorProcess, ActorProcess] = [new ActorProcess('node-a', envOfA), new ActorProcess('node-b')];
  await Promise.all(both.map((one) => one.ready()));
  await until('shared shards', async () => {
    const owners = await Promise.all(Array.from({ length: SHARDS }, (_, shard) => owner(shard)));
    return new Set(owners).size === 2 && !owners.includes(undefined);
  });
  return both;
}

/** The term of the batch that a shard's checkpoint names. */
async function committedBy(shard: number): Promise<string | undefined> {
  return (await store.checkpoints([shard]))[0]?.split('|').at(-1);
}

const accepted = (sessionId: string) => desk.accepted.filter(({ job }) => job.sessionId === sessionId);

describe('session-actor as a process', () => {
  it('folds, answers and dispatches; two of them share the shards', async () => {
    const [a] = await twoNodes();
    const sessionId = await sessionOf('node-a', 'plain');
    await startChat(sessionId);
    await until('a dispatch', () => accepted(sessionId).length === 1);
    expect(accepted(sessionId)).toMatchObject([
      { actorId: 'node-a', job: { id: `${sessionId}:mira:1`, position: 1, attempt: 0 } },
    ]);
    await until('a reply', () => replies.some(({ reply }) => reply.outcome === 'ok'));
    const metrics = await (await fetch(`${a.url}/metrics`)).text();
    expect(metrics).toMatch(/flexpush_actor_records_folded_total\{[^}]*\} [1-9]/);
    // Secrets stay out of the log (I10).
    expect(JSON.stringify(a.lines)).not.toContain('secret-key');
  }, 60_000);

  it('SIGKILL of one: the other takes over and dispatches what was committed', async () => {
    const [a, b] = await twoNodes();
    const sessionId = await sessionOf('node-a', 'killed');
    const shard = shardOf(sessionId, SHARDS);
    const { term } = await leases.read(shard);
    desk.isBusy = true;
    await startChat(sessionId);
    await until('a committed trigger', async () => (await redis.hlen(keys.outbox(shard))) > 0);
    a.signal('SIGKILL');
    await a.exited;
    message(sessionId, 'while nobody was there');
    desk.isBusy = false;
    await until('a dispatch', () => accepted(sessionId).length > 0);
    await until('the message', async () => (await transcript(sessionId)).includes('while nobody was there'));
    for (const one of accepted(sessionId)) {
      expect(one.actorId).toBe('node-b');
      expect(one.term).toBeGreaterThan(term);
    }
    expect(b.facts('shard.taken-over').map(({ shard: taken }) => taken)).toContain(shard);
  }, 60_000);

  it('SIGSTOP of one: the zombie commits nothing under its old term, nor does it push', async () => {
    const [a, b] = await twoNodes();
    const sessionId = await sessionOf('node-a', 'zombie');
    const shard = shardOf(sessionId, SHARDS);
    await startChat(sessionId);
    await until('a dispatch', () => accepted(sessionId).length > 0);
    const zombieBatch = (await committedBy(shard))?.split('.').slice(0, -1).join('.');
    const { term } = await leases.read(shard);
    a.signal('SIGSTOP');
    message(sessionId, 'one');
    await until('the takeover', async () => (await transcript(sessionId)).includes('one'));
    const dispatched = accepted(sessionId).length;
    a.signal('SIGCONT');
    for (let i = 0; i < 20; i++) message(sessionId, `text ${i}`);
    await until('all messages', async () => (await transcript(sessionId)).length === 23);
    await until(
      'the zombie knows',
      () => a.facts('shard.deposed').length > 0 || a.facts('shard.ended').length > 0,
    );
    expect(await transcript(sessionId)).toEqual([
      undefined,
      undefined,
      'one',
      ...Array.from({ length: 20 }, (_, i) => `text ${i}`),
    ]);
    expect((await committedBy(shard))?.startsWith(`${zombieBatch}.`)).toBe(false);
    for (const one of accepted(sessionId).slice(dispatched)) expect(one.term).toBeGreaterThan(term);
    // It gets its shards back, by taking them anew.
    await until('the old placement', async () => (await owner(shard)) === 'node-a');
    expect((await leases.read(shard)).term).toBeGreaterThan(term);
    await Promise.all([a.ready(), b.ready()]);
  }, 60_000);

  it('one that beats and does not fold, because Redis never answers it, loses its shards to the other', async () => {
    const wayOfA = await blackHole();
    try {
      const [a, b] = await twoNodes({ FLEXPUSH_REDIS_URL: wayOfA.url });
      const sessionId = await sessionOf('node-a', 'swallowed');
      const shard = shardOf(sessionId, SHARDS);
      await startChat(sessionId);
      await until('a dispatch', () => accepted(sessionId).length > 0);
      const { term } = await leases.read(shard);
      wayOfA.swallow(true);
      message(sessionId, 'one');
      await until('the takeover', async () => (await transcript(sessionId)).includes('one'));
      expect(b.facts('shard.taken-from-stuck-owner')).toMatchObject([{ shard, from: 'node-a' }]);
      // It was not taken for dead: it beats, and keeps the shards that have nothing to do.
      expect(b.facts('shard.taken-over')).toEqual([]);
      await until('a push by the other', () =>
        accepted(sessionId).some(({ actorId }) => actorId === 'node-b'),
      );
      for (const one of accepted(sessionId).filter(({ actorId }) => actorId === 'node-b'))
        expect(one.term).toBeGreaterThan(term);
      await until('readiness of the stuck one', async () =>
        (await a.readiness()).body.includes('shards lost for lack of progress'),
      );
      expect((await a.readiness()).status).toBe(503);
      wayOfA.swallow(false);
      message(sessionId, 'two');
      await until('the next message', async () => (await transcript(sessionId)).includes('two'));
      // It is well again, and does not come back for the shard at once.
      await until(
        'that it sees again',
        async () => !(await a.readiness()).body.includes('not answered promptly'),
      );
      expect([await owner(shard), await transcript(sessionId)]).toEqual([
        'node-b',
        [undefined, undefined, 'one', 'two'],
      ]);
    } finally {
      wayOfA.close();
    }
  }, 120_000);

  it('a timer that Redis has lost is found, told of, and put back', async () => {
    const only = await new ActorProcess('node-a').ready();
    const sessionId = 'lost-timer';
    const shard = shardOf(sessionId, SHARDS);
    const member = `resend:${sessionId}:mira`;
    await startChat(sessionId);
    await until('a timer', async () => (await redis.zscore(keys.timers(shard), member)) !== null);
    const dueAt = await redis.zscore(keys.timers(shard), member);
    await redis.zrem(keys.timers(shard), member);
    await until('the timer', async () => (await redis.zscore(keys.timers(shard), member)) === dueAt);
    await until('a warning', async () => (await only.readiness()).body.includes('"audit":"shard'));
    expect((await only.readiness()).status).toBe(200);
    expect(only.facts('timers.restored')).toMatchObject([{ shard, count: 1, members: [member] }]);
    const metrics = await (await fetch(`${only.url}/metrics`)).text();
    expect(metrics).toMatch(/flexpush_actor_timers_restored_total\{[^}]*\} 1\n/);
    // The shard goes on behind it.
    message(sessionId, 'after');
    await until('the message', async () => (await transcript(sessionId)).includes('after'));
    expect(only.facts('shard.deposed')).toEqual([]);
  }, 60_000);

  it('SIGTERM releases at once: nobody has to find out', async () => {
    const [a, b] = await twoNodes();
    const sessionId = await sessionOf('node-a', 'leaving');
    await startChat(sessionId);
    await until('a dispatch', () => accepted(sessionId).length > 0);
    a.signal('SIGTERM');
    expect(await a.exited).toBe(0);
    for (let shard = 0; shard < SHARDS; shard++) expect(await owner(shard)).not.toBe('node-a');
    message(sessionId, 'to the next owner');
    await until('the message', async () => (await transcript(sessionId)).includes('to the next owner'));
    expect(b.facts('shard.taken-over')).toEqual([]);
    const steps = a.facts('service.stop-step').map(({ step, outcome }) => [step, outcome]);
    expect(steps.every(([, outcome]) => outcome === 'done')).toBe(true);
    expect(steps[0]?.[0]).toBe('release shards');
  }, 60_000);

  it('Redis loses everything: the state is folded again from the log (I8)', async () => {
    const only = await new ActorProcess('node-a').ready();
    const sessionId = 'wiped';
    await startChat(sessionId);
    message(sessionId, 'before');
    await until('the message', async () => (await transcript(sessionId)).includes('before'));
    await redis.flushall();
    await until('the rebuild', async () => (await transcript(sessionId)).includes('before'));
    message(sessionId, 'after');
    await until('the next message', async () => (await transcript(sessionId)).includes('after'));
    expect(await transcript(sessionId)).toEqual([undefined, undefined, 'before', 'after']);
    expect(only.facts('shard.deposed').map(({ reason }) => reason)).toContain('checkpoint-differs');
    await only.ready();
  }, 60_000);

  it('the log is deleted and made anew: chats go on, and no new record is passed over', async () => {
    const only = await new ActorProcess('node-a').ready();
    const sessionId = 'recreated';
    await startChat(sessionId);
    message(sessionId, 'before');
    await until('the message', async () => (await transcript(sessionId)).includes('before'));
    const streams = (await bus.connection.jetstreamManager()).streams;
    await streams.delete(LOG_STREAM);
    await ensureStreams(bus, { shardCount: SHARDS, replicas: 1, logBytesMax: 64e6, logAgeMaxMs: 3_600_000 });
    message(sessionId, 'after');
    await until('the next message', async () => (await transcript(sessionId)).includes('after'));
    expect(await transcript(sessionId)).toEqual([undefined, undefined, 'before', 'after']);
    expect(only.facts('log.recreated')).not.toEqual([]);
    await only.ready();
    // Shards without a new record find their place as well, and keep it: more looks depose none a second time.
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    const deposed = only.facts('shard.deposed').map(({ shard }) => shard);
    expect(deposed).toEqual([...new Set(deposed)]);
  }, 60_000);

  it('is not ready without NATS, and is again by itself', async () => {
    const only = await new ActorProcess('node-a').ready();
    await nats.server.stop();
    await until('not ready', async () => (await only.readiness()).status === 503);
    expect((await only.readiness()).body).toContain('"nats":"not connected"');
    await nats.server.start();
    await only.ready();
    const sessionId = 'after-nats';
    await startChat(sessionId);
    await until('a dispatch', () => accepted(sessionId).length > 0);
  }, 60_000);

  it('ends with every problem of its configuration at once', async () => {
    const wrong = new ActorProcess('node-a', {
      FLEXPUSH_SHARDS: '-1',
      FLEXPUSH_ALIAS: 'x',
      FLEXPUSH_HTTP_PORT: '-2',
    });
    expect(await wrong.exited).toBe(78);
    expect(wrong.stderr).toContain('3 problem(s)');
    for (const name of ['FLEXPUSH_SHARDS', 'FLEXPUSH_ALIAS', 'FLEXPUSH_HTTP_PORT'])
      expect(wrong.stderr).toContain(name);
  }, 60_000);

  it('refuses another shard count than the cluster has, and says which', async () => {
    const wrong = new ActorProcess('node-a', { FLEXPUSH_SHARDS: '16' });
    expect(await wrong.exited).toBe(1);
    expect(JSON.stringify(wrong.facts('process.crashed'))).toContain('this cluster has 8 shards');
  }, 60_000);
});
