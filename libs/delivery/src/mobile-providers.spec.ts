import { sessionIdSchema, userIdSchema, type OptionValues, type PushJob } from '@flexpush/contracts';
import {
  ApnsEndpoint,
  createTestAuthority,
  FcmEndpoint,
  startReceiver,
  type TestAuthority,
} from '@flexpush/testkit';
import { generateKeyPairSync } from 'node:crypto';
import { APNS_TOKEN_REUSE_MS } from './apns-token';
import { createApnsProvider } from './apns-provider';
import { Delivery } from './delivery';
import type { JobResult } from './delivery-job';
import { createFcmProvider } from './fcm-provider';
import { openHttpChannel } from './http-channel';
import { Http2Channel } from './http2-channel';

const channelOptions = {
  nowMs: () => 0,
  connectionsMax: 16,
  connectTimeoutMs: 2_000,
  answerTimeoutMs: 5_000,
  exchangeTimeoutMs: 10_000,
};

/** Delivery with both providers over real connections. */
class Bench {
  epochMs = Date.now();
  readonly logged: { fact: string; fields: Record<string, unknown> }[] = [];
  private readonly waiting = new Map<string, (result: JobResult) => void>();
  private lastN = 0;
  readonly delivery: Delivery;

  constructor(options: OptionValues) {
    const note = (fields: object, fact: string) =>
      this.logged.push({ fact, fields: fields as Record<string, unknown> });
    const log = { isLevelEnabled: () => true, debug: note, info: note, warn: note };
    const nowMs = () => this.epochMs;
    this.delivery = new Delivery(
      {
        nowMs: () => 0,
        log,
        openChannel: (_origin, connection) => openHttpChannel(connection, channelOptions),
        isDeposed: () => false,
        settled: ({ job }, result) => this.waiting.get(job.id)?.(result),
        providers: [
          createFcmProvider({ nowMs, log }),
          createApnsProvider({
            nowMs,
            openHttp2: (connection) => new Http2Channel(connection, channelOptions),
          }),
        ],
      },
      {
        queueMax: 1_000,
        connectionsMax: 16,
        destinationsMax: 16,
        deadTimeoutMs: 3_000,
        rememberedMax: 1_000,
        breakerFailuresMax: 3,
        breakerProbeAfterMs: 1_000,
      },
    );
    this.delivery.useOptions({ 'push/pushEnabled': 'fcm, ios', ...options });
  }

  push(deviceType: PushJob['deviceType'], more: Partial<PushJob> = {}): Promise<JobResult> {
    const job = jobOf(deviceType, (this.lastN += 1), more);
    return new Promise((resolve) => {
      this.waiting.set(job.id, resolve);
      this.delivery.offer([{ job, alias: '204', actorId: 'a', shard: 0, term: 1, receivedAtMs: 0 }]);
    });
  }
}

const event = {
  from: { nickname: 'Jonas', participantId: 2, type: 'Agent' as const },
  index: 3,
  type: 'Message',
  utcTime: 1_790_000_015_000,
};

function jobOf(deviceType: PushJob['deviceType'], n: number, more: Partial<PushJob>): PushJob {
  return {
    id: `s${n}:U:${n}`,
    n,
    sessionId: sessionIdSchema.parse('00021bBKRTX9M01C'),
    userId: userIdSchema.parse('U'),
    service: 'chat',
    deviceType,
    deviceId: 'tok-44ac',
    debug: false,
    obfuscatedKey: 'obfuscated-key',
    chatEnded: false,
    atMs: 1,
    kind: 'plain',
    event,
    ...more,
  } as PushJob;
}

const trigger = {
  kind: 'trigger',
  attempt: 1,
  position: 7,
  content: ['secure-key', 'session-id', 'user-id'],
  secureKey: 'secret-of-the-session',
  event: undefined,
} as unknown as Partial<PushJob>;

let authority: TestAuthority;
let fcm: FcmEndpoint;
let apns: ApnsEndpoint;
let fcmOptions: Record<string, string>;
let apnsOptions: Record<string, string>;
const benches: Bench[] = [];

function bench(options: OptionValues): Bench {
  const made = new Bench(options);
  benches.push(made);
  return made;
}

beforeAll(async () => {
  authority = await createTestAuthority();
});
beforeEach(async () => {
  fcm = await FcmEndpoint.start(await authority.issue());
  apns = await ApnsEndpoint.start(await authority.issue());
  fcmOptions = {
    'push/fcm.service-account': fcm.serviceAccount,
    'push/fcm.endpoint': fcm.url,
    'push/fcm.token-url': fcm.tokenUrl,
    'push/fcm.ca': authority.cert,
    'push/fcm.title': 'Support chat',
    'push/fcm.body': '{nickname} sent you a message',
  };
  apnsOptions = {
    'push/apple.key': apns.key,
    'push/apple.key-id': 'KEY1234567',
    'push/apple.team-id': 'TEAM123456',
    'push/apple.topic': 'com.example.chat',
    'push/apple.endpoint': apns.url,
    'push/apple.ca': authority.cert,
    'push/apple.title': 'Support chat',
    'push/apple.alertMessage.body': '{nickname} sent you a message',
    'push/apple.sound': 'default',
    'push/apple.badge': '1',
  };
});
afterEach(async () => {
  await Promise.all(benches.splice(0).map((made) => made.delivery.close()));
  await Promise.all([fcm.close(), apns.close()]);
});

describe('fcm', () => {
  it('sends P6 with a token that the service account got', async () => {
    const made = bench(fcmOptions);
    expect(await made.push('fcm')).toEqual({ outcome: 'delivered' });
    expect(fcm.grants).toEqual([
      expect.objectContaining({
        iss: 'push@test-project.iam.test',
        scope: 'https://www.googleapis.com/auth/firebase.messaging',
        aud: fcm.tokenUrl,
      }),
    ]);
    expect(fcm.pushes[0]?.path).toBe('/v1/projects/test-project/messages:send');
    expect(JSON.stringify(fcm.pushes[0]?.body)).toBe(
      '{"message":{"token":"tok-44ac","notification":{"title":"Support chat","body":"Jonas sent you a message"},"data":{"chatId":"00021bBKRTX9M01C","type":"Message","index":"3"},"android":{"priority":"HIGH"}}}',
    );
    expect(await made.push('fcm')).toEqual({ outcome: 'delivered' });
    expect(fcm.grants).toHaveLength(1);
  });

  it('of a trigger nothing leaves but the chat, and without texts nothing is shown', async () => {
    const made = bench({ ...fcmOptions, 'push/fcm.title': '', 'push/fcm.body': '' });
    expect(await made.push('fcm', trigger)).toEqual({ outcome: 'delivered' });
    expect(fcm.pushes[0]?.body).toEqual({
      message: { token: 'tok-44ac', data: { chatId: '00021bBKRTX9M01C' }, android: { priority: 'HIGH' } },
    });
  });

  it('content that a job should not have does not leave either', async () => {
    const made = bench(fcmOptions);
    await made.push('fcm', {
      event: { ...event, text: 'my secret', userData: { pin: '1234' } },
    } as Partial<PushJob>);
    expect(JSON.stringify(fcm.pushes)).not.toMatch(/secret|1234|obfuscated/);
  });

  it.each([
    {
      name: 'a token that was unregistered is gone',
      answer: {
        status: 404,
        body: { error: { status: 'NOT_FOUND', details: [{ errorCode: 'UNREGISTERED' }] } },
      },
      result: { outcome: 'gone', reason: 'fcm-UNREGISTERED' },
    },
    {
      name: 'a text that is no token is gone',
      answer: {
        status: 400,
        body: {
          error: {
            status: 'INVALID_ARGUMENT',
            details: [
              { errorCode: 'INVALID_ARGUMENT' },
              { fieldViolations: [{ field: 'message.token', description: 'Invalid registration token' }] },
            ],
          },
        },
      },
      result: { outcome: 'gone', reason: 'fcm-INVALID_ARGUMENT' },
    },
    {
      name: 'another invalid argument ends nothing',
      answer: {
        status: 400,
        body: {
          error: {
            status: 'INVALID_ARGUMENT',
            details: [{ fieldViolations: [{ field: 'message.notification.body' }] }],
          },
        },
      },
      result: { outcome: 'failed', reason: 'fcm-INVALID_ARGUMENT' },
    },
    {
      name: 'another project ends nothing',
      answer: { status: 403, body: { error: { details: [{ errorCode: 'SENDER_ID_MISMATCH' }] } } },
      result: { outcome: 'failed', reason: 'fcm-SENDER_ID_MISMATCH' },
    },
    {
      name: 'a wrong project id ends nothing',
      answer: { status: 404, body: { error: { status: 'NOT_FOUND' } } },
      result: { outcome: 'failed', reason: 'fcm-NOT_FOUND' },
    },
    {
      name: 'unknown words are not shown',
      answer: { status: 500, body: { error: { status: 'x'.repeat(500), details: 'odd' } } },
      result: { outcome: 'failed', reason: 'http-500' },
    },
    {
      name: 'no JSON',
      answer: { status: 502, body: 'oops' },
      result: { outcome: 'failed', reason: 'http-502' },
    },
  ])('$name', async ({ answer, result }) => {
    const made = bench(fcmOptions);
    fcm.answer = answer;
    expect(await made.push('fcm')).toEqual(result);
    expect(made.logged).toContainEqual({
      fact: result.outcome === 'gone' ? 'delivery.device-gone' : 'delivery.failed',
      fields: expect.objectContaining({ logId: '09900', reason: result.reason }) as Record<string, unknown>,
    });
    expect(JSON.stringify(made.logged)).not.toContain('tok-44ac');
  });

  it('a refused service account fails jobs with the reason, tells it in the log, and backs off', async () => {
    const made = bench(fcmOptions);
    fcm.tokenAnswer = { status: 401, body: { error: 'invalid_client' } };
    const failed = { outcome: 'failed', reason: 'authorization-invalid_client' };
    for (let n = 0; n < 5; n += 1) expect(await made.push('fcm')).toEqual(failed);
    expect(fcm.grants).toHaveLength(1);
    expect(made.logged.filter(({ fact }) => fact === 'fcm.token-not-fetched')).toEqual([
      expect.objectContaining({
        fields: expect.objectContaining({ code: 'invalid_client', retryInMs: 1_000 }) as unknown,
      }),
    ]);
    expect(JSON.stringify(made.logged)).not.toMatch(/PRIVATE|assertion/);
    fcm.tokenAnswer = undefined;
    made.epochMs += 1_000;
    expect(await made.push('fcm')).toEqual({ outcome: 'delivered' });
  });

  it('certificates are verified, of the token endpoint too', async () => {
    const stranger = await createTestAuthority();
    const made = bench({ ...fcmOptions, 'push/fcm.ca': stranger.cert });
    const result = await made.push('fcm');
    expect(result).toMatchObject({ outcome: 'failed' });
    expect(result.reason).toMatch(/^authorization-(UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE)$/);
    expect(fcm.grants).toEqual([]);
    expect(fcm.pushes).toEqual([]);
  });

  it('another account on the same server is another destination with a token of its own', async () => {
    const other = await FcmEndpoint.start(await authority.issue());
    const account = JSON.parse(other.serviceAccount) as Record<string, unknown>;
    const made = bench({
      ...fcmOptions,
      'push.provider.shop/fcm.service-account': JSON.stringify({ ...account, project_id: 'shop' }),
      'push.provider.shop/fcm.endpoint': other.url,
      'push.provider.shop/fcm.token-url': other.tokenUrl,
    });
    await Promise.all([made.push('fcm'), made.push('fcm', { provider: 'shop' })]);
    expect(other.pushes.map(({ path }) => path)).toEqual(['/v1/projects/shop/messages:send']);
    expect(fcm.pushes).toHaveLength(1);
    await other.close();
  });
});

describe('ios', () => {
  it('sends P7 over HTTP/2 with a token of the key', async () => {
    const made = bench(apnsOptions);
    expect(await made.push('ios')).toEqual({ outcome: 'delivered' });
    expect(JSON.stringify(apns.pushes[0]?.body)).toBe(
      '{"aps":{"alert":{"title":"Support chat","body":"Jonas sent you a message"},"sound":"default","badge":1},"chatId":"00021bBKRTX9M01C"}',
    );
    expect(apns.pushes[0]).toMatchObject({
      path: '/3/device/tok-44ac',
      headers: { 'apns-topic': 'com.example.chat', 'apns-push-type': 'alert', 'apns-priority': '10' },
    });
    expect(apns.claims).toEqual([
      { alg: 'ES256', kid: 'KEY1234567', iss: 'TEAM123456', iat: Math.floor(made.epochMs / 1_000) },
    ]);
  });

  it('shows the texts of the app, with who acted, where the options name their keys', async () => {
    const made = bench({
      ...apnsOptions,
      'push/apple.alertMessage.loc-key': 'CHAT_EVENT',
      'push/apple.alertMessage.loc-argnames': 'event, nickname',
      'push/apple.alertMessage.action-loc-key': 'OPEN',
      'push/apple.alertMessage.launch-image': 'chat.png',
    });
    await made.push('ios');
    expect(apns.pushes[0]?.body).toMatchObject({
      aps: {
        alert: {
          title: 'Support chat',
          'loc-key': 'CHAT_EVENT',
          'loc-args': ['Message', 'Jonas'],
          'action-loc-key': 'OPEN',
          'launch-image': 'chat.png',
        },
      },
    });
  });

  it('shows the plain alert where there is nothing else to show', async () => {
    const none = { 'push/apple.title': '', 'push/apple.alertMessage.body': '' };
    await bench({ ...apnsOptions, ...none, 'push/apple.alert': 'News in your chat' }).push('ios', trigger);
    expect(apns.pushes[0]?.body).toMatchObject({ aps: { alert: 'News in your chat' } });
    expect(apns.pushes[0]?.headers).toMatchObject({ 'apns-push-type': 'alert' });
  });

  it('a push without anything to show is a silent one', async () => {
    const { 'push/apple.sound': _sound, 'push/apple.badge': _badge, ...rest } = apnsOptions;
    const made = bench({ ...rest, 'push/apple.title': '', 'push/apple.alertMessage.body': '' });
    await made.push('ios', trigger);
    expect(apns.pushes[0]?.body).toEqual({ aps: { 'content-available': 1 }, chatId: '00021bBKRTX9M01C' });
    expect(apns.pushes[0]?.headers).toMatchObject({ 'apns-push-type': 'background', 'apns-priority': '5' });
    expect(JSON.stringify(apns.pushes)).not.toMatch(/secret|obfuscated/);
  });

  it('uses a token for 50 minutes, and a new one after that', async () => {
    const made = bench(apnsOptions);
    const startMs = made.epochMs;
    for (const afterMs of [0, APNS_TOKEN_REUSE_MS - 1, APNS_TOKEN_REUSE_MS, APNS_TOKEN_REUSE_MS + 1]) {
      made.epochMs = startMs + afterMs;
      await made.push('ios');
    }
    const signed = apns.pushes.map(({ headers }) => headers['authorization']);
    expect(new Set(signed).size).toBe(2);
    expect(signed[0]).toBe(signed[1]);
    expect(signed[2]).toBe(signed[3]);
    expect(apns.claims[2]?.['iat']).toBe(Math.floor((startMs + APNS_TOKEN_REUSE_MS) / 1_000));
  });

  it('a token that APNs calls expired is renewed, but never within 20 minutes of the last', async () => {
    const made = bench(apnsOptions);
    const expired = { status: 403, body: { reason: 'ExpiredProviderToken' } };
    apns.answer = expired;
    expect(await made.push('ios')).toEqual({ outcome: 'failed', reason: 'apns-ExpiredProviderToken' });
    await made.push('ios');
    made.epochMs += 20 * 60_000;
    await made.push('ios');
    await made.push('ios');
    const signed = apns.pushes.map(({ headers }) => headers['authorization']);
    expect(signed.map((token) => signed.indexOf(token))).toEqual([0, 0, 0, 3]);
  });

  it.each([
    {
      status: 410,
      body: { reason: 'Unregistered', timestamp: 1 },
      outcome: 'gone',
      reason: 'apns-Unregistered',
    },
    { status: 410, body: { reason: 'ExpiredToken' }, outcome: 'gone', reason: 'apns-ExpiredToken' },
    { status: 410, body: undefined, outcome: 'gone', reason: 'http-410' },
    { status: 400, body: { reason: 'BadDeviceToken' }, outcome: 'failed', reason: 'apns-BadDeviceToken' },
    { status: 429, body: { reason: 'TooManyRequests' }, outcome: 'failed', reason: 'apns-TooManyRequests' },
    { status: 500, body: { reason: 'Something new' }, outcome: 'failed', reason: 'http-500' },
  ])('$status $reason is $outcome', async ({ status, body, outcome, reason }) => {
    const made = bench(apnsOptions);
    apns.answer = { status, body };
    expect(await made.push('ios')).toEqual({ outcome, reason });
    expect(made.logged).toContainEqual({
      fact: outcome === 'gone' ? 'delivery.device-gone' : 'delivery.failed',
      fields: expect.objectContaining({ logId: '09900', reason }) as Record<string, unknown>,
    });
  });

  it('tells each device that is gone, also of triggers, whose failures share a line', async () => {
    const made = bench(apnsOptions);
    apns.answer = { status: 410, body: { reason: 'Unregistered' } };
    for (let n = 0; n < 3; n += 1) await made.push('ios', trigger);
    expect(made.logged.filter(({ fact }) => fact === 'delivery.device-gone')).toHaveLength(3);
  });

  it('does not send to a server whose certificate it cannot verify', async () => {
    const { 'push/apple.ca': _ca, ...rest } = apnsOptions;
    const result = await bench(rest).push('ios');
    expect(result.reason).toMatch(/^connection-(UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN)$/);
    expect(apns.pushes).toEqual([]);
  });

  it('does not speak HTTP/1 or plain text', async () => {
    const receiver = await startReceiver();
    const result = await bench({ ...apnsOptions, 'push/apple.endpoint': receiver.url }).push('ios');
    expect(result).toEqual({ outcome: 'failed', reason: 'url-not-usable' });
    await receiver.close();
  });
});

const rsaKey = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
}).privateKey;

describe('settings that cannot work', () => {
  it.each<{ type: 'fcm' | 'ios'; name: string; unset?: string; set?: OptionValues; reason: string }>([
    {
      type: 'fcm',
      name: 'no account',
      unset: 'push/fcm.service-account',
      reason: 'no-credentials-configured',
    },
    {
      type: 'fcm',
      name: 'no JSON',
      set: { 'push/fcm.service-account': '{' },
      reason: 'credentials-not-usable',
    },
    {
      type: 'fcm',
      name: 'a bad CA',
      set: { 'push/fcm.ca': '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----' },
      reason: 'tls-settings-not-usable',
    },
    { type: 'ios', name: 'no key', unset: 'push/apple.key', reason: 'no-credentials-configured' },
    { type: 'ios', name: 'no team', unset: 'push/apple.team-id', reason: 'no-credentials-configured' },
    { type: 'ios', name: 'no topic', unset: 'push/apple.topic', reason: 'no-topic-configured' },
    { type: 'ios', name: 'an RSA key', set: { 'push/apple.key': rsaKey }, reason: 'credentials-not-usable' },
    { type: 'ios', name: 'no PEM', set: { 'push/apple.key': 'key' }, reason: 'credentials-not-usable' },
  ])('$type: $name', async ({ type, unset, set, reason }) => {
    const options: Record<string, string> = { ...fcmOptions, ...apnsOptions, ...set };
    if (unset !== undefined) delete options[unset];
    expect(await bench(options).push(type)).toEqual({ outcome: 'failed', reason });
  });

  it('debug never uses the production credentials, and a named provider that nobody configured gets nothing', async () => {
    const made = bench({ ...fcmOptions, ...apnsOptions });
    for (const type of ['fcm', 'ios'] as const) {
      expect(await made.push(type, { debug: true })).toEqual({
        outcome: 'failed',
        reason: 'no-credentials-configured',
      });
      for (const provider of ['nobody', 'event', 'a.event'])
        expect(await made.push(type, { provider })).toEqual({
          outcome: 'failed',
          reason: 'unknown-provider',
        });
    }
    expect([...fcm.pushes, ...apns.pushes]).toEqual([]);
  });
});
