import type { CallRecord } from '@flexpush/actor-runtime';
import { chatResponseSchema, type FoldReply } from '@flexpush/contracts';
import type { Operations } from '@flexpush/process';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { answered, PlayedFold, startApp } from './app.fixture';
import type { FileStorePort } from './file-service';
import { UPLOAD_BYTES_PER_S_MIN, UPLOADS_PER_PARTICIPANT_MAX } from './transfer-desk';

const CRLF = '\r\n';
const PATH = '/genesys/2/chat/support-web';
const FORM = 'application/x-www-form-urlencoded';
/** A byte of theirs so often, far below every idle time. */
const TRICKLE_MS = 20;
const STRANGERS = 70;

let app: NestFastifyApplication;
let url: string;
let operations: Operations;
let fold: PlayedFold;
let sockets: Trickle[] = [];

/** Keeps what is put into it in memory. */
class MemoryStore implements FileStorePort {
  readonly files = new Map<string, Buffer>();

  async put(fileId: string, source: AsyncIterable<Uint8Array>) {
    const parts: Uint8Array[] = [];
    for await (const part of source) parts.push(part);
    const content = Buffer.concat(parts);
    this.files.set(fileId, content);
    return { kind: 'stored' as const, sizeBytes: content.length };
  }

  async sizeOf(fileId: string): Promise<number | undefined> {
    return this.files.get(fileId)?.length;
  }

  async get(): Promise<undefined> {
    return undefined;
  }

  async delete(fileId: string): Promise<void> {
    this.files.delete(fileId);
  }
}

/** A connection that sends its beginning, and then a drop so often until it is closed. */
class Trickle {
  readonly closed: Promise<string>;
  isClosed = false;
  private readonly socket: Socket;
  private readonly timer: NodeJS.Timeout | undefined;

  constructor(first: string, drop = '') {
    this.socket = connect((app.getHttpServer() as { address(): AddressInfo }).address().port, '127.0.0.1');
    let answer = '';
    this.socket.on('data', (bytes) => (answer += bytes.toString()));
    // Writing on what the server has closed.
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) =>
      this.socket.once('close', () => {
        this.isClosed = true;
        this.end();
        resolve(answer);
      }),
    );
    this.socket.write(first);
    if (drop !== '') this.timer = setInterval(() => this.socket.write(drop), TRICKLE_MS);
    sockets.push(this);
  }

  write(text: string): void {
    this.socket.write(text);
  }

  /** Sends nothing any more. */
  stop(): void {
    clearInterval(this.timer);
  }

  end(): void {
    this.stop();
    this.socket.destroy();
  }
}

async function start(env: Record<string, string>): Promise<void> {
  const store = new MemoryStore();
  fold = new PlayedFold();
  fold.answer = (record) => answered(replyTo(record));
  ({ app, url, operations } = await startApp({ calls: () => fold, files: () => store, env }));
}

afterEach(async () => {
  for (const socket of sockets) socket.end();
  sockets = [];
  await app.close();
});

function replyTo(record: CallRecord): Partial<FoldReply> {
  if (record.type === 'request.fileUpload') return { userData: { 'file-id': record.file.fileId } };
  if (record.type !== 'request.fileLimits') return {};
  if (record.userId === 'STRANGER') return { outcome: 'bad-key' };
  const userData = {
    'upload-max-files': '3',
    'upload-max-file-size': '2097152',
    'upload-max-total-size': '5242880',
    'upload-file-types': 'txt',
  };
  const from = { nickname: 'system', participantId: 0, type: 'External' as const };
  return { notices: [{ from, type: 'Notice', text: 'file-client-cfg-get', utcTime: 1, userData }] };
}

function head(path: string, headers: Record<string, string>): string {
  const lines = Object.entries({ host: 'x', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return [`POST ${path} HTTP/1.1`, ...lines, '', ''].join(CRLF);
}

const uploadHead = head(`${PATH}/CHAT/file`, {
  'content-type': 'multipart/form-data; boundary=b',
  'content-length': '1800000',
});
const field = (name: string, value: string) =>
  `--b${CRLF}content-disposition: form-data; name="${name}"${CRLF}${CRLF}${value}${CRLF}`;
const fileHead = `--b${CRLF}content-disposition: form-data; name="file"; filename="a.txt"${CRLF}${CRLF}`;

async function upload(content = 'content', userId = 'U') {
  const form = new FormData();
  form.append('userId', userId);
  form.append('secureKey', 'K');
  form.append('file', new Blob([content]), 'a.txt');
  const response = await fetch(`${url}${PATH}/CHAT/file`, { method: 'POST', body: form });
  return { status: response.status, body: chatResponseSchema.parse(await response.json()) };
}

function bodyOf(answer: string) {
  return chatResponseSchema.parse(JSON.parse(answer.slice(answer.indexOf('{'))));
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function counted(operation: string, outcome: string): Promise<number> {
  const lines = (await operations.registry.metrics()).split('\n');
  const line = lines.find(
    (one) =>
      one.startsWith('flexpush_chat_requests_total{') &&
      one.includes(`operation="${operation}"`) &&
      one.includes(`outcome="${outcome}"`),
  );
  return Number(line?.split(' ').at(-1) ?? 0);
}

async function inFlight(): Promise<number> {
  const gauge = operations.registry.getSingleMetric('flexpush_chat_requests_in_flight');
  return (await gauge?.get())?.values[0]?.value ?? -1;
}

describe('a request that does not come in time', () => {
  const urlencoded = { 'content-type': FORM };
  const json = { 'content-type': 'application/json' };

  beforeEach(() => start({ FLEXPUSH_RECEIVE_TIMEOUT_MS: '250' }));

  it.each([
    { name: 'a head that trickles', first: `POST ${PATH} HTTP/1.1${CRLF}`, drop: `x: y${CRLF}` },
    { name: 'a head that stalls', first: `POST ${PATH} HTTP/1.1${CRLF}host: x${CRLF}`, drop: '' },
    {
      name: 'a body that stalls',
      first: `${head(PATH, { ...urlencoded, 'content-length': '100' })}nick`,
      drop: '',
    },
    {
      name: 'a body that trickles',
      first: head(PATH, { ...urlencoded, 'content-length': '10000' }),
      drop: 'a',
    },
    {
      name: 'a body in chunks that trickles',
      first: head(PATH, { ...urlencoded, 'transfer-encoding': 'chunked' }),
      drop: `1${CRLF}a${CRLF}`,
    },
    {
      name: 'a multipart form without a file',
      first: head(PATH, { 'content-type': 'multipart/form-data; boundary=b', 'content-length': '9000' }),
      drop: 'a',
    },
    {
      name: 'a message of CometD',
      first: head('/genesys/cometd', { ...json, 'content-length': '1000' }),
      drop: '[',
    },
  ])('$name: it is answered with 408, counted, and the connection closed', async ({ first, drop }) => {
    const answer = await new Trickle(first, drop).closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer.toLowerCase()).toContain('connection: close');
    expect(bodyOf(answer)).toMatchObject({ statusCode: 1, errors: [{ code: 400 }] });
    expect(await counted('none', 'too-slow')).toBe(1);
    expect(await counted('none', 'invalid')).toBe(0);
    expect(fold.records).toEqual([]);
    await until(async () => (await inFlight()) === 0);
  });

  it('a connection that asks for nothing is closed, and counts as nothing', async () => {
    await new Trickle('').closed;
    expect(await counted('none', 'too-slow')).toBe(0);
  });

  it.each([
    { name: 'a media type that nobody reads', path: PATH, type: 'text/plain', status: 415 },
    {
      name: 'what is nearly an upload',
      path: `${PATH}/CHAT/file`,
      type: 'multipart/form-data-to-be',
      status: 415,
    },
    { name: 'no CometD client', path: '/genesys/2/chat-ntf', type: 'multipart/form-data', status: 400 },
  ])('a body that trickles behind an early answer, $name', async ({ path, type, status }) => {
    const length = { 'content-length': '10000' };
    const answer = await new Trickle(head(path, { 'content-type': type, ...length }), 'a').closed;
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  it('a body that comes in pieces and in time is read', async () => {
    const body = 'nickname=Mira';
    const one = new Trickle(
      head(PATH, { ...urlencoded, connection: 'close', 'content-length': String(body.length) }) +
        'nickname=Mir',
    );
    one.write('a');
    expect(bodyOf(await one.closed).statusCode).toBe(0);
  });

  it('the next request on a connection has its own time', async () => {
    const post = () =>
      fetch(`${url}${PATH}`, { method: 'POST', body: new URLSearchParams({ nickname: 'Mira' }) });
    const startedAtMs = performance.now();
    while (performance.now() - startedAtMs < 800) expect((await post()).status).toBe(200);
  });
});

describe('uploads of strangers', () => {
  const fileFirst = { name: 'send a file first', first: uploadHead + fileHead };

  it.each([
    { name: 'send no credentials', first: `${uploadHead}--b${CRLF}` },
    fileFirst,
    {
      name: 'have wrong credentials',
      first: uploadHead + field('userId', 'STRANGER') + field('secureKey', 'K') + fileHead,
    },
  ])(`${STRANGERS} that trickle and $name keep no upload from going through`, async ({ first }) => {
    await start({});
    for (let n = 0; n < STRANGERS; n++) new Trickle(first, 'a');
    await until(async () => (await inFlight()) === STRANGERS);
    expect((await upload()).status).toBe(200);
    expect(sockets.filter(({ isClosed }) => isClosed)).toEqual([]);
  });

  it.each([{ name: 'send no credentials', first: `${uploadHead}--b${CRLF}` }, fileFirst])(
    'that trickle and $name are told so and closed',
    async ({ first }) => {
      await start({ FLEXPUSH_FILE_START_TIMEOUT_MS: '150' });
      const answer = await new Trickle(first, 'a').closed;
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(bodyOf(answer).errors).toEqual([
        {
          code: 400,
          advice: 'userId and secureKey did not come within 150 ms; send them before the file',
        },
      ]);
      expect(await counted('file', 'too-slow')).toBe(1);
      expect(await inFlight()).toBe(0);
    },
  );

  it('make room for who comes later when they are too many, the oldest first', async () => {
    // A quarter of the requests are strangers: two.
    await start({ FLEXPUSH_REQUESTS_IN_FLIGHT_MAX: '8' });
    const [oldest, second, third] = [1, 2, 3].map(() => new Trickle(`${uploadHead}--b${CRLF}`, 'a'));
    const answer = (await oldest?.closed) ?? '';
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer.toLowerCase()).toContain('retry-after: 1');
    expect((await upload()).status).toBe(200);
    expect([second?.isClosed, third?.isClosed]).toContain(false);
  });

  it('a file that comes first at the pace of a slow phone is waited for', async () => {
    await start({ FLEXPUSH_FILE_START_TIMEOUT_MS: '150' });
    const content = 'x'.repeat(400);
    const drops = 40;
    const end = `${CRLF}${field('userId', 'U')}${field('secureKey', 'K')}--b--${CRLF}`;
    const bytes = fileHead.length + drops * content.length + end.length;
    const phone = new Trickle(
      head(`${PATH}/CHAT/file`, {
        'content-type': 'multipart/form-data; boundary=b',
        'content-length': String(bytes),
        connection: 'close',
      }) + fileHead,
    );
    // 20 KB/s, for some five times of the deadline.
    for (let n = 0; n < drops; n++) {
      phone.write(content);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    phone.write(end);
    expect(bodyOf(await phone.closed)).toMatchObject({ statusCode: 0 });
  });
});

describe('an upload whose credentials were accepted', () => {
  const known = uploadHead + field('userId', 'U') + field('secureKey', 'K') + fileHead;

  it('holds a place while it moves, and gives it back when nothing comes', async () => {
    await start({ FLEXPUSH_FILE_TRANSFERS_MAX: '1', FLEXPUSH_FILE_IDLE_TIMEOUT_MS: '400' });
    const slow = new Trickle(known, 'a');
    await until(async () => (await upload()).status === 503);
    slow.stop();
    const answer = await slow.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(bodyOf(answer).errors?.[0]?.advice).toBe('nothing has come for 400 ms');
    expect((await upload()).status).toBe(200);
  });

  it('has few more beside it of the same participant', async () => {
    await start({});
    for (let n = 0; n < UPLOADS_PER_PARTICIPANT_MAX; n++) new Trickle(known, 'a');
    await until(async () => (await upload()).status === 503);
    expect((await upload('content', 'ANOTHER')).status).toBe(200);
    for (const socket of sockets) socket.end();
    await until(async () => (await upload()).status === 200);
  });

  it('must come at a pace, and gives its place back when it does not', async () => {
    await start({ FLEXPUSH_FILE_TRANSFERS_MAX: '1', FLEXPUSH_FILE_PACE_WINDOW_MS: '400' });
    const slow = new Trickle(known, 'a');
    await until(async () => (await upload()).status === 503);
    const answer = await slow.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(bodyOf(answer).errors?.[0]?.advice).toBe(
      `less than ${UPLOAD_BYTES_PER_S_MIN} bytes per second have come for 400 ms`,
    );
    expect(await counted('file', 'too-slow')).toBe(1);
    expect((await upload()).status).toBe(200);
  });

  it('may come unsteadily, at the pace as an average', async () => {
    await start({ FLEXPUSH_FILE_PACE_WINDOW_MS: '400' });
    const drop = 'x'.repeat(UPLOAD_BYTES_PER_S_MIN);
    const phone = new Trickle(known);
    for (let n = 0; n < 6; n++) {
      phone.write(drop);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(phone.isClosed).toBe(false);
  });

  it('is not hurried by the time for credentials, nor by that of ordinary bodies', async () => {
    await start({ FLEXPUSH_RECEIVE_TIMEOUT_MS: '100', FLEXPUSH_FILE_START_TIMEOUT_MS: '100' });
    const content = 'x'.repeat(20);
    const drops = 25;
    const end = `${CRLF}--b--${CRLF}`;
    const begun = field('userId', 'U') + field('secureKey', 'K') + fileHead;
    const slow = new Trickle(
      head(`${PATH}/CHAT/file`, {
        'content-type': 'multipart/form-data; boundary=b',
        'content-length': String(begun.length + drops * content.length + end.length),
        connection: 'close',
      }) + begun,
    );
    for (let n = 0; n < drops; n++) {
      slow.write(content);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    slow.write(end);
    expect(bodyOf(await slow.closed)).toMatchObject({ statusCode: 0 });
  });
});
