import type { FoldReply } from '@flexpush/contracts';
import { connectBus, ensureStreams, FileStore } from '@flexpush/nats-bus';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { spawn } from 'node:child_process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { answered, PlayedFold, startApp } from './app.fixture';

const FILE_BYTES = 100 * 1024 * 1024;
/** Chunks under way, socket buffers, and what the garbage collector keeps for itself. */
const GROWTH_BYTES_MAX = 6 * 1024 * 1024;
/**
 * Between two looks, at least. Where other specs have left a large heap to this worker, one look takes a second, and
 * looks must not become all it does.
 */
const SAMPLE_INTERVAL_MS = 250;
const SAMPLE_PAUSE_FACTOR = 2;
const SAMPLES_MIN = 1;

let nats: TestNats;
let bus: Awaited<ReturnType<typeof connectBus>>;
let app: NestFastifyApplication;
let url: string;
const fold = new PlayedFold();

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'files' });
  await ensureStreams(bus, {
    shardCount: 1,
    replicas: 1,
    logBytesMax: 2 ** 24,
    logAgeMaxMs: 3_600_000,
    fileBytesMax: 3 * FILE_BYTES,
  });
  const store = await FileStore.open(bus);
  ({ app, url } = await startApp({ calls: () => fold, files: () => store }));
});

afterAll(async () => {
  await app.close();
  await bus.close();
  await nats.stop();
});

/** What is alive: garbage that waits for its collection says nothing of what is kept. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Buffers are swept beside the collection that finds them dead; the next one waits for that.
  for (let round = 0; round < 2; round++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Runs a client in a process of its own, and returns its output and the most that was alive here meanwhile. */
async function whileClientRuns(script: string): Promise<{ output: string; growth: number; samples: number }> {
  const before = liveBytes();
  let most = before;
  let samples = 0;
  let sampler: NodeJS.Timeout | undefined;
  const lookLater = (delayMs: number): void => {
    sampler = setTimeout(() => {
      const startedAtMs = performance.now();
      most = Math.max(most, liveBytes());
      samples++;
      lookLater(Math.max(SAMPLE_INTERVAL_MS, SAMPLE_PAUSE_FACTOR * (performance.now() - startedAtMs)));
    }, delayMs);
  };
  lookLater(SAMPLE_INTERVAL_MS);
  const client = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  client.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  await new Promise((resolve) => client.once('close', resolve));
  clearTimeout(sampler);
  return { output, growth: most - before, samples };
}

const uploadScript = (target: string, isFileFirst: boolean) => `
const request = require('node:http').request(${JSON.stringify(target)}, {
  method: 'POST',
  headers: { 'content-type': 'multipart/form-data; boundary=b' },
}, (response) => response.on('data', (bytes) => process.stdout.write(bytes)));
const field = (name, value) => '--b\\r\\ncontent-disposition: form-data; name="' + name + '"\\r\\n\\r\\n' + value + '\\r\\n';
const credentials = field('userId', 'U') + field('secureKey', 'K');
if (${!isFileFirst}) request.write(credentials);
request.write('--b\\r\\ncontent-disposition: form-data; name="file"; filename="a.bin"\\r\\n\\r\\n');
const block = Buffer.alloc(65536, 7);
let left = ${FILE_BYTES} / block.length;
// At a pace that leaves time for some looks.
(function more() {
  if (left-- <= 0) return void request.end('\\r\\n' + (${isFileFirst} ? credentials : '') + '--b--\\r\\n');
  if (request.write(block)) setTimeout(more, 2);
  else request.once('drain', more);
})();`;

const downloadScript = (target: string) => `
const request = require('node:http').request(${JSON.stringify(target)}, {
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
}, (response) => {
  let bytes = 0;
  // Slower than the store.
  response.on('data', (part) => { bytes += part.length; response.pause(); setTimeout(() => response.resume(), 1); });
  response.on('end', () => process.stdout.write(String(bytes)));
});
request.end('userId=U&secureKey=K');`;

describe('100 MB with limits raised by option', () => {
  const chat = () => `${url}/genesys/2/chat/s/CHAT`;

  it('go up and down without coming to lie in memory', async () => {
    const limits: Partial<FoldReply> = {
      notices: [
        {
          from: { nickname: 'system', participantId: 0, type: 'External' },
          type: 'Notice',
          text: 'file-client-cfg-get',
          utcTime: 1,
          userData: {
            'upload-max-files': '3',
            'upload-max-file-size': String(FILE_BYTES),
            'upload-max-total-size': String(FILE_BYTES),
            'upload-file-types': '*',
          },
        },
      ],
    };
    fold.answer = ({ type }) =>
      answered(type === 'request.fileLimits' ? limits : { userData: { 'file-name': 'a.bin' } });
    const uploaded = async (isFileFirst: boolean) => {
      fold.records.length = 0;
      const up = await whileClientRuns(uploadScript(`${chat()}/file`, isFileFirst));
      expect(up.output).toContain('"statusCode":0');
      const upload = fold.records.find(({ type }) => type === 'request.fileUpload');
      const file = upload?.type === 'request.fileUpload' ? upload.file : undefined;
      expect(file?.sizeBytes).toBe(FILE_BYTES);
      expect(up.samples).toBeGreaterThanOrEqual(SAMPLES_MIN);
      expect(up.growth).toBeLessThan(GROWTH_BYTES_MAX);
      return { file, growth: up.growth };
    };
    const first = await uploaded(true);
    const up = await uploaded(false);
    const { file } = up;

    const down = await whileClientRuns(downloadScript(`${chat()}/file/${file?.fileId}/download`));
    expect(down.output).toBe(String(FILE_BYTES));
    expect(down.samples).toBeGreaterThanOrEqual(SAMPLES_MIN);
    expect(down.growth).toBeLessThan(GROWTH_BYTES_MAX);
    process.stdout.write(
      `upload +${up.growth} bytes, file first +${first.growth} bytes, download +${down.growth} bytes\n`,
    );
  }, 300_000);
});
