import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { JudgedLine } from './parity-command';

const program = join(__dirname, '..', '..', 'dist', 'main.js');
jest.setTimeout(240_000);

interface Result {
  readonly verdict: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly lines: JudgedLine[];
}

async function parity(args: readonly string[]): Promise<{ code: number | null; result: Result }> {
  const { code, stdout } = await run(['--json', ...args]);
  return { code, result: JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Result };
}

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, 'parity', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

it('finds no line of the contract that the product does not keep', async () => {
  const { code, result } = await parity([]);
  expect(result.lines.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
  expect(code).toBe(0);
  expect(new Set(result.lines.map(({ chapter }) => chapter))).toEqual(
    new Set(['rest', 'files', 'push', 'cometd', 'inactivity']),
  );
});

it.each(['nonsense', 'gms:8080', 'http://gms:8080/genesys', 'ftp://gms'])(
  'says what --base-url must be, not %s',
  async (given) => {
    const { code, stderr } = await run(['--base-url', given]);
    expect(code).toBe(1);
    expect(stderr).toContain('--base-url');
    expect(stderr).toContain('such as http://gms.example.org:8080');
  },
);

describe('against a server that keeps nothing of it', () => {
  let server: Server;
  let url: string;

  beforeAll(async () => {
    // It answers, and what it says is nearly right: an old alias, no key, one event too many.
    const body = JSON.stringify({
      ...{
        statusCode: 0,
        chatId: '00021bBKRTX9M01C',
        userId: '00A1653C92D4000F',
        secureKey: 'k',
        alias: '204',
      },
      ...{ messages: [{ index: 7, type: 'Message' }], chatEnded: false, monitored: false, nextPosition: 8 },
    });
    server = createServer((request, response) => {
      request.resume().on('end', () => response.setHeader('content-type', 'application/json').end(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('says which lines differ and how, and skips what it cannot judge', async () => {
    const { code, result } = await parity(['--base-url', url]);
    expect([code, result.verdict]).toEqual([1, 'fail']);
    const line = (what: string) => result.lines.find((one) => one.what.startsWith(what));
    expect(line('request chat answers ids')).toMatchObject({
      outcome: 'fail',
      difference: 'messages: wanted 0 in the list, got [{"index":7,"type":"Message"}]',
    });
    expect(line('JSON is no form')).toMatchObject({
      outcome: 'fail',
      difference: 'HTTP status: wanted 415, got 200',
    });
    expect(line('the first reliable push')).toMatchObject({
      outcome: 'skipped',
      difference: expect.stringContaining('--receiver-port') as string,
    });
    expect(line('an agent joins')).toMatchObject({
      outcome: 'skipped',
      difference: expect.stringContaining('--nats') as string,
    });
    expect(line('a chat in which nobody writes')).toMatchObject({ outcome: 'skipped' });
    // What does not fail there judges nothing.
    const passed = result.lines.filter(({ outcome }) => outcome === 'pass').map(({ what }) => what);
    expect(passed).toEqual(['first and last name do in place of a nickname', 'answers are application/json']);
  });

  it('says once why lines are skipped', async () => {
    const { stdout } = await run(['--base-url', url]);
    const lines = stdout.split('\n');
    const skipped = lines.filter((line) => /^skip (rest|files|push|cometd|inactivity) /.test(line));
    const sentences = lines.filter((line) => /^skip of \d+: /.test(line));
    expect(skipped.length).toBeGreaterThan(sentences.length);
    expect(sentences.map((line) => line.replace(/^skip of \d+: /, ''))).toEqual([
      ...new Set(sentences.map((line) => line.replace(/^skip of \d+: /, ''))),
    ]);
    for (const flag of ['--nats', '--receiver-port']) expect(stdout.split(flag)).toHaveLength(2);
    const counted = sentences.map((line) => Number(/\d+/.exec(line)?.[0]));
    expect(counted.reduce((sum, count) => sum + count, 0)).toBe(skipped.length);
  });
});
