import type { PushJob } from '@flexpush/contracts';
import {
  createApnsProvider,
  createFcmProvider,
  type Channel,
  type HttpPost,
  type Provider,
  type Target,
} from '@flexpush/delivery';
import { createTestAuthority, FcmEndpoint } from '@flexpush/testkit';
import Ajv2020 from 'ajv/dist/2020';
import { generateKeyPairSync } from 'node:crypto';
import { asyncApiDocument } from './asyncapi';
import { mobileChannels } from './mobile-pushes';

const ajv = new Ajv2020({ strict: false });
const event = {
  from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
  index: 3,
  type: 'Message',
  utcTime: 1_790_000_015_000,
};
const job = {
  id: 's:u:1',
  n: 1,
  kind: 'plain',
  sessionId: '00021bBKRTX9M01C',
  userId: 'u',
  service: 'support',
  deviceId: 'tok-44ac',
  debug: false,
  obfuscatedKey: 'opaque',
  chatEnded: false,
  atMs: 1_790_000_015_000,
  event,
} as unknown as PushJob;
const trigger = {
  ...job,
  kind: 'trigger',
  event: undefined,
  attempt: 0,
  position: 3,
  content: [],
} as unknown as PushJob;

/** What arrives at the channel to the service, behind whatever adds to it. */
class Sent implements Channel {
  readonly posts: HttpPost[] = [];
  post(post: HttpPost, done: Parameters<Channel['post']>[1]): void {
    this.posts.push(post);
    done({ kind: 'answered', status: 200 });
  }
  sweep(): void {}
  async close(): Promise<void> {}
}

async function sent<T extends Target>(
  provider: (sent: Sent) => Provider<T>,
  given: { options: Record<string, string>; job: PushJob },
): Promise<{ path: string; headers: Record<string, string>; body: unknown }> {
  const inner = new Sent();
  const made = provider(inner);
  const target = made.target(given.options, { provider: undefined, debug: false });
  if (target.kind === 'no-target') throw new Error(target.reason);
  const channel = made.open?.(target, () => inner) ?? inner;
  const post = made.request(given.job, { alias: '101', target });
  await new Promise<void>((resolve) => channel.post(post, () => resolve()));
  await channel.close();
  const [only] = inner.posts;
  if (!only) throw new Error('nothing was sent');
  const headers: Record<string, string> = {};
  for (let i = 0; i < only.headers.length; i += 2)
    headers[only.headers[i] as string] = only.headers[i + 1] as string;
  return { path: only.path, headers, body: JSON.parse(only.body) as unknown };
}

/** The messages of a channel that a POST is, by its headers and by its body. */
function readAs(name: 'fcm' | 'apns', { headers, body }: { headers: unknown; body: unknown }) {
  const messages = Object.entries(mobileChannels[name].messages);
  return {
    byHeaders: messages.filter(([, m]) => ajv.validate(m.headers, headers)).map(([message]) => message),
    byBody: messages.filter(([, m]) => ajv.validate(m.payload, body)).map(([message]) => message),
  };
}

const matches = (address: string, path: string) =>
  new RegExp(`^${address.replace(/\{\w+\}/g, '[^/]+')}$`).test(path);

interface Row {
  name: string;
  job: PushJob;
  options: Record<string, string>;
}

describe('the messages for FCM', () => {
  let endpoint: FcmEndpoint;
  let options: Record<string, string>;
  beforeAll(async () => {
    const authority = await createTestAuthority();
    endpoint = await FcmEndpoint.start(await authority.issue());
    options = {
      'push/fcm.service-account': endpoint.serviceAccount,
      'push/fcm.token-url': endpoint.tokenUrl,
      'push/fcm.ca': authority.cert,
    };
  });
  afterAll(() => endpoint.close());

  it.each<Row>([
    {
      name: 'with texts',
      job,
      options: { 'push/fcm.title': 'Chat', 'push/fcm.body': '{nickname} is here' },
    },
    { name: 'without texts', job, options: {} },
    { name: 'of a reliable push', job: trigger, options: { 'push/fcm.title': 'Chat' } },
    {
      name: 'without a position',
      job: { ...job, event: { ...event, index: undefined } } as unknown as PushJob,
      options: {},
    },
  ])('are what is sent $name', async ({ job: given, options: texts }) => {
    const log = { warn: () => undefined };
    const post = await sent(() => createFcmProvider({ nowMs: Date.now, log }), {
      options: { ...options, ...texts },
      job: given,
    });
    expect(readAs('fcm', post)).toEqual({ byHeaders: ['fcm'], byBody: ['fcm'] });
    expect(matches(mobileChannels.fcm.address, post.path)).toBe(true);
  });
});

describe('the messages for APNs', () => {
  const options = {
    'push/apple.key': generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString(),
    'push/apple.key-id': 'KEY1234567',
    'push/apple.team-id': 'TEAM123456',
    'push/apple.topic': 'com.example.chat',
  };
  const everything = {
    'push/apple.title': 'Chat',
    'push/apple.alertMessage.body': '{nickname} is here',
    'push/apple.alertMessage.loc-key': 'CHAT',
    'push/apple.alertMessage.loc-argnames': 'nickname, event',
    'push/apple.alertMessage.action-loc-key': 'OPEN',
    'push/apple.alertMessage.launch-image': 'chat.png',
    'push/apple.sound': 'default',
    'push/apple.badge': '1',
    'push/apple.content-available': 'true',
  };

  it.each<Row & { message: string }>([
    { name: 'with everything', job, options: everything, message: 'apnsAlert' },
    { name: 'of a reliable push', job: trigger, options: everything, message: 'apnsAlert' },
    { name: 'with the plain alert', job, options: { 'push/apple.alert': 'News' }, message: 'apnsAlert' },
    { name: 'with a badge alone', job, options: { 'push/apple.badge': '0' }, message: 'apnsAlert' },
    { name: 'with nothing to show', job, options: {}, message: 'apnsBackground' },
  ])('are what is sent $name', async ({ job: given, options: shown, message }) => {
    const post = await sent((inner) => createApnsProvider({ nowMs: Date.now, openHttp2: () => inner }), {
      options: { ...options, ...shown },
      job: given,
    });
    expect(readAs('apns', post)).toEqual({ byHeaders: [message], byBody: [message] });
    expect(matches(mobileChannels.apns.address, post.path)).toBe(true);
  });
});

it('the document has them', () => {
  const { channels, operations } = asyncApiDocument() as Record<string, Record<string, object>>;
  for (const [name, { messages }] of Object.entries(mobileChannels)) {
    expect(channels?.[name]).toMatchObject({ messages });
    expect(operations?.[name]).toMatchObject({ action: 'send' });
  }
});
