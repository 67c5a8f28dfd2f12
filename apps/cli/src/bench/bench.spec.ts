import { spawn } from 'node:child_process';
import { join } from 'node:path';

const program = join(__dirname, '..', '..', 'dist', 'main.js');
jest.setTimeout(300_000);

interface Ended {
  readonly result: {
    readonly bench: string;
    readonly metrics: Record<string, unknown>;
    readonly ratios: Record<string, number>;
    readonly bars: readonly { name: string; value: number | null; ok: boolean }[];
  };
  readonly stderr: string;
}

/** In a process of its own. Times are measured by hand on an idle machine, so the exit code says nothing here. */
function bench(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'bench', ...args, '--json']);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('close', () => {
      const last = stdout.trim().split('\n').at(-1) ?? '{}';
      resolve({ result: JSON.parse(last) as Ended['result'], stderr });
    });
  });
}

/** Bars on correctness hold on any machine. */
function brokenPromises({ result }: Ended): string[] {
  const promised = /^(lost|early|duplicated|overAttempts|stranded)/;
  return result.bars.filter(({ name, ok }) => promised.test(name) && !ok).map(({ name }) => name);
}

it('names its benches, and refuses others', async () => {
  const { result } = await bench('list');
  const { benches } = result as unknown as { benches: { name: string }[] };
  expect(benches.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['resend', 'timers', 'takeover', 'replay']),
  );
  expect((await bench('run', 'nothing')).stderr).toContain('there is no bench "nothing"');
});

it('loses a session-actor twice and measures both times', async () => {
  const ended = await bench('run', 'takeover', '--sessions', '60', '--rate', '20', '--runs', '2');
  expect(ended.result).toMatchObject({
    bench: 'takeover',
    metrics: { runs: 2, loss: 'kill', gapMs: { median: expect.any(Number), p99: expect.any(Number) } },
  });
  expect(ended.result.metrics['each']).toHaveLength(2);
  expect(brokenPromises(ended)).toEqual([]);
});

it('wipes Redis and counts what is folded again', async () => {
  const ended = await bench('replay', '--records', '12000');
  expect(ended.result.bench).toBe('replay');
  const [node] = ended.result.metrics['nodes'] as { records: number }[];
  // The log holds these and what the watched chats have caused; some of it is folded before the wipe is noticed.
  expect(node?.records).toBeGreaterThan(11_000);
  expect(brokenPromises(ended)).toEqual([]);
});

it('sends unconfirmed pushes again and again, beside BullMQ and undici alone', async () => {
  const short = ['--subscriptions', '600', '--seconds', '2', '--repeats', '1'];
  const ended = await bench('run', 'resend', ...short);
  expect(ended.result).toMatchObject({
    bench: 'resend',
    metrics: {
      flexpush: { postsPerS: { median: expect.any(Number) }, cpuUsPerPost: expect.any(Object) },
      bullmq: { postsPerS: { median: expect.any(Number) }, failed: 0 },
    },
    ratios: { 'of bullmq': expect.any(Number), 'of undici': expect.any(Number) },
  });
  expect(ended.result.bars.map(({ name }) => name)).toContain('lost (at most)');
  expect(brokenPromises(ended)).toEqual([]);
});

it('fires timers beside pending ones, none early and none lost', async () => {
  const short = [
    '--pending',
    '5000',
    '--rate',
    '300',
    '--seconds',
    '1',
    '--at-once',
    '2000',
    '--repeats',
    '2',
  ];
  const ended = await bench('run', 'timers', ...short);
  const figures = {
    flexpush: { p99Ms: { median: expect.any(Number) }, perS: { median: expect.any(Number) } },
    bullmq: { p99Ms: { median: expect.any(Number) }, perS: { median: expect.any(Number) } },
  };
  expect(ended.result).toMatchObject({
    bench: 'timers',
    metrics: { bytes: { perTimer: expect.any(Number) }, paced: [figures], atOnce: figures },
    ratios: { 'of bullmq': expect.any(Number), 'bytes of bullmq': expect.any(Number) },
  });
  expect(ended.result.bars.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['early (at most)', 'lost (at most)']),
  );
  expect(brokenPromises(ended)).toEqual([]);
});
