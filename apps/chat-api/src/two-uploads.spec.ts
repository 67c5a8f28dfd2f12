import { chatResponseSchema, FILE_BUCKET } from '@flexpush/contracts';
import { connectBus, ensureStreams, FileStore } from '@flexpush/nats-bus';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { answered, PlayedFold, startApp } from './app.fixture';

const CRLF = '\r\n';
const PATH = '/genesys/2/chat/support-web/CHAT/file';
const REPLICAS = 2;
const field = (name: string, value: string) =>
  `--b${CRLF}content-disposition: form-data; name="${name}"${CRLF}${CRLF}${value}${CRLF}`;

let nats: TestNats;
let buses: Awaited<ReturnType<typeof connectBus>>[];
let apps: NestFastifyApplication[];
let urls: string[];
let fold: PlayedFold;
let store: FileStore;

/** Two chat-api over one nats-server, as replicas are. */
beforeAll(async () => {
  nats = await startTestNats();
  buses = [];
  apps = [];
  urls = [];
  for (let n = 0; n < REPLICAS; n++) {
    const bus = await connectBus({ url: nats.url, name: `replica-${n}` });
    if (n === 0)
      await ensureStreams(bus, { shardCount: 1, replicas: 1, logBytesMax: 2 ** 26, logAgeMaxMs: 3_600_000 });
    const own = await FileStore.open(bus);
    store = own;
    const { app, url } = await startApp({ calls: () => fold, files: () => own });
    buses.push(bus);
    apps.push(app);
    urls.push(url);
  }
});
afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await Promise.all(buses.map((bus) => bus.close()));
  await nats.stop();
});

beforeEach(() => {
  fold = new PlayedFold();
  fold.answer = (record) => {
    if (record.type === 'request.fileUpload')
      return answered({ userData: { 'file-id': record.file.fileId } });
    const from = { nickname: 'system', participantId: 0, type: 'External' as const };
    const userData = {
      'upload-max-files': '3',
      'upload-max-file-size': '2097152',
      'upload-max-total-size': '5242880',
      'upload-file-types': 'txt',
    };
    return answered({
      notices: [{ from, type: 'Notice', text: 'file-client-cfg-get', utcTime: 1, userData }],
    });
  };
});

/** An upload that stands before its last byte until it is told to end. */
function beginUpload(url: string, content: Buffer, idempotencyKey: string) {
  const request = httpRequest(url + PATH, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=b', 'idempotency-key': idempotencyKey },
  });
  const answer = new Promise<{ status: number; body: ReturnType<typeof chatResponseSchema.parse> }>(
    (resolve, reject) => {
      request.once('error', reject);
      request.once('response', (response) => {
        text(response).then(
          (body) =>
            resolve({ status: response.statusCode ?? 0, body: chatResponseSchema.parse(JSON.parse(body)) }),
          reject,
        );
      });
    },
  );
  request.write(field('userId', 'U') + field('secureKey', 'K'));
  request.write(`--b${CRLF}content-disposition: form-data; name="file"; filename="a.txt"${CRLF}${CRLF}`);
  request.write(content.subarray(0, -1));
  const end = () => {
    request.write(content.subarray(-1));
    request.end(`${CRLF}--b--${CRLF}`);
  };
  return { answer, end };
}

async function stored(): Promise<number> {
  const jsm = await buses[0]?.connection.jetstreamManager();
  return (await jsm?.streams.info(`OBJ_${FILE_BUCKET}`))?.state.messages ?? 0;
}

describe('repeats of one upload at two replicas at the same time', () => {
  it.each([
    { ends: [0, 1], name: 'the first to begin ends first' },
    { ends: [1, 0], name: 'the second to begin ends first' },
  ])('$name: the file is wholly that one, as its record says', async ({ ends }) => {
    const before = await stored();
    const key = randomBytes(16).toString('hex');
    // Of different lengths: a client that repeats may send something else, by mistake or not.
    const contents = [randomBytes(300_000), randomBytes(400_001)];
    const uploads = contents.map((content, n) => beginUpload(urls[n] ?? '', content, key));
    // Both store chunks already: the first two of each are full.
    while ((await stored()) < before + 2 + 3) await new Promise((resolve) => setTimeout(resolve, 5));
    const [winner = 0, loser = 0] = ends;
    uploads[winner]?.end();
    const won = await uploads[winner]?.answer;
    expect([won?.status, won?.body.statusCode]).toEqual([200, 0]);
    uploads[loser]?.end();
    const lost = await uploads[loser]?.answer;
    expect([lost?.status, lost?.body.statusCode]).toEqual([503, 1]);

    const fileId = won?.body.userData?.['file-id'] ?? '';
    const found = await store.get(fileId);
    const parts: Uint8Array[] = [];
    for await (const part of found?.content ?? []) parts.push(part);
    const content = contents[winner] ?? Buffer.alloc(0);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
    const records = fold.records.filter(({ type }) => type === 'request.fileUpload');
    expect(records).toMatchObject([{ file: { fileId, sizeBytes: content.length } }]);
    expect(await stored()).toBe(before + Math.ceil(content.length / (128 * 1024)) + 1);

    // The one that was told to try again finds the file as it is.
    const again = beginUpload(urls[loser] ?? '', contents[loser] ?? Buffer.alloc(1), key);
    again.end();
    expect((await again.answer).body.userData).toEqual({ 'file-id': fileId });
    expect(fold.records.at(-1)).toMatchObject({ file: { fileId, sizeBytes: content.length } });
    expect(await store.sizeOf(fileId)).toBe(content.length);
  });
});
