import { chatResponseSchema, type ChatEvent } from '@flexpush/contracts';
import { hostileValue, watchUncaught } from '@flexpush/testkit';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import fc from 'fast-check';
import { RealFold, startApp } from './app.fixture';
import type { FileStorePort } from './file-service';
import { operations } from './operations';

/** 431: a path longer than headers may be. */
const STATUSES = new Set([200, 400, 404, 405, 413, 415, 431, 503]);
const FORM = 'application/x-www-form-urlencoded';
const BOUNDARY = 'fuzz';
const RUNS = 400;

class MemoryFiles implements FileStorePort {
  readonly contents = new Map<string, Buffer>();

  async put(fileId: string, source: AsyncIterable<Uint8Array>) {
    const parts: Uint8Array[] = [];
    for await (const part of source) parts.push(part);
    this.contents.set(fileId, Buffer.concat(parts));
    return { kind: 'stored' as const, sizeBytes: Buffer.concat(parts).length };
  }
  async sizeOf(fileId: string) {
    return this.contents.get(fileId)?.length;
  }
  async get(fileId: string) {
    const content = this.contents.get(fileId);
    return content && { sizeBytes: content.length, content: one(content) };
  }
  async delete(fileId: string) {
    this.contents.delete(fileId);
  }
}

async function* one(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}

let app: NestFastifyApplication;
let base: string;
let fold: RealFold;
let files: MemoryFiles;
let logLines: string[];
let uncaught: ReturnType<typeof watchUncaught>;

beforeAll(async () => {
  const started = await startApp({ calls: () => fold, files: () => files });
  ({ app, logLines } = started);
  base = `${started.url}/genesys/2/chat`;
});
afterAll(() => app.close());

interface Chat {
  chatId: string;
  userId: string;
  secureKey: string;
}
let open: Chat;
let ended: Chat;

beforeEach(async () => {
  uncaught = watchUncaught();
  logLines.length = 0;
  fold = new RealFold({ 'client-file-transfer/upload-max-files': '100' });
  files = new MemoryFiles();
  [open, ended] = [await startChat(), await startChat()];
  for (const { chatId } of [open, ended])
    fold.fold({
      v: 1,
      id: `join-${chatId}`,
      sessionId: chatId,
      type: 'participant.join',
      userId: 'agent',
      nickname: 'Jonas',
      participantType: 'Agent',
    } as never);
  fold.fold({ v: 1, id: 'end', sessionId: ended.chatId, type: 'session.end' } as never);
});

afterEach(async () => {
  await uncaught.none();
  uncaught.stop();
  expect(logLines.filter((line) => line.startsWith('error'))).toEqual([]);
});

async function startChat(): Promise<Chat> {
  const { body } = await send({ path: 'support', type: FORM, payload: Buffer.from('nickname=Mira') });
  return body as Chat & typeof body;
}

interface Request {
  path: string;
  type: string;
  payload: Buffer;
  method?: string;
}

/** Sends it, and holds what comes back against the contract. */
async function send({ path, type, payload, method = 'POST' }: Request) {
  const response = await fetch(`${base}/${path}`, {
    method,
    headers: { 'content-type': type },
    ...(method === 'GET' ? {} : { body: new Uint8Array(payload) }),
  });
  const text = await response.text();
  expect(STATUSES).toContain(response.status);
  expect(text).not.toMatch(/\bat .*\.(?:ts|js):\d+/);
  if (response.headers.get('content-type') === 'application/octet-stream')
    return { status: 200, body: undefined };
  const body = chatResponseSchema.strict().parse(JSON.parse(text));
  expect(body.statusCode === 0).toBe(body.errors === undefined);
  if (response.status >= 400) expect(body.statusCode).toBeGreaterThan(0);
  return { status: response.status, body };
}

const wild = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '0',
    '-1',
    '1e9',
    'NaN',
    '99999999999',
    'null',
    'true',
    '[object Object]',
    '\u0000',
    '\ud800',
  ),
  fc.string({ maxLength: 40, unit: 'binary' }),
  hostileValue.map((value) => (typeof value === 'string' ? value : String(JSON.stringify(value)))),
  fc.constantFrom(100, 128, 129, 2_049, 4_097, 16_384, 16_385, 30_000).map((length) => 'x'.repeat(length)),
  fc.constantFrom(
    'javascript:alert(1)',
    'https://www.example.org/ä',
    '../../etc/passwd',
    '<script>',
    "' OR 1=1 --",
  ),
);

const fieldName = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'message',
      'messageType',
      'transcriptPosition',
      'pushUrl',
      'nickname',
      'text',
      'subject',
      'emailAddress',
      'firstName',
      'lastName',
      'endpoint',
      'alias',
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'userData[k]',
      'userData[',
      'userData[]',
      'userData',
      'userData[a][b]',
      'userData[__proto__]',
      'userData[constructor]',
      'userData[GCTI_Chat_PushSubscribe]',
      '__proto__',
      'file',
    ),
  },
  { weight: 1, arbitrary: wild },
);

const fieldsOf = fc.array(fc.tuple(fieldName, wild), { maxLength: 12 });

const who = fc.constantFrom('open', 'ended', 'stranger', 'wrong-key', 'wrong-user', 'nobody') as fc.Arbitrary<
  'open' | 'ended' | 'stranger' | 'wrong-key' | 'wrong-user' | 'nobody'
>;

function credentialsOf(kind: string): [string, string][] {
  const { userId, secureKey } = kind === 'ended' ? ended : open;
  if (kind === 'nobody') return [];
  return [
    ['userId', kind === 'wrong-user' ? 'somebody' : userId],
    ['secureKey', kind === 'wrong-key' ? 'x' : secureKey],
  ];
}

const chatIdOf = (kind: string) =>
  kind === 'ended' ? ended.chatId : kind === 'stranger' ? '00021AAAAAAAAAAA' : open.chatId;

/** Without the halves of surrogates, which no URL can have. */
const wellFormed = (text: string) => Buffer.from(text).toString();

const operationName = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...operations.keys(), 'file/x/download', 'file/x/delete', 'file') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('dance', '__proto__', 'file/limits/x', 'file/..', 'file//download', ''),
  },
  { weight: 1, arbitrary: wild.map((text) => encodeURIComponent(wellFormed(text))) },
);

const urlEncoded = (fields: [string, string][]) =>
  Buffer.from(fields.map(([name, value]) => `${encodeName(name)}=${encodeName(value)}`).join('&'));
const encodeName = (text: string) => encodeURIComponent(wellFormed(text));

function multipart(fields: [string, string | Buffer][]): Buffer {
  const parts = fields.map(([name, value]) => {
    const file = typeof value === 'string' ? '' : `; filename="${name}.txt"`;
    const field = typeof value === 'string' ? name : 'file';
    const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${field}"${file}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head), Buffer.from(value as string), Buffer.from('\r\n')]);
  });
  return Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

/** Cut, doubled, or with bytes of it replaced. */
const damage = fc.record({
  kind: fc.constantFrom('none', 'cut', 'double', 'replace'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
});

function damaged(
  payload: Buffer,
  { kind, at, bytes }: { kind: string; at: number; bytes: Uint8Array },
): Buffer {
  const place = Math.floor(at * payload.length);
  if (kind === 'cut') return payload.subarray(0, place);
  if (kind === 'double') return Buffer.concat([payload.subarray(0, place), payload]);
  if (kind === 'replace')
    return Buffer.concat([payload.subarray(0, place), bytes, payload.subarray(place + bytes.length)]);
  return payload;
}

const mediaType = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(FORM, `${FORM}; charset=UTF-8`) },
  { weight: 3, arbitrary: fc.constant(`multipart/form-data; boundary=${BOUNDARY}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'application/json',
      'text/plain',
      'multipart/form-data',
      'multipart/form-data; boundary=',
      'x',
    ),
  },
);

describe('whatever is sent', () => {
  it('is answered in the shape of the contract, and the chat goes on as if nothing had been', async () => {
    const said: string[] = [];
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          operation: operationName,
          who,
          type: mediaType,
          fields: fieldsOf,
          damage,
          method: fc.constantFrom('POST', 'POST', 'POST', 'POST', 'GET', 'PUT'),
        }),
        async ({ operation, who: kind, type, fields, damage: harm, method }) => {
          // Leaving is no accident: the chat is needed to the end.
          if (operation === 'disconnect' && kind === 'open') return;
          const all = [...credentialsOf(kind), ...fields];
          const payload = damaged(type.startsWith('multipart') ? multipart(all) : urlEncoded(all), harm);
          const path = `support/${chatIdOf(kind)}/${operation}`;
          const { body } = await send({ path, type, payload, method });
          const isStranger = kind !== 'open' && kind !== 'ended';
          if (isStranger && body?.statusCode === 0) throw new Error(`${kind} was let in`);
          const message = `said ${said.length}`;
          const answer = await send({
            path: `support/${open.chatId}/send`,
            type: FORM,
            payload: urlEncoded([...credentialsOf('open'), ['message', message]]),
          });
          expect(answer.body?.statusCode).toBe(0);
          said.push(message);
        },
      ),
      { numRuns: RUNS },
    );
    const transcript = await wholeTranscript();
    expect(transcript.map(({ index }) => index)).toEqual(transcript.map((_, i) => i + 1));
    const texts = transcript.map(({ text }) => text);
    expect(said.filter((text) => !texts.includes(text))).toEqual([]);
  }, 120_000);

  it('as a request for a chat', async () => {
    await fc.assert(
      fc.asyncProperty(mediaType, fieldsOf, damage, async (type, fields, harm) => {
        const payload = type.startsWith('multipart') ? multipart(fields) : urlEncoded(fields);
        const { body } = await send({ path: 'support', type, payload: damaged(payload, harm) });
        if (body?.statusCode === 0) expect(fold.sessions.has(body.chatId)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('as an upload; and what is stored is what the chat knows of', async () => {
    const part = fc.oneof(
      fc.tuple(fieldName, wild),
      fc.tuple(
        fc.constantFrom('a', 'b'),
        fc.uint8Array({ maxLength: 70_000 }).map((bytes) => Buffer.from(bytes)),
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        who,
        fc.array(part, { maxLength: 6 }),
        fc.nat(6),
        damage,
        async (kind, parts, credentialsAt, harm) => {
          const all: [string, string | Buffer][] = [...parts];
          all.splice(credentialsAt, 0, ...credentialsOf(kind));
          const type = `multipart/form-data; boundary=${BOUNDARY}`;
          const path = `support/${chatIdOf(kind)}/file`;
          await send({ path, type, payload: damaged(multipart(all), harm) });
        },
      ),
      { numRuns: RUNS },
    );
    const known = [...fold.sessions.values()].flatMap(({ files: kept = [] }) => kept);
    expect(known.length).toBeGreaterThan(0);
    expect([...files.contents].map(([fileId, { length }]) => [fileId, length]).sort()).toEqual(
      known.map(({ fileId, sizeBytes }) => [fileId, sizeBytes]).sort(),
    );
  }, 120_000);
});

async function wholeTranscript(): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for (let position = 1; ;) {
    const { body } = await send({
      path: `support/${open.chatId}/refresh`,
      type: FORM,
      payload: urlEncoded([...credentialsOf('open'), ['transcriptPosition', String(position)]]),
    });
    if (!body || body.messages.length === 0) return events;
    events.push(...body.messages);
    position = body.nextPosition ?? 0;
  }
}
