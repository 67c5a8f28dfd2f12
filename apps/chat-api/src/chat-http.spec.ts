import { chatResponseSchema, internalRecordSchema, replyKeys, type FoldReply } from '@flexpush/contracts';
import { createLogger, Operations, readConfig, serviceModule } from '@flexpush/process';
import { watchUncaught } from '@flexpush/testkit';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import fc from 'fast-check';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Server } from 'node:http';
import { chatApiParts } from './chat-api';
import type { CallPort } from './chat-service';
import { configSchema } from './config';
import { keyHashOf } from './identity';
import { ChatMetrics } from './metrics';
import { KeyObfuscator } from './obfuscated-key';
import type { CallRecord } from '@flexpush/actor-runtime';
import { RequestGate } from './request-gate';
import type { CallOutcome } from '@flexpush/actor-runtime';

const SECRET = 'a secret of forty characters, for tests.';
const SERVICE = '/genesys/2/chat/support-web';
const FORM = 'application/x-www-form-urlencoded';
const IN_FLIGHT_MAX = 4;
const BODY_BYTES_MAX = 32_768;

/** Plays the fold: remembers records, answers what it is told to. */
class FakeFold implements CallPort {
  readonly records: CallRecord[] = [];
  answer: (record: CallRecord) => CallOutcome | Promise<CallOutcome> = () => answered({});

  async call(record: CallRecord): Promise<CallOutcome> {
    this.records.push(record);
    return this.answer(record);
  }
  last(): CallRecord {
    return this.records.at(-1) as CallRecord;
  }
}

function answered(reply: Partial<FoldReply>, messages: unknown[] = []): CallOutcome {
  return {
    kind: 'answered',
    answer: {
      alias: '204',
      reply: { outcome: 'ok', chatEnded: false, monitored: false, ...reply },
      messages: messages as never,
    },
  };
}

let app: NestFastifyApplication;
let fold: FakeFold;
let ready = true;
let gate: RequestGate;
let operations: Operations;
const logLines: string[] = [];

beforeAll(async () => {
  const config = readConfig(configSchema, { FLEXPUSH_KEY_SECRET: SECRET });
  const nodeId = 'chat-api-1';
  const log = createLogger({ service: 'chat-api', nodeId, level: 'debug' });
  Object.assign(log, { [Symbol.for('pino.stream') as never]: undefined });
  operations = new Operations({ service: 'chat-api', nodeId });
  gate = new RequestGate(IN_FLIGHT_MAX);
  const metrics = new ChatMetrics(operations.registry, () => gate.inFlight());
  const parts = chatApiParts(
    { config, log: capture(log), operations, nodeId, incarnation: 'abc' },
    { callerId: 'chat-api-1-abc', metrics, gate, calls: () => (ready ? fold : undefined) },
  );
  app = await NestFactory.create<NestFastifyApplication>(serviceModule(parts, operations), parts.adapter, {
    logger: false,
    abortOnError: false,
  });
  await parts.configure(app);
  await app.listen(0, '127.0.0.1');
});

afterAll(() => app.close());

beforeEach(() => {
  fold = new FakeFold();
  ready = true;
  logLines.length = 0;
});

/** The lines that a logger would write, as text. */
function capture(log: ReturnType<typeof createLogger>): ReturnType<typeof createLogger> {
  const write =
    (level: string) =>
    (...args: unknown[]) =>
      void logLines.push(`${level} ${args.map((arg) => JSON.stringify(arg)).join(' ')}`);
  const silent = Object.create(log) as Record<string, unknown>;
  for (const level of ['debug', 'info', 'warn', 'error', 'fatal']) silent[level] = write(level);
  return silent as unknown as ReturnType<typeof createLogger>;
}

async function post(
  path: string,
  body: string | Record<string, string>,
  headers: Record<string, string> = {},
) {
  const response = await app.inject({
    method: 'POST',
    url: path,
    headers: { 'content-type': FORM, ...headers },
    payload: typeof body === 'string' ? body : new URLSearchParams(body).toString(),
  });
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.json() as Record<string, unknown>,
  };
}

const creds = { userId: '00A1653C92D4000F', secureKey: '5be07d19c2f8a4360e77', alias: '117' };
const CHAT = `${SERVICE}/00021bBKRTX9M01C`;

describe('request chat', () => {
  it('answers as sample R1 and writes a record that the contract accepts', async () => {
    fold.answer = () => answered({ nextPosition: 1 });
    const { status, body } = await post(SERVICE, { nickname: 'Mira', subject: 'Order late' });
    const record = fold.last();
    expect(status).toBe(200);
    expect(body).toEqual({
      messages: [],
      chatEnded: false,
      statusCode: 0,
      alias: '204',
      secureKey: record.type === 'session.create' ? record.secureKey : '',
      userId: record.userId,
      chatId: record.sessionId,
      nextPosition: 1,
      monitored: false,
    });
    expect(body['chatId']).toMatch(/^00021[A-Za-z0-9]{11}$/);
    expect(body['userId']).toMatch(/^00[0-9A-F]{14}$/);
    expect(body['secureKey']).toMatch(/^[0-9a-f]{20}$/);
    expect(internalRecordSchema.parse(record)).toMatchObject({
      type: 'session.create',
      service: 'support-web',
      nickname: 'Mira',
      subject: 'Order late',
      userData: { Subject: 'Order late' },
      subscriptionProblem: 'not-requested',
      replyTo: 'chat-api-1-abc',
      keyHash: keyHashOf(body['secureKey'] as string),
    });
  });

  it('understands all push keys and says in the log why a chat starts without push', async () => {
    fold.answer = () => answered({ userData: { [replyKeys.pushReason]: 'on-join-disabled' } });
    const { body } = await post(
      SERVICE,
      'nickname=Mira&userData[GCTI_Chat_PushSubscribe]=true&userData%5BGCTI_GMS_NodeGroup%5D=gms-a' +
        '&userData[GCTI_GMS_PushDeviceId]=dev-7f31c2&userData[GCTI_GMS_PushDeviceType]=customhttp' +
        '&userData[GCTI_GMS_NotifyRequestor]=true&userData[GCTI_GMS_PushIncludePayload]=true' +
        '&userData[GCTI_GMS_PushResend]=true&userData[GCTI_GMS_PushProvider]=p&userData[GCTI_GMS_PushDebug]=true' +
        '&userData[GCTI_GMS_ClientChannel]=yes&userData[GCTI_Other]=kept',
    );
    const record = fold.last();
    expect(record).toMatchObject({
      subscription: {
        deviceId: 'dev-7f31c2',
        deviceType: 'customhttp',
        nodeGroup: 'gms-a',
        notifyRequestor: true,
        includePayload: true,
        resend: true,
        provider: 'p',
        debug: true,
      },
      userData: { GCTI_Other: 'kept' },
    });
    expect(body['userData']).toEqual({ [replyKeys.pushReason]: 'on-join-disabled' });
    const obfuscated = record.type === 'session.create' ? record.obfuscatedKey : '';
    expect(new KeyObfuscator(SECRET).decode(obfuscated)).toEqual({
      sessionId: body['chatId'],
      userId: body['userId'],
      secureKey: body['secureKey'],
      service: 'support-web',
    });
    const line = logLines.find((text) => text.includes('chat.started-without-push'));
    expect(line).toContain('on-join-disabled');
    expect(logLines.join()).not.toContain(body['secureKey']);
  });

  it.each([
    { name: 'nothing', fields: {}, code: 161, advice: 'nickname is required' },
    { name: 'a blank nickname', fields: { nickname: '  ' }, code: 161, advice: 'nickname is required' },
    { name: 'only a first name', fields: { firstName: 'Mira' }, code: 103, advice: 'lastName is required' },
    { name: 'only a last name', fields: { lastName: 'Wolf' }, code: 102, advice: 'firstName is required' },
    { name: 'a bad e-mail', fields: { nickname: 'M', emailAddress: 'nobody' }, code: 364 },
    { name: 'a long nickname', fields: { nickname: 'M'.repeat(129) }, code: 400 },
    { name: 'a long text', fields: { nickname: 'M', text: 't'.repeat(16_385) }, code: 204, advice: '16384' },
    { name: 'a long subject', fields: { nickname: 'M', subject: 's'.repeat(4_097) }, code: 400 },
    { name: 'a long key', fields: { nickname: 'M', [`userData[${'k'.repeat(129)}]`]: 'v' }, code: 400 },
    { name: 'an empty key', fields: { nickname: 'M', 'userData[]': 'v' }, code: 400 },
    { name: 'a long value', fields: { nickname: 'M', 'userData[k]': 'v'.repeat(4_097) }, code: 400 },
    {
      name: 'too many keys',
      fields: {
        nickname: 'M',
        ...Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`userData[${i}]`, 'v'])),
      },
      code: 400,
    },
    {
      name: 'too many keys with the subject',
      fields: {
        nickname: 'M',
        subject: 's',
        ...Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`userData[${i}]`, 'v'])),
      },
      code: 400,
    },
  ])('refuses $name in the shape of sample R5', async ({ fields, code, advice }) => {
    const { status, body } = await post(SERVICE, fields as Record<string, string>);
    expect(status).toBe(400);
    expect(body).toEqual({
      statusCode: 2,
      chatEnded: false,
      chatId: '',
      messages: [],
      errors: [{ code, advice: advice ?? expect.any(String) }],
    });
    expect(fold.records).toEqual([]);
  });

  it('takes multipart fields, refuses files and broken forms', async () => {
    const multipart = (parts: string) =>
      [`${parts}--b--\r\n`, { 'content-type': 'multipart/form-data; boundary=b' }] as const;
    const field = (name: string, value: string, rest = '') =>
      `--b\r\nContent-Disposition: form-data; name="${name}"${rest}\r\n\r\n${value}\r\n`;
    const good = await post(SERVICE, ...multipart(field('nickname', 'Zoë') + field('userData[a]', 'b')));
    expect(good.status).toBe(200);
    expect(fold.last()).toMatchObject({ nickname: 'Zoë', userData: { a: 'b' } });
    const file = await post(
      SERVICE,
      ...multipart(field('nickname', 'M') + field('file', 'x', '; filename="x.txt"')),
    );
    expect(file).toMatchObject({ status: 400, body: { errors: [{ code: 400 }] } });
    const broken = await post(SERVICE, 'no multipart at all', {
      'content-type': 'multipart/form-data; boundary=b',
    });
    expect(broken).toMatchObject({ status: 400, body: { errors: [{ code: 400 }] } });
    const large = await post(SERVICE, ...multipart(field('nickname', 'M'.repeat(BODY_BYTES_MAX))));
    expect(large.status).toBe(413);
  });

  it('gives a repeat with the same Idempotency-Key the identical record and answer', async () => {
    const headers = { 'idempotency-key': 'd3b07384d113edec49eaa6238ad5ff00' };
    const first = await post(SERVICE, { nickname: 'Mira' }, headers);
    const second = await post(SERVICE, { nickname: 'Mira' }, headers);
    expect(second.body).toEqual(first.body);
    expect(fold.records[1]).toEqual(fold.records[0]);
    const elsewhere = await post('/genesys/2/chat/other', { nickname: 'Mira' }, headers);
    expect(elsewhere.body['chatId']).not.toBe(first.body['chatId']);
  });

  it.each(['short', 'x'.repeat(65), 'a blank is not visible'])(
    'refuses the Idempotency-Key "%s"',
    async (key) => {
      const { status, body } = await post(SERVICE, { nickname: 'M' }, { 'idempotency-key': key });
      expect(status).toBe(400);
      expect(body).toMatchObject({ statusCode: 2, errors: [{ code: 400 }] });
    },
  );

  it('does not name a chat that may not exist', async () => {
    fold.answer = () => ({ kind: 'timeout' });
    expect(await post(SERVICE, { nickname: 'M' })).toMatchObject({
      status: 200,
      body: { statusCode: 1, chatEnded: false, chatId: '', messages: [], errors: [{ code: 249 }] },
    });
  });
});

describe('operations on a session', () => {
  it('refreshes with a transcript as sample R2', async () => {
    const messages = [
      {
        from: { nickname: 'Mira', participantId: 1, type: 'Client' },
        index: 1,
        type: 'ParticipantJoined',
        utcTime: 1,
      },
    ];
    fold.answer = () => answered({ nextPosition: 2, chatEnded: true }, messages);
    const { status, body } = await post(`${CHAT}/refresh`, {
      ...creds,
      transcriptPosition: '1',
      message: '',
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      statusCode: 0,
      chatId: '00021bBKRTX9M01C',
      userId: creds.userId,
      secureKey: creds.secureKey,
      alias: '204',
      messages,
      chatEnded: true,
      monitored: false,
      nextPosition: 2,
    });
    const { id, ...record } = fold.last();
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(record).toEqual({
      v: 1,
      type: 'request.refresh',
      sessionId: '00021bBKRTX9M01C',
      userId: creds.userId,
      keyHash: keyHashOf(creds.secureKey),
      replyTo: 'chat-api-1-abc',
      transcriptPosition: 1,
      preview: '',
    });
  });

  it.each([
    {
      op: 'send',
      fields: { message: 'Hi+there & all', messageType: 'text' },
      record: { type: 'request.send', text: 'Hi+there & all', messageType: 'text' },
    },
    {
      op: 'send',
      fields: { message: 'x', transcriptPosition: '7' },
      record: { type: 'request.send', transcriptPosition: 7 },
    },
    { op: 'refresh', fields: { message: 'typ' }, record: { type: 'request.refresh', preview: 'typ' } },
    { op: 'startTyping', fields: { message: 'a' }, record: { type: 'request.startTyping', text: 'a' } },
    { op: 'stopTyping', fields: {}, record: { type: 'request.stopTyping' } },
    { op: 'disconnect', fields: {}, record: { type: 'request.disconnect' } },
  ])('$op with $fields writes $record', async ({ op, fields, record }) => {
    const { status } = await post(`${CHAT}/${op}`, { ...creds, ...(fields as Record<string, string>) });
    expect(status).toBe(200);
    expect(fold.last()).toMatchObject(record);
    expect(internalRecordSchema.safeParse(fold.last()).success).toBe(true);
  });

  it.each([
    { name: 'no message', op: 'send', fields: {}, code: 400 },
    { name: 'a long message', op: 'send', fields: { message: 'm'.repeat(16_385) }, code: 204 },
    { name: 'a long preview', op: 'refresh', fields: { message: 'm'.repeat(16_385) }, code: 204 },
    {
      name: 'a long message type',
      op: 'send',
      fields: { message: 'm', messageType: 't'.repeat(33) },
      code: 400,
    },
    { name: 'a negative position', op: 'refresh', fields: { transcriptPosition: '-1' }, code: 400 },
    { name: 'a position in words', op: 'refresh', fields: { transcriptPosition: 'one' }, code: 400 },
    {
      name: 'an endless position',
      op: 'send',
      fields: { message: 'm', transcriptPosition: '9'.repeat(400) },
      code: 400,
    },
  ])('refuses $name', async ({ op, fields, code }) => {
    const { status, body } = await post(`${CHAT}/${op}`, { ...creds, ...(fields as Record<string, string>) });
    expect(status).toBe(400);
    expect(body).toMatchObject({ statusCode: 2, chatEnded: false, errors: [{ code }] });
    expect(fold.records).toEqual([]);
  });

  it.each([
    { outcome: 'unknown-session' as const, flexCode: '8201' },
    { outcome: 'unknown-participant' as const, flexCode: '8201' },
    { outcome: 'removed' as const, flexCode: '8209' },
    { outcome: 'bad-key' as const, flexCode: '8210' },
  ])('answers $outcome as sample R4 with $flexCode', async ({ outcome, flexCode }) => {
    fold.answer = () => answered({ outcome });
    const { status, body } = await post(`${CHAT}/refresh`, creds);
    expect(status).toBe(200);
    expect(body).toEqual({
      messages: [],
      chatEnded: true,
      statusCode: 2,
      alias: '204',
      chatId: '00021bBKRTX9M01C',
      errors: [{ code: 249, advice: expect.stringContaining(flexCode) }],
    });
  });

  it('an unknown session and an unknown participant look alike', async () => {
    fold.answer = () => answered({ outcome: 'unknown-session' });
    const session = await post(`${CHAT}/refresh`, creds);
    fold.answer = () => answered({ outcome: 'unknown-participant' });
    expect((await post(`${CHAT}/refresh`, creds)).body).toEqual(session.body);
  });

  it.each([
    { name: 'no user id', path: CHAT, fields: { secureKey: 'k' }, flexCode: '8210' },
    { name: 'no secure key', path: CHAT, fields: { userId: 'u' }, flexCode: '8210' },
    {
      name: 'a user id that is none',
      path: CHAT,
      fields: { userId: 'a.b', secureKey: 'k' },
      flexCode: '8201',
    },
    { name: 'a chat id that is none', path: `${SERVICE}/a.b`, fields: creds, flexCode: '8201' },
    {
      name: 'a chat id of great length',
      path: `${SERVICE}/${'x'.repeat(5_000)}`,
      fields: creds,
      flexCode: '8201',
    },
  ])('$name ends the chat for the caller, without a record', async ({ path, fields, flexCode }) => {
    const { status, body } = await post(`${path}/refresh`, fields as Record<string, string>);
    expect(status).toBe(200);
    expect(body).toMatchObject({ statusCode: 2, chatEnded: true, messages: [], errors: [{ code: 249 }] });
    expect(JSON.stringify(body['errors'])).toContain(flexCode);
    expect(fold.records).toEqual([]);
  });

  it('says why the fold refused', async () => {
    fold.answer = () => answered({ outcome: 'refused', reason: 'the session is full' });
    expect(await post(`${CHAT}/send`, { ...creds, message: 'm' })).toMatchObject({
      status: 400,
      body: { statusCode: 2, chatEnded: false, errors: [{ code: 400, advice: 'the session is full' }] },
    });
  });

  it.each([
    { name: 'a time-out', outcome: { kind: 'timeout' as const } },
    {
      name: 'a full log',
      outcome: { kind: 'refused' as const, reason: 'maximum bytes exceeded', retryable: true },
    },
  ])('$name invites to try again', async ({ outcome }) => {
    fold.answer = () => outcome;
    expect(await post(`${CHAT}/send`, { ...creds, message: 'm' })).toMatchObject({
      status: 200,
      body: {
        statusCode: 1,
        chatEnded: false,
        chatId: '00021bBKRTX9M01C',
        messages: [],
        errors: [{ code: 249 }],
      },
    });
  });

  it('a record that the log will never take is refused for good', async () => {
    fold.answer = () => ({ kind: 'refused', reason: 'record-too-large', retryable: false });
    expect(await post(`${CHAT}/send`, { ...creds, message: 'm' })).toMatchObject({
      status: 400,
      body: { statusCode: 2, chatEnded: false, errors: [{ code: 400 }] },
    });
  });

  it('takes the last of repeated fields', async () => {
    await post(`${CHAT}/send`, `userId=u&secureKey=k&message=first&message=last`);
    expect(fold.last()).toMatchObject({ text: 'last' });
  });

  it('an Idempotency-Key is the same record for the same caller and operation only', async () => {
    const headers = { 'idempotency-key': 'd3b07384d113edec49eaa6238ad5ff00' };
    const send = (fields: Record<string, string>) =>
      post(`${CHAT}/send`, { ...creds, message: 'm', ...fields }, headers);
    await send({});
    await send({});
    await send({ userId: 'other' });
    await send({ secureKey: 'other' });
    await post(`${CHAT}/refresh`, creds, headers);
    await post(`${SERVICE}/other/send`, { ...creds, message: 'm' }, headers);
    const ids = fold.records.map(({ id }) => id);
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(5);
  });
});

describe('HTTP', () => {
  it.each([
    { name: 'JSON', type: 'application/json', path: SERVICE },
    { name: 'plain text', type: 'text/plain', path: SERVICE },
    { name: 'no type', type: '', path: SERVICE },
    { name: 'a type that is none', type: ';;;', path: SERVICE },
    { name: 'multipart on a session', type: 'multipart/form-data; boundary=b', path: `${CHAT}/refresh` },
  ])('$name is answered 415', async ({ type, path }) => {
    const { status, body } = await post(path, '{"nickname":"M"}', { 'content-type': type });
    expect(status).toBe(415);
    expect(body).toMatchObject({ statusCode: 2, chatId: '', messages: [], errors: [{ code: 415 }] });
  });

  it('a charset in the content type does no harm', async () => {
    expect((await post(SERVICE, 'nickname=M', { 'content-type': `${FORM}; charset=UTF-8` })).status).toBe(
      200,
    );
  });

  it('a body of exactly the limit is read, one byte more is 413', async () => {
    const body = (bytes: number) => `nickname=M&ignored=${'x'.repeat(bytes - 'nickname=M&ignored='.length)}`;
    expect((await post(SERVICE, body(BODY_BYTES_MAX))).status).toBe(200);
    const large = await post(SERVICE, body(BODY_BYTES_MAX + 1));
    expect(large).toMatchObject({
      status: 413,
      body: { statusCode: 2, chatId: '', errors: [{ code: 413 }] },
    });
  });

  it.each([
    { method: 'POST', path: '/', status: 404 },
    { method: 'POST', path: '/genesys/2/chat', status: 404 },
    { method: 'POST', path: '/other/2/chat/support', status: 404 },
    { method: 'POST', path: `${CHAT}/dance`, status: 404 },
    { method: 'POST', path: `${CHAT}/__proto__`, status: 404 },
    { method: 'POST', path: `${CHAT}/file/dance`, status: 404 },
    { method: 'POST', path: `${CHAT}/file/x/limits`, status: 404 },
    { method: 'POST', path: `${CHAT}/file/download`, status: 404 },
    { method: 'GET', path: `${CHAT}/file/x/download`, status: 405 },
    { method: 'GET', path: `${CHAT}/file`, status: 405 },
    { method: 'POST', path: `${SERVICE}//refresh`, status: 404 },
    { method: 'POST', path: '/genesys/2/chat/sup%20port', status: 404 },
    { method: 'POST', path: '/genesys/2/chat/%zz', status: 400 },
    { method: 'GET', path: SERVICE, status: 405 },
    { method: 'PUT', path: `${CHAT}/send`, status: 405 },
    { method: 'OPTIONS', path: `${CHAT}/refresh`, status: 405 },
    { method: 'GET', path: '/nowhere', status: 404 },
  ])('$method $path is answered $status', async ({ method, path, status }) => {
    const response = await app.inject({ method: method as 'GET', url: path });
    expect(response.statusCode).toBe(status);
    expect(chatResponseSchema.parse(response.json())).toMatchObject({
      statusCode: 2,
      chatId: '',
      messages: [],
    });
    expect(response.headers['allow']).toBe(status === 405 ? 'POST' : undefined);
  });

  it('what is no HTTP gets an answer too', async () => {
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('NOT HTTP\r\n\r\n'));
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('end', () => resolve(received));
      socket.on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    chatResponseSchema.parse(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))));
  });

  it('refuses with 503 above the bound of requests in flight, and takes more when one has ended', async () => {
    let finish: ((outcome: CallOutcome) => void)[] = [];
    fold.answer = () => new Promise((resolve) => finish.push(resolve));
    const waiting = Array.from({ length: IN_FLIGHT_MAX }, () => post(`${CHAT}/refresh`, creds));
    while (finish.length < IN_FLIGHT_MAX) await new Promise((resolve) => setImmediate(resolve));
    const refused = await post(`${CHAT}/refresh`, creds);
    expect(refused).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      body: { statusCode: 1, chatEnded: false, messages: [], errors: [{ code: 503 }] },
    });
    for (const resolve of finish) resolve(answered({}));
    await Promise.all(waiting);
    finish = [];
    fold.answer = () => answered({});
    expect((await post(`${CHAT}/refresh`, creds)).status).toBe(200);
    expect(gate.inFlight()).toBe(0);
  });

  it('refuses with 503 until the log is there', async () => {
    ready = false;
    expect(await post(SERVICE, { nickname: 'M' })).toMatchObject({
      status: 503,
      body: { statusCode: 1, chatId: '' },
    });
  });

  it('a defect shows nothing of itself', async () => {
    fold.answer = () => {
      throw new Error('inner detail');
    };
    const { status, body } = await post(`${CHAT}/refresh`, creds);
    expect(status).toBe(500);
    expect(JSON.stringify(body)).not.toContain('inner detail');
    chatResponseSchema.parse(body);
    expect(gate.inFlight()).toBe(0);
  });

  it('counts requests by operation and outcome, with a closed set of labels', async () => {
    await post(`${CHAT}/refresh`, creds);
    await post(`${CHAT}/made-up`, creds);
    const text = await operations.registry.metrics();
    expect(text).toMatch(/flexpush_chat_requests_total\{operation="refresh",outcome="ok",.*\} [1-9]/);
    expect(text).toContain('operation="unknown",outcome="not-found"');
    expect(text).not.toContain('made-up');
    expect(text).toMatch(/flexpush_chat_requests_in_flight\{.*\} 0/);
  });

  it('the operations endpoints keep their own bodies', async () => {
    expect((await app.inject({ method: 'GET', url: '/readyz' })).json()).toEqual({ ready: true, checks: {} });
    operations.addCheck('nats', () => 'not connected');
    const response = await app.inject({ method: 'GET', url: '/readyz' });
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({ ready: false, checks: { nats: 'not connected' } });
  });
});

describe('anything at all', () => {
  const segment = fc.oneof(
    fc.constantFrom('genesys', '2', 'chat', 'support', 'refresh', 'send', '..', '', '%00', '%zz', 'a%2fb'),
    fc.string({ maxLength: 20 }).map(encodeURIComponent),
  );
  const path = fc.oneof(
    fc.constantFrom(
      SERVICE,
      ...['send', 'refresh', 'startTyping', 'stopTyping', 'disconnect'].map((op) => `${CHAT}/${op}`),
    ),
    fc.array(segment, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`),
  );
  const name = fc.oneof(
    fc.constantFrom(
      'nickname',
      'firstName',
      'userId',
      'secureKey',
      'message',
      'transcriptPosition',
      'text',
      'subject',
    ),
    fc.string({ maxLength: 10 }).map((key) => `userData[${key}]`),
    fc.constantFrom('__proto__', 'constructor', 'userData[__proto__]', 'userData[toString]'),
  );
  const body = fc.oneof(
    fc
      .array(fc.tuple(name, fc.string({ unit: 'binary', maxLength: 40 })), { maxLength: 12 })
      .map((pairs) =>
        Buffer.from(
          pairs
            .map(([key, value]) => `${key}=${encodeURIComponent(Buffer.from(value).toString())}`)
            .join('&'),
        ),
      ),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(Buffer.from('nickname=%'), Buffer.from('&&&==&='), Buffer.alloc(BODY_BYTES_MAX, 1)),
  );
  const type = fc.constantFrom(
    FORM,
    FORM,
    'multipart/form-data; boundary=b',
    'multipart/form-data',
    'application/json',
    'a/b',
  );
  const method = fc.constantFrom('POST', 'POST', 'POST', 'GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH');

  it('never gets a 5xx other than 503, and always a body of the contract', async () => {
    await fc.assert(
      fc.asyncProperty(method, path, type, body, async (verb, url, contentType, payload) => {
        fold = new FakeFold();
        const response = await app.inject({
          method: verb as 'POST',
          url,
          headers: { 'content-type': contentType },
          payload,
        });
        expect(response.statusCode < 500 || response.statusCode === 503).toBe(true);
        expect(response.headers['content-type']).toContain('application/json');
        chatResponseSchema.parse(response.json());
        for (const record of fold.records) internalRecordSchema.parse(record);
      }),
      { numRuns: 600 },
    );
  });

  /** What comes over the bare socket: nearly HTTP, cut off, lying about its length, or nothing of the kind. */
  const head = fc
    .record({
      line: fc.constantFrom(
        `POST ${CHAT}/refresh HTTP/1.1`,
        `POST ${SERVICE} HTTP/1.1`,
        `POST ${CHAT}/%zz HTTP/1.1`,
        `GET ${SERVICE} HTTP/9.9`,
        'POST http://[ HTTP/1.1',
        '\u0016\u0003\u0001',
        '',
      ),
      type: fc.constantFrom(FORM, 'multipart/form-data; boundary="', 'x', `${FORM}; charset=\u0001`),
      length: fc.constantFrom('0', '5', '99999999999999999999', '-1', '5, 6', 'x'),
      extra: fc.constantFrom(
        '',
        'transfer-encoding: chunked\r\n',
        'content-encoding: gzip\r\n',
        'x'.repeat(20_000),
      ),
      end: fc.constantFrom('\r\n\r\n', '\r\n', '\n\n', '\0'),
      body: fc.string({ unit: 'binary', maxLength: 40 }),
    })
    .map(
      ({ line, type: contentType, length, extra, end, body: content }) =>
        `${line}\r\nhost: a\r\ncontent-type: ${contentType}\r\ncontent-length: ${length}\r\n${extra}${end}${content}`,
    );

  it('on the bare socket: healthy requests are answered at once beside broken and unfinished ones', async () => {
    const uncaught = watchUncaught();
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    const open: Socket[] = [];
    let rounds = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(head, fc.string({ unit: 'binary', maxLength: 200 })), async (text) => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        socket.resume();
        open.push(socket);
        // Written and left open: neither the rest nor an end will come.
        await new Promise<void>((resolve) => socket.write(text, () => resolve()));
        if (rounds++ % 20 !== 0) return;
        const response = await fetch(`http://127.0.0.1:${port}${CHAT}/refresh`, {
          method: 'POST',
          body: new URLSearchParams(creds),
        });
        expect(response.status).toBe(200);
        chatResponseSchema.parse(await response.json());
      }),
      { numRuns: 400, endOnFailure: true },
    );
    for (const socket of open) socket.destroy();
    expect(gate.inFlight()).toBe(0);
    expect(logLines.join()).not.toContain(creds.secureKey);
    await uncaught.none();
    uncaught.stop();
  });
});
