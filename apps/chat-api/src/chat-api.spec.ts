import {
  parseJson,
  internalRecordSchema,
  LOG_STREAM,
  shardOf,
  subjects,
  type CallReply,
  type ChatEvent,
} from '@flexpush/contracts';
import { connectBus, ensureStreams } from '@flexpush/nats-bus';
import { createLogger, Operations, readConfig, serviceModule, type ServiceParts } from '@flexpush/process';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { buildChatApi } from './chat-api';
import { CALLS_PER_PARTICIPANT_MAX } from './chat-service';
import { configSchema } from './config';
import type { CallRecord } from '@flexpush/actor-runtime';

const SECRET = 'a secret of forty characters, for tests.';
const SHARDS = 8;
const SERVICE = '/genesys/2/chat/support-web';
const CHAT = `${SERVICE}/00021bBKRTX9M01C`;
const creds = { userId: '00A1653C92D4000F', secureKey: '5be07d19c2f8a4360e77', alias: '204' };
const READY_POLLS_MAX = 1_000;

type OpenBus = Awaited<ReturnType<typeof connectBus>>;

interface Replica {
  app: NestFastifyApplication;
  parts: ServiceParts;
  operations: Operations;
  stop: () => Promise<void>;
}

/** chat-api as it runs, over a real NATS. */
async function startReplica(
  natsUrl: string,
  nodeId: string,
  env: Record<string, string> = {},
): Promise<Replica> {
  const config = readConfig(configSchema, {
    FLEXPUSH_KEY_SECRET: SECRET,
    FLEXPUSH_NATS_URL: natsUrl,
    FLEXPUSH_REPLY_RETRY_MS: '100',
    FLEXPUSH_REQUEST_TIMEOUT_MS: '2000',
    ...env,
  });
  const log = createLogger({ service: 'chat-api', nodeId, level: 'fatal' });
  const operations = new Operations({ service: 'chat-api', nodeId });
  const parts = await buildChatApi({ config, log, operations, nodeId, incarnation: 'abc' });
  const app = await NestFactory.create<NestFastifyApplication>(
    serviceModule(parts, operations),
    parts.adapter ?? new FastifyAdapter(),
    {
      logger: false,
      abortOnError: false,
    },
  );
  await parts.configure?.(app);
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  await parts.start?.();
  let stopped: Promise<void> | undefined;
  const runStop = async () => {
    for (const step of parts.stop) await step.run();
    await app.close();
  };
  return { app, parts, operations, stop: () => (stopped ??= runStop()) };
}

/** Connecting has no event of its own that is seen from outside: readiness is asked for, as an orchestrator does. */
async function untilReady({ operations }: Replica): Promise<void> {
  for (let polls = 0; polls < READY_POLLS_MAX; polls++) {
    if (operations.readiness().ready) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not ready: ${JSON.stringify(operations.readiness())}`);
}

async function post(replica: Replica, path: string, fields: Record<string, string>, headers = {}) {
  const response = await replica.app.inject({
    method: 'POST',
    url: path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: new URLSearchParams(fields).toString(),
  });
  return { status: response.statusCode, body: response.json() as Record<string, unknown> };
}

/** Plays the session-actor: sees every record of the log, and answers as the test says. */
class PlayedActor {
  readonly records: CallRecord[] = [];
  readonly subjects: string[] = [];
  answer: (record: CallRecord, seen: number) => Partial<CallReply>[][] = () => [[{}]];
  onRecord: (record: CallRecord) => void = () => undefined;

  private readonly subscription: { stop(): void };

  constructor(private readonly bus: OpenBus) {
    this.subscription = bus.subscribe('flexpush.log.*.int', (message) => {
      const content = parseJson(message.text());
      for (const record of (Array.isArray(content) ? content : [content]) as CallRecord[]) {
        this.records.push(internalRecordSchema.parse(record) as CallRecord);
        this.subjects.push(message.subject);
        const seen = this.records.filter(({ id }) => id === record.id).length;
        for (const replies of this.answer(record, seen)) this.reply(record, replies);
        this.onRecord(record);
      }
    });
  }

  reply(record: CallRecord, replies: Partial<CallReply>[]): void {
    const whole = replies.map((one) => ({
      id: record.id,
      alias: '204',
      reply: { outcome: 'ok', chatEnded: false, monitored: false, nextPosition: 1 },
      messages: [],
      more: false,
      ...one,
    }));
    this.bus.publish(subjects.reply(record.replyTo ?? ''), JSON.stringify({ v: 1, replies: whole }));
  }

  stop(): void {
    this.subscription.stop();
  }

  next(): Promise<CallRecord> {
    return new Promise((resolve) => (this.onRecord = resolve));
  }
}

function event(index: number): ChatEvent {
  return {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    index,
    type: 'Message',
    messageType: 'text',
    text: `message ${index}`,
    utcTime: 1_790_000_015_000,
  };
}

let nats: TestNats;
let bus: OpenBus;
let actor: PlayedActor;
let replica: Replica;

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'spec' });
  replica = await startReplica(nats.url, 'chat-api-1');
  // Before the cluster has its shard count nobody can be served, and the probes say so.
  expect(replica.operations.readiness()).toMatchObject({ ready: false });
  expect(await post(replica, SERVICE, { nickname: 'Mira' })).toMatchObject({
    status: 503,
    body: { statusCode: 1 },
  });
  await ensureStreams(bus, {
    shardCount: SHARDS,
    replicas: 1,
    logBytesMax: 64 << 20,
    logAgeMaxMs: 3_600_000,
  });
  await untilReady(replica);
});

afterAll(async () => {
  await replica.stop();
  await bus.close();
  await nats.stop();
});

beforeEach(async () => {
  actor = new PlayedActor(bus);
  await bus.flush();
});

afterEach(() => actor.stop());

describe('chat-api over NATS', () => {
  it('writes a chat request to the log of its shard and answers with the reply', async () => {
    const { status, body } = await post(replica, SERVICE, { nickname: 'Mira' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ statusCode: 0, alias: '204', nextPosition: 1, messages: [] });
    expect(actor.records).toHaveLength(1);
    expect(actor.records[0]).toMatchObject({ type: 'session.create', sessionId: body['chatId'] });
    expect(actor.subjects[0]).toBe(subjects.logInternal(shardOf(body['chatId'] as string, SHARDS)));
  });

  it('when the reply is lost, the same record is appended again and stored again', async () => {
    actor.answer = (_record, seen) => (seen === 1 ? [] : [[{}]]);
    const { body } = await post(replica, `${CHAT}/send`, { ...creds, message: 'once' });
    expect(body).toMatchObject({ statusCode: 0 });
    expect(actor.records).toHaveLength(2);
    expect(actor.records[1]).toEqual(actor.records[0]);
    // De-duplication by Nats-Msg-Id would have kept the second one out of the log.
    const jsm = await bus.connection.jetstreamManager();
    const stored = await jsm.streams.getMessage(LOG_STREAM, { last_by_subj: actor.subjects[1] ?? '' });
    const before = await jsm.streams.getMessage(LOG_STREAM, { seq: stored.seq - 1 });
    expect(stored.string()).toBe(before.string());
    expect([stored, before].map(({ header }) => header.get('Nats-Msg-Id'))).toEqual(['', '']);
  });

  it('puts a reply of several parts together, also when one of them is lost', async () => {
    const reply = { outcome: 'ok' as const, chatEnded: false, monitored: false, nextPosition: 4 };
    const parts = [1, 2, 3].map((index) => [{ reply, messages: [event(index)], more: index < 3 }]);
    actor.answer = (_record, seen) => (seen === 1 ? parts.filter((_, i) => i !== 1) : parts);
    const { body } = await post(replica, `${CHAT}/refresh`, { ...creds, transcriptPosition: '1' });
    expect(body).toMatchObject({ statusCode: 0, nextPosition: 4, messages: [event(1), event(2), event(3)] });
    expect(actor.records).toHaveLength(2);
  });

  it('without any reply invites to try again', async () => {
    const hasty = await startReplica(nats.url, 'chat-api-hasty', {
      FLEXPUSH_REPLY_RETRY_MS: '50',
      FLEXPUSH_REQUEST_TIMEOUT_MS: '200',
    });
    await untilReady(hasty);
    actor.answer = () => [];
    expect(await post(hasty, `${CHAT}/refresh`, creds)).toMatchObject({
      status: 200,
      body: {
        statusCode: 1,
        chatEnded: false,
        chatId: '00021bBKRTX9M01C',
        messages: [],
        errors: [{ code: 249 }],
      },
    });
    expect(new Set(actor.records.map(({ id }) => id)).size).toBe(1);
    expect(actor.records.length).toBeGreaterThan(1);
    await hasty.stop();
  });

  it('with an Idempotency-Key a repeat through another replica is the identical record and answer', async () => {
    const other = await startReplica(nats.url, 'chat-api-2');
    await untilReady(other);
    const headers = { 'idempotency-key': 'd3b07384d113edec49eaa6238ad5ff00' };
    const fields = { nickname: 'Mira', 'userData[GCTI_Chat_PushSubscribe]': 'true' };
    const first = await post(replica, SERVICE, fields, headers);
    const second = await post(other, SERVICE, fields, headers);
    expect(second).toEqual(first);
    const [written, repeated] = actor.records.map(({ replyTo: _replyTo, ...record }) => record);
    expect(repeated).toEqual(written);
    expect(actor.records[1]?.replyTo).not.toBe(actor.records[0]?.replyTo);
    await other.stop();
  });

  it('many requests at once each get their own reply', async () => {
    actor.answer = (record) => [[{ alias: record.userId }]];
    const users = Array.from({ length: 300 }, (_, i) => `user-${i}`);
    const answers = await Promise.all(
      users.map((userId) => post(replica, `${CHAT}/refresh`, { ...creds, userId })),
    );
    expect(answers.map(({ body }) => body['alias'])).toEqual(users);
  });

  it('one participant keeps no more than its share under way, and others go on', async () => {
    actor.answer = (record) => (record.userId === creds.userId ? [] : [[{ alias: record.userId }]]);
    const asked = Array.from({ length: CALLS_PER_PARTICIPANT_MAX + 3 }, () =>
      post(replica, `${CHAT}/refresh`, creds),
    );
    const refused = await Promise.race(asked);
    expect(refused).toMatchObject({ status: 503, body: { statusCode: 1, errors: [{ code: 503 }] } });
    const other = await post(replica, `${CHAT}/refresh`, { ...creds, userId: 'other' });
    expect(other.body).toMatchObject({ statusCode: 0, alias: 'other' });
    actor.answer = () => [[{}]];
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 503)).toHaveLength(3);
    expect(await post(replica, `${CHAT}/refresh`, creds)).toMatchObject({ status: 200 });
  });

  it('stopping finishes what is in flight, takes nothing more, and leaves NATS', async () => {
    const leaving = await startReplica(nats.url, 'chat-api-leaving', { FLEXPUSH_REPLY_RETRY_MS: '1900' });
    await untilReady(leaving);
    actor.answer = () => [];
    const arrived = actor.next();
    const inFlight = post(leaving, `${CHAT}/refresh`, creds);
    const record = await arrived;
    const stopped = leaving.stop();
    expect(await post(leaving, `${CHAT}/refresh`, creds)).toMatchObject({
      status: 503,
      body: { statusCode: 1 },
    });
    actor.reply(record, [{}]);
    expect(await inFlight).toMatchObject({ status: 200, body: { statusCode: 0 } });
    await stopped;
    expect(leaving.operations.readiness()).toMatchObject({ ready: false, checks: { nats: 'not connected' } });
  });
});

describe('chat-api with a full log', () => {
  it('invites to try again, because a full log refuses and never forgets', async () => {
    const small = await startTestNats();
    const smallBus = await connectBus({ url: small.url, name: 'spec' });
    await ensureStreams(smallBus, { shardCount: 1, replicas: 1, logBytesMax: 512, logAgeMaxMs: 3_600_000 });
    const full = await startReplica(small.url, 'chat-api-full');
    await untilReady(full);
    expect(await post(full, `${CHAT}/send`, { ...creds, message: 'm'.repeat(1_000) })).toMatchObject({
      status: 200,
      body: { statusCode: 1, chatEnded: false, errors: [{ code: 249 }] },
    });
    await full.stop();
    await smallBus.close();
    await small.stop();
  });
});

describe('chat-api whose NATS dies', () => {
  it('answers what is in flight within its time, and a repeat is the same record', async () => {
    const mortal = await startTestNats();
    const itsBus = await connectBus({ url: mortal.url, name: 'spec' });
    await ensureStreams(itsBus, {
      shardCount: 8,
      replicas: 1,
      logBytesMax: 64 << 20,
      logAgeMaxMs: 3_600_000,
    });
    const itsReplica = await startReplica(mortal.url, 'chat-api-mortal');
    await untilReady(itsReplica);
    const itsActor = new PlayedActor(itsBus);
    await itsBus.flush();
    itsActor.answer = () => [];
    const headers = { 'idempotency-key': 'a41cf7b0c1d94f0c9f3e1d2c3b4a5968' };
    const fields = { ...creds, message: 'hello' };
    const stored = itsActor.next();
    const inFlight = post(itsReplica, `${CHAT}/send`, fields, headers);
    const record = await stored;
    await mortal.server.kill();
    // Asked while it is away: not stored at all.
    const whileAway = post(itsReplica, `${CHAT}/refresh`, creds);
    for (const answer of await Promise.all([inFlight, whileAway]))
      expect(answer).toMatchObject({ status: 200, body: { statusCode: 1, errors: [{ code: 249 }] } });
    await mortal.server.start();
    await untilReady(itsReplica);
    itsActor.answer = () => [[{}]];
    let repeated = await post(itsReplica, `${CHAT}/send`, fields, headers);
    for (let tries = 0; repeated.body['statusCode'] !== 0 && tries < 10; tries++)
      repeated = await post(itsReplica, `${CHAT}/send`, fields, headers);
    expect(repeated.body).toMatchObject({ statusCode: 0 });
    // The fold knows it by its id, however often it stands in the log.
    const sends = itsActor.records.filter(({ type }) => type === 'request.send');
    expect(sends.length).toBeGreaterThan(1);
    expect(new Set(sends.map(({ id }) => id))).toEqual(new Set([record.id]));
    itsActor.stop();
    await itsReplica.stop();
    await itsBus.close();
    await mortal.stop();
  }, 60_000);
});
