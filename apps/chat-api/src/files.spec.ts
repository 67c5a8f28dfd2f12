import type { CallRecord } from '@flexpush/actor-runtime';
import { chatResponseSchema, errorCodes, FILE_BUCKET, type FoldReply } from '@flexpush/contracts';
import { connectBus, ensureStreams, FileStore } from '@flexpush/nats-bus';
import type { Operations } from '@flexpush/process';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answered, PlayedFold, RealFold, startApp } from './app.fixture';
import { attachment } from './http-answer';

const CHAT_ID = '00021bBKRTX9M01C';
const creds = { userId: '00A1653C92D4000F', secureKey: '5be07d19c2f8a4360e77', alias: '204' };
const CRLF = '\r\n';
/** One address gets half. */
const SPOOL_BYTES_MAX = 8_000_000;

let nats: TestNats;
let bus: Awaited<ReturnType<typeof connectBus>>;
let store: FileStore;
let app: NestFastifyApplication;
let chat: string;
let fold: PlayedFold;
let limits: Record<string, string>;
let logLines: string[];
let isStoreThere: boolean;
let operations: Operations;
let spoolFolder: string;

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'files' });
  await ensureStreams(bus, { shardCount: 1, replicas: 1, logBytesMax: 2 ** 27, logAgeMaxMs: 3_600_000 });
  store = await FileStore.open(bus);
  spoolFolder = await mkdtemp(join(tmpdir(), 'files-spec-'));
  await writeFile(join(spoolFolder, 'flexpush-upload-left'), 'by a killed process');
  const started = await startApp({
    calls: () => fold,
    files: () => (isStoreThere ? store : undefined),
    env: {
      FLEXPUSH_FILE_TRANSFERS_MAX: '2',
      FLEXPUSH_FILE_IDLE_TIMEOUT_MS: '1500',
      FLEXPUSH_FILE_SPOOL_FOLDER: spoolFolder,
      FLEXPUSH_FILE_SPOOL_BYTES_MAX: String(SPOOL_BYTES_MAX),
    },
  });
  ({ app, logLines, operations } = started);
  chat = `${started.url}/genesys/2/chat/support-web/${CHAT_ID}`;
});

afterAll(async () => {
  await app.close();
  await bus.close();
  await nats.stop();
  await rm(spoolFolder, { recursive: true });
});

beforeEach(() => {
  isStoreThere = true;
  logLines.length = 0;
  limits = {
    'upload-max-files': '3',
    'upload-max-file-size': '2097152',
    'upload-max-total-size': '5242880',
    'upload-file-types': 'pdf:png:txt',
    'used-upload-max-files': '0',
    'used-upload-max-total-size': '0',
  };
  fold = new PlayedFold();
  fold.answer = (record) => answered(record.type === 'request.fileLimits' ? limitsReply() : replyTo(record));
});

const from = { nickname: 'system', participantId: 0, type: 'External' as const };

function limitsReply(): Partial<FoldReply> {
  return {
    notices: [{ from, type: 'Notice', text: 'file-client-cfg-get', utcTime: 1, userData: limits }],
  };
}

function replyTo(record: CallRecord): Partial<FoldReply> {
  return record.type === 'request.fileUpload' ? { userData: { 'file-id': record.file.fileId } } : {};
}

const uploads = () =>
  fold.records.flatMap((record) => (record.type === 'request.fileUpload' ? [record] : []));

async function storedMessages(): Promise<number> {
  const jsm = await bus.connection.jetstreamManager();
  return (await jsm.streams.info(`OBJ_${FILE_BUCKET}`)).state.messages;
}

type Part = [name: string, value: string | { name: string; content: Uint8Array }];

function formOf(parts: Part[]): FormData {
  const form = new FormData();
  for (const [name, value] of parts)
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([value.content]), value.name);
  return form;
}

async function upload(parts: Part[], headers: Record<string, string> = {}) {
  const response = await fetch(`${chat}/file`, { method: 'POST', body: formOf(parts), headers });
  return { status: response.status, body: chatResponseSchema.parse(await response.json()) };
}

function post(path: string, fields: Record<string, string> = creds): Promise<Response> {
  return fetch(`${chat}/${path}`, { method: 'POST', body: new URLSearchParams(fields) });
}

const credentials: Part[] = Object.entries(creds);
const fileOf = (content: Uint8Array, name = 'invoice.pdf'): Part => ['file', { name, content }];

describe('file upload', () => {
  it('stores the content and says so to the session, with what else the form says (R7)', async () => {
    const content = randomBytes(300_000);
    const { status, body } = await upload([
      ...credentials,
      ['userData[file-description]', 'Rechnung für März'],
      fileOf(content, 'Rechnung – März.pdf'),
      ['userData[behind]', 'the file'],
    ]);
    expect(status).toBe(200);
    const fileId = body.userData?.['file-id'] ?? '';
    expect(body).toEqual({
      messages: [],
      chatEnded: false,
      statusCode: 0,
      alias: '204',
      chatId: CHAT_ID,
      userId: creds.userId,
      secureKey: creds.secureKey,
      userData: { 'file-id': expect.stringMatching(/^[0-9a-f]{32}$/) as string },
      monitored: false,
    });
    expect(fold.records.map(({ type }) => type)).toEqual(['request.fileLimits', 'request.fileUpload']);
    expect(uploads()[0]?.file).toEqual({
      fileId,
      name: 'Rechnung – März.pdf',
      sizeBytes: content.length,
      userData: { 'file-description': 'Rechnung für März', behind: 'the file' },
    });
    const kept = await store.get(fileId);
    const parts: Uint8Array[] = [];
    for await (const part of kept?.content ?? []) parts.push(part);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
  });

  it('takes a file that comes before its credentials, when it is small enough', async () => {
    const { status, body } = await upload([fileOf(randomBytes(2_000_000)), ...credentials]);
    expect([status, body.statusCode]).toEqual([200, 0]);
    expect(uploads()[0]?.file.sizeBytes).toBe(2_000_000);
  });

  it.each([
    { name: 'too many files', told: { 'used-upload-max-files': '3' }, code: 201, advice: '3' },
    { name: 'a file too large', told: { 'upload-max-file-size': '100' }, code: 202, advice: '100' },
    {
      name: 'a file too large for what is left',
      told: { 'used-upload-max-total-size': '5242000' },
      code: 202,
      advice: '5242880',
    },
    {
      name: 'a type that is not allowed',
      told: { 'upload-file-types': 'png:txt' },
      code: 203,
      advice: 'png:txt',
    },
  ])('refuses $name with code $code and stores nothing', async ({ told, code, advice }) => {
    Object.assign(limits, told);
    const before = await storedMessages();
    const { status, body } = await upload([...credentials, fileOf(randomBytes(200_000))]);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      statusCode: 2,
      chatEnded: false,
      chatId: CHAT_ID,
      errors: [{ code, advice }],
    });
    expect(uploads()).toEqual([]);
    expect(await storedMessages()).toBe(before);
  });

  it('refuses what may come only while an agent is there, before it is read', async () => {
    limits['upload-need-agent'] = 'true';
    fold.answer = () => answered({ ...limitsReply(), hasAgent: false });
    const before = await storedMessages();
    const { status, body } = await upload([...credentials, fileOf(randomBytes(200_000))]);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      statusCode: 2,
      chatEnded: false,
      errors: [{ code: errorCodes.mediaServer }],
    });
    expect(fold.records.map(({ type }) => type)).toEqual(['request.fileLimits']);
    expect(await storedMessages()).toBe(before);
  });

  it('does so in the words of the fold', async () => {
    const real = new RealFold();
    fold.answer = (record) => real.call(record);
    const service = chat.slice(0, chat.lastIndexOf('/'));
    const started = await fetch(service, { method: 'POST', body: new URLSearchParams({ nickname: 'Mira' }) });
    const { chatId, userId = '', secureKey = '' } = chatResponseSchema.parse(await started.json());
    const refusal = async () => {
      const body = formOf([['userId', userId], ['secureKey', secureKey], fileOf(Buffer.from('a'))]);
      const response = await fetch(`${service}/${chatId}/file`, { method: 'POST', body });
      return { status: response.status, body: chatResponseSchema.parse(await response.json()) };
    };
    const early = await refusal();
    expect(uploads()).toEqual([]);
    // As an older session-actor answers.
    fold.answer = async (record) => {
      const outcome = await real.call(record);
      if (outcome.kind === 'answered') delete outcome.answer.reply.hasAgent;
      return outcome;
    };
    const late = await refusal();
    expect(uploads()).toHaveLength(1);
    delete late.body.alias;
    expect(early).toEqual(late);
  });

  it.each([
    { name: 'an agent is there', needAgent: 'true', hasAgent: true },
    { name: 'none is needed', needAgent: 'false', hasAgent: false },
    { name: 'an older session-actor does not say', needAgent: 'true', hasAgent: undefined },
  ])('leaves the judgement about agents to the fold where $name', async ({ needAgent, hasAgent }) => {
    limits['upload-need-agent'] = needAgent;
    fold.answer = (record) =>
      answered(
        record.type === 'request.fileLimits'
          ? { ...limitsReply(), ...(hasAgent === undefined ? {} : { hasAgent }) }
          : replyTo(record),
      );
    expect((await upload([...credentials, fileOf(Buffer.from('a'))])).body.statusCode).toBe(0);
  });

  it('a repeat of what was taken is answered even when the agent has gone', async () => {
    limits['upload-need-agent'] = 'true';
    let hasAgent = true;
    fold.answer = (record) =>
      answered(record.type === 'request.fileLimits' ? { ...limitsReply(), hasAgent } : replyTo(record));
    const headers = { 'idempotency-key': randomBytes(16).toString('hex') };
    const first = await upload([...credentials, fileOf(Buffer.from('a'))], headers);
    hasAgent = false;
    expect(await upload([...credentials, fileOf(Buffer.from('a'))], headers)).toEqual(first);
  });

  it.each([
    { code: errorCodes.tooManyFiles, status: 400 },
    { code: errorCodes.mediaServer, status: 200 },
  ])('deletes what the fold refuses with code $code', async ({ code, status }) => {
    fold.answer = (record) =>
      answered(
        record.type === 'request.fileLimits'
          ? limitsReply()
          : { outcome: 'refused', code, reason: 'so it is' },
      );
    const answer = await upload([...credentials, fileOf(randomBytes(200_000))]);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ statusCode: 2, errors: [{ code, advice: 'so it is' }] });
    expect(await store.sizeOf(uploads()[0]?.file.fileId ?? '')).toBeUndefined();
  });

  it('keeps what the fold may have taken', async () => {
    fold.answer = (record) =>
      record.type === 'request.fileLimits' ? answered(limitsReply()) : { kind: 'timeout' };
    const { body } = await upload([...credentials, fileOf(randomBytes(200))]);
    expect(body.statusCode).toBe(1);
    expect(await store.sizeOf(uploads()[0]?.file.fileId ?? '')).toBe(200);
  });

  it('stores nothing for a wrong key', async () => {
    fold.answer = () => answered({ outcome: 'bad-key' });
    const before = await storedMessages();
    const { status, body } = await upload([...credentials, fileOf(randomBytes(200_000))]);
    expect([status, body.statusCode, body.errors?.[0]?.code]).toEqual([200, 2, 249]);
    expect(await storedMessages()).toBe(before);
  });

  it('a repeat with the same Idempotency-Key is the same file, even at the limit of files', async () => {
    const headers = { 'idempotency-key': randomBytes(16).toString('hex') };
    const first = await upload([...credentials, fileOf(Buffer.from('first'))], headers);
    limits['used-upload-max-files'] = '3';
    const second = await upload([...credentials, fileOf(Buffer.from('first'))], headers);
    expect(second).toEqual(first);
    const [one, two] = uploads();
    expect(two).toEqual(one);
    fold.answer = (record) =>
      answered(record.type === 'request.fileLimits' ? limitsReply() : { outcome: 'refused', code: 201 });
    await upload([...credentials, fileOf(Buffer.from('first'))], headers);
    // The refusal of a repeat that nobody knows any more does not take the first one's content.
    expect(await store.sizeOf(one?.file.fileId ?? '')).toBe(5);
  });

  it.each<{ name: string; parts: Part[] }>([
    { name: 'no file', parts: credentials },
    {
      name: 'another name of the part',
      parts: [...credentials, ['upload', { name: 'a.pdf', content: Buffer.from('a') }]],
    },
    { name: 'two files', parts: [...credentials, fileOf(Buffer.from('a')), fileOf(Buffer.from('b'))] },
    { name: 'a long file name', parts: [...credentials, fileOf(Buffer.from('a'), `${'n'.repeat(300)}.pdf`)] },
    {
      name: 'a field too long',
      parts: [...credentials, ['userData[k]', 'x'.repeat(20_000)], fileOf(Buffer.from('a'))],
    },
    {
      name: 'too much user data',
      parts: [...credentials, fileOf(Buffer.from('a')), ['userData[k]', 'x'.repeat(5_000)]],
    },
    {
      name: 'too many fields',
      parts: [
        ...credentials,
        ...Array.from({ length: 300 }, (_, i): Part => [`f${i}`, 'x']),
        fileOf(Buffer.from('a')),
      ],
    },
  ])('answers $name with 400 and keeps nothing', async ({ parts }) => {
    const before = await storedMessages();
    const { status, body } = await upload(parts);
    expect(status).toBe(400);
    expect(body).toMatchObject({ statusCode: 2, errors: [{ code: 400 }] });
    expect(uploads()).toEqual([]);
    // A deleted one leaves its description.
    expect(await storedMessages()).toBeLessThanOrEqual(before + 1);
  });

  it('answers missing credentials as wrong ones', async () => {
    const { status, body } = await upload([fileOf(Buffer.from('a'))]);
    expect([status, body.statusCode, body.chatEnded]).toEqual([200, 2, true]);
    expect(fold.records).toEqual([]);
  });

  it.each(['application/x-www-form-urlencoded', undefined])(
    'answers media type %s with 415',
    async (type) => {
      const response = await app.inject({
        method: 'POST',
        url: `/genesys/2/chat/support-web/${CHAT_ID}/file`,
        headers: type === undefined ? {} : { 'content-type': type },
      });
      expect(response.statusCode).toBe(415);
      expect(chatResponseSchema.parse(response.json()).errors?.[0]?.advice).toContain('multipart/form-data');
    },
  );

  it('says that it can be retried while the store is not there, or is full', async () => {
    isStoreThere = false;
    const away = await upload([...credentials, fileOf(Buffer.from('a'))]);
    expect([away.status, away.body.statusCode]).toEqual([503, 1]);
  });

  it('has room for so many transfers at once, and says when there is none', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    fold.answer = async (record) => {
      if (record.type === 'request.fileLimits') return answered(limitsReply());
      await held;
      return answered(replyTo(record));
    };
    const waiting = [1, 2].map(() => upload([...credentials, fileOf(Buffer.from('a'))]));
    while (uploads().length < 2) await new Promise((resolve) => setImmediate(resolve));
    const { status, body } = await upload([...credentials, fileOf(Buffer.from('a'))]);
    expect([status, body.statusCode]).toEqual([503, 1]);
    release();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
  });
});

/** Sends bytes as they are, and returns what comes back until the connection closes. */
function raw(text: string, options: { end?: boolean } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect((app.getHttpServer() as { address(): AddressInfo }).address().port, '127.0.0.1');
    let answer = '';
    socket.on('data', (bytes) => (answer += bytes.toString()));
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
    socket.write(text);
    if (options.end) socket.end();
  });
}

function rawUpload(body: string, length = body.length): string {
  return [
    `POST /genesys/2/chat/support-web/${CHAT_ID}/file HTTP/1.1`,
    'host: x',
    'content-type: multipart/form-data; boundary=b',
    `content-length: ${length}`,
    'connection: close',
    '',
    body,
  ].join(CRLF);
}

const field = (name: string, value: string) =>
  `--b${CRLF}content-disposition: form-data; name="${name}"${CRLF}${CRLF}${value}${CRLF}`;
const begun = `${field('userId', creds.userId)}${field('secureKey', creds.secureKey)}--b${CRLF}content-disposition: form-data; name="file"; filename="a.txt"${CRLF}${CRLF}content`;

async function spooledBytes(where: 'memory' | 'disk'): Promise<number> {
  const gauge = operations.registry.getSingleMetric('flexpush_chat_spooled_bytes');
  return (await gauge?.get())?.values.find(({ labels }) => labels['where'] === where)?.value ?? -1;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a large file that comes before its credentials', () => {
  const content = randomBytes(3_500_000);
  const wholeBody = () =>
    Buffer.concat([
      Buffer.from(`--b${CRLF}content-disposition: form-data; name="file"; filename="a.txt"${CRLF}${CRLF}`),
      content,
      Buffer.from(
        `${CRLF}${field('userId', creds.userId)}${field('secureKey', creds.secureKey)}--b--${CRLF}`,
      ),
    ]);

  beforeEach(() => {
    limits['upload-max-file-size'] = '3600000';
  });

  it('is stored as it is, once they have come', async () => {
    const { status, body } = await upload([fileOf(content), ...credentials]);
    expect([status, body.statusCode]).toEqual([200, 0]);
    expect(uploads()[0]?.file.sizeBytes).toBe(content.length);
    const kept = await store.get(body.userData?.['file-id'] ?? '');
    const parts: Uint8Array[] = [];
    for await (const part of kept?.content ?? []) parts.push(part);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
  });

  it('waits where nothing is left of it in any outcome, nor of a killed process', async () => {
    // Made before the start.
    expect(await readdir(spoolFolder)).toEqual([]);
    const outcomes: [string, () => Promise<unknown>, () => void][] = [
      ['taken', () => upload([fileOf(content), ...credentials]), () => undefined],
      [
        'bad key',
        () => upload([fileOf(content), ...credentials]),
        () => (fold.answer = () => answered({ outcome: 'bad-key' })),
      ],
      [
        'too large',
        () => upload([fileOf(content), ...credentials]),
        () => (limits['upload-max-file-size'] = '100'),
      ],
      ['no credentials', () => upload([fileOf(content)]), () => undefined],
      ['no store', () => upload([fileOf(content), ...credentials]), () => (isStoreThere = false)],
      [
        'broken off',
        () => raw(rawUpload(wholeBody().toString('latin1', 0, 3_000_000), 9_000_000), { end: true }),
        () => undefined,
      ],
    ];
    const before = fold.answer;
    for (let round = 0; round < 2; round++)
      for (const [, perform, prepare] of outcomes) {
        [fold.answer, isStoreThere, limits['upload-max-file-size']] = [before, true, '3600000'];
        prepare();
        await perform();
        await until(async () => (await spooledBytes('disk')) + (await spooledBytes('memory')) === 0);
        expect(await readdir(spoolFolder)).toEqual([]);
      }
  });

  it('does not reach the store for a wrong key', async () => {
    fold.answer = () => answered({ outcome: 'bad-key' });
    const before = await storedMessages();
    const { body } = await upload([fileOf(content), ...credentials]);
    expect(body.errors?.[0]?.code).toBe(249);
    expect(await storedMessages()).toBe(before);
  });

  it('is told to send them first where it can never wait, and nobody is asked', async () => {
    const { status, body } = await upload([fileOf(randomBytes(SPOOL_BYTES_MAX / 2 + 1)), ...credentials]);
    expect(status).toBe(400);
    expect(body.errors?.[0]?.advice).toBe(
      `of a file that comes before userId and secureKey at most ${SPOOL_BYTES_MAX / 2} bytes are taken; send them before the file`,
    );
    expect(fold.records).toEqual([]);
  });

  it('is answered 503 while others of its address wait, and taken when they have gone', async () => {
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    const other = connect(port, '127.0.0.1').on('error', () => undefined);
    other.write(rawUpload('', 9_000_000));
    other.write(wholeBody().subarray(0, 3_000_000));
    await until(async () => (await spooledBytes('disk')) > 2_900_000);
    const { status, body } = await upload([fileOf(content), ...credentials]);
    expect([status, body.statusCode, body.errors?.[0]?.code]).toEqual([503, 1, 503]);
    other.destroy();
    await until(async () => (await upload([fileOf(content), ...credentials])).status === 200);
  });

  it('is answered 503 where the disk fails, and the operator hears why', async () => {
    const broken = await startApp({
      calls: () => fold,
      files: () => store,
      env: { FLEXPUSH_FILE_SPOOL_FOLDER: join(spoolFolder, 'none') },
    });
    const send = async (size: number) => {
      const response = await fetch(`${broken.url}/genesys/2/chat/support-web/${CHAT_ID}/file`, {
        method: 'POST',
        body: formOf([fileOf(randomBytes(size)), ...credentials]),
      });
      return { status: response.status, body: chatResponseSchema.parse(await response.json()) };
    };
    try {
      broken.logLines.length = 0;
      const { status, body } = await send(3_000_000);
      expect([status, body.statusCode]).toEqual([503, 1]);
      expect(broken.logLines.join()).toContain('file.no-spool');
      expect((await send(1_000_000)).status).toBe(200);
    } finally {
      await broken.app.close();
    }
  });
});

describe('a broken upload', () => {
  it.each([
    { name: 'the form does not end', body: begun },
    { name: 'there is no form', body: 'what?' },
    { name: 'headers without end', body: `--b${CRLF}x: ${'y'.repeat(100_000)}` },
    { name: 'nothing', body: '' },
  ])('$name: it is answered with 400 and keeps nothing', async ({ body }) => {
    const before = await storedMessages();
    const answer = await raw(rawUpload(body));
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(chatResponseSchema.parse(JSON.parse(answer.slice(answer.indexOf('{'))))).toMatchObject({
      statusCode: 2,
    });
    expect(uploads()).toEqual([]);
    expect(await storedMessages()).toBe(before);
  });

  it('a client that stops sending is told so after the idle time, and has left nothing', async () => {
    const before = await storedMessages();
    const answer = await raw(rawUpload(begun, 1_000_000));
    expect(answer).toContain('nothing has come for 1500 ms');
    expect(await storedMessages()).toBe(before);
  }, 20_000);

  it('a client that goes away leaves nothing, and its place is free', async () => {
    const before = await storedMessages();
    for (let round = 0; round < 3; round++) await raw(rawUpload(begun, 1_000_000), { end: true });
    // The client knows of its end before chat-api does.
    await until(async () => (await upload([...credentials, fileOf(Buffer.from('a'))])).status === 200);
    expect(await storedMessages()).toBe(before + 2);
  });
});

describe('file download', () => {
  async function stored(content: Uint8Array, name: string): Promise<string> {
    const fileId = randomBytes(8).toString('hex');
    await store.put(
      fileId,
      (async function* () {
        yield content;
      })(),
    );
    fold.answer = () =>
      answered({ userData: { 'file-id': fileId, 'file-name': name, 'file-size': String(content.length) } });
    return fileId;
  }

  it.each([0, 1, 1_000_000])('gives %s bytes with their name and size', async (size) => {
    const content = randomBytes(size);
    const fileId = await stored(content, 'Rechnung "März".pdf');
    const response = await post(`file/${fileId}/download`);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': String(size),
      'content-disposition': `attachment; filename="Rechnung _M_rz_.pdf"; filename*=UTF-8''Rechnung%20%22M%C3%A4rz%22.pdf`,
      'x-content-type-options': 'nosniff',
    });
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    expect(fold.records).toMatchObject([{ type: 'request.fileDownload', fileId, userId: creds.userId }]);
  });

  it('says when the content has gone, and what the fold refuses', async () => {
    const fileId = await stored(Buffer.from('a'), 'a.txt');
    await store.delete(fileId);
    const gone = await post(`file/${fileId}/download`);
    expect(gone.status).toBe(400);
    expect(chatResponseSchema.parse(await gone.json()).errors).toEqual([
      { code: 404, advice: 'the content of the file is no longer kept' },
    ]);
    fold.answer = () =>
      answered({ outcome: 'refused', code: 404, reason: 'there is no such file in this chat' });
    const none = await post('file/other/download');
    expect([none.status, chatResponseSchema.parse(await none.json()).errors?.[0]?.code]).toEqual([400, 404]);
  });

  it('never asks the session for what is no file id', async () => {
    const response = await post('file/a%2Fb/download');
    expect(response.status).toBe(400);
    expect(fold.records).toEqual([]);
  });

  it('a damaged file breaks off instead of arriving whole', async () => {
    const fileId = await stored(randomBytes(1_000_000), 'a.txt');
    const jsm = await bus.connection.jetstreamManager();
    const { last_seq } = (await jsm.streams.info(`OBJ_${FILE_BUCKET}`)).state;
    await jsm.streams.deleteMessage(`OBJ_${FILE_BUCKET}`, last_seq - 3);
    const response = await post(`file/${fileId}/download`);
    await expect(response.arrayBuffer()).rejects.toThrow();
  }, 20_000);

  it('a client that goes away, or reads nothing, frees its place', async () => {
    const fileId = await stored(randomBytes(20_000_000), 'a.txt');
    const body = new URLSearchParams(creds).toString();
    const request = [
      `POST /genesys/2/chat/support-web/${CHAT_ID}/file/${fileId}/download HTTP/1.1`,
      'host: x',
      'content-type: application/x-www-form-urlencoded',
      `content-length: ${body.length}`,
      '',
      body,
    ].join(CRLF);
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
    for (const socket of sockets) socket.pause().write(request);
    while (fold.records.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    sockets[0]?.destroy();
    const statusOf = async () => {
      const { status, body } = await post(`file/${fileId}/download`);
      await body?.cancel();
      return status;
    };
    // As often as there are places, and the one that reads nothing is not waited for longer than the idle time.
    for (let place = 0; place < 2; place++) while ((await statusOf()) !== 200);
    sockets[1]?.destroy();
  }, 20_000);
});

describe('file delete', () => {
  it('deletes the content of what the fold lets go, and nothing else', async () => {
    // The downloads before may still be ending.
    let answer: Awaited<ReturnType<typeof upload>>;
    do answer = await upload([...credentials, fileOf(Buffer.from('a'))]);
    while (answer.status === 503);
    const fileId = answer.body.userData?.['file-id'] ?? '';
    fold.answer = () =>
      answered({ outcome: 'refused', code: 404, reason: 'there is no such file in this chat' });
    expect((await post(`file/${fileId}/delete`)).status).toBe(400);
    expect(await store.sizeOf(fileId)).toBe(1);
    fold.answer = () => answered({ userData: { 'file-id': fileId } });
    const response = await post(`file/${fileId}/delete`);
    expect(chatResponseSchema.parse(await response.json())).toMatchObject({ statusCode: 0 });
    expect(await store.sizeOf(fileId)).toBeUndefined();
  });
});

describe('file limits', () => {
  it('are a notice without a position (R6)', async () => {
    const response = await post('file/limits');
    expect(chatResponseSchema.parse(await response.json())).toMatchObject({
      statusCode: 0,
      messages: [{ type: 'Notice', text: 'file-client-cfg-get', from, userData: limits }],
    });
  });
});

describe('attachment', () => {
  it.each([
    { name: 'a.txt', header: `attachment; filename="a.txt"; filename*=UTF-8''a.txt` },
    { name: '日本.txt', header: `attachment; filename="__.txt"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt` },
    { name: `"'*%\\`, header: `attachment; filename="_'*__"; filename*=UTF-8''%22%27%2A%25%5C` },
    { name: '\ud800', header: `attachment; filename="_"; filename*=UTF-8''%EF%BF%BD` },
  ])('writes $name so that every client can read it', ({ name, header }) => {
    expect(attachment(name)).toBe(header);
  });
});
