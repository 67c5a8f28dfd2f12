import {
  cometPushAnswerSchema,
  internalRecordSchema,
  parseJson,
  subjects,
  type RecordOf,
} from '@flexpush/contracts';
import { connectBus, ensureStreams, openOptionStore, type OptionStore } from '@flexpush/nats-bus';
import { createLogger, Operations, readConfig, serviceModule, type ServiceParts } from '@flexpush/process';
import { CometClient, startTestNats, type TestNats } from '@flexpush/testkit';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { buildChatApi } from '../chat-api';
import { configSchema } from '../config';

const SHARDS = 2;
const CALLER_ID = 'chat-api-1-abc';
const POLLS_MAX = 500;

let nats: TestNats;
let bus: Awaited<ReturnType<typeof connectBus>>;
let options: OptionStore;
let parts: ServiceParts;
let app: NestFastifyApplication;
let url: string;
let created: RecordOf<'session.create'> | undefined;

/** chat-api as it runs, over a real NATS; the sessions are played. */
beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'test' });
  await ensureStreams(bus, { shardCount: SHARDS, replicas: 1, logBytesMax: 2 ** 26, logAgeMaxMs: 3_600_000 });
  options = await openOptionStore(bus);
  bus.subscribe('flexpush.log.*.int', (message) => {
    for (const content of [parseJson(message.text())].flat()) {
      const record = internalRecordSchema.parse(content);
      if (record.type === 'session.create') created = record;
      if (!('replyTo' in record) || record.replyTo === undefined) continue;
      const reply = { outcome: 'ok', chatEnded: false, monitored: false, nextPosition: 1 };
      const answer = { id: record.id, alias: '204', reply, messages: [], more: false };
      bus.publish(subjects.reply(record.replyTo), JSON.stringify({ v: 1, replies: [answer] }));
    }
  });
  await bus.flush();
  const nodeId = 'chat-api-1';
  const config = readConfig(configSchema, {
    FLEXPUSH_KEY_SECRET: 'a secret of forty characters, for tests.',
    FLEXPUSH_NATS_URL: nats.url,
  });
  const log = createLogger({ service: 'chat-api', nodeId, level: 'fatal' });
  const operations = new Operations({ service: 'chat-api', nodeId });
  parts = await buildChatApi({ config, log, operations, nodeId, incarnation: 'abc' });
  app = await NestFactory.create<NestFastifyApplication>(
    serviceModule(parts, operations),
    parts.adapter ?? new FastifyAdapter(),
    { logger: false, abortOnError: false },
  );
  await parts.configure?.(app);
  await app.listen(0, '127.0.0.1');
  await parts.start?.();
  url = `${await app.getUrl()}/genesys/cometd`;
  await polled(() => operations.readiness().ready);
});
afterAll(async () => {
  options.close();
  await bus.close();
  await nats.stop();
});

/** What is watched has no event that is seen from outside. */
async function polled(isMet: () => boolean | Promise<boolean>): Promise<void> {
  for (let polls = 0; polls < POLLS_MAX; polls++) {
    if (await isMet()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not become so');
}

const request = (payload: unknown) =>
  bus.request(subjects.comet(CALLER_ID), typeof payload === 'string' ? payload : JSON.stringify(payload), {
    timeoutMs: 500,
  });

async function push(push: object): Promise<string> {
  const answer = await request({ v: 1, alias: '204', chatEnded: false, ...push });
  if (answer.kind !== 'answer') throw new Error(answer.kind);
  return cometPushAnswerSchema.parse(JSON.parse(answer.text)).status;
}

describe('CometD over a real NATS', () => {
  it('goes by the option bucket, takes notifications on its subject, and ends with the process', async () => {
    const client = new CometClient('websocket', url);
    expect((await client.handshake()).successful).toBe(false);
    await options.set('chat', 'enable_notification_mode', 'true');
    await polled(async () => (await client.handshake()).successful === true);

    const { chatId: sessionId, userId } = await client.operate('requestChat', { nickname: 'Mira' });
    const [callerId, clientId] = created?.address?.split('/') ?? [];
    expect(callerId).toBe(CALLER_ID);
    const event = {
      from: { nickname: 'Mira', participantId: 1, type: 'Client' },
      index: 1,
      type: 'ParticipantJoined',
      utcTime: 1_790_000_000_000,
    };
    expect(await push({ clientId, sessionId, userId, event })).toBe('taken');
    await client.until('the event', () => client.indexes().includes(1));
    expect(await push({ clientId: 'nobody', sessionId, userId, event })).toBe('gone');
    expect(await push({ clientId, sessionId: 'another', userId, event })).toBe('gone');
    expect((await request('nonsense')).kind).toBe('timeout');
    expect(await push({ clientId, sessionId, userId })).toBe('taken');

    for (const step of parts.stop) await step.run();
    await app.close();
    expect((await request({})).kind).toBe('no-responders');
    await client.disconnect();
  });
});
