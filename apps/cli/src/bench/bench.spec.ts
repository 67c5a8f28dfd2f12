import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resultsDir, savedResultSchema } from './saved-result';
import { until } from './wait';

const program = join(__dirname, '..', '..', 'dist', 'main.js');
jest.setTimeout(120_000);

interface Ended {
  readonly result: Record<string, unknown>;
  readonly stderr: string;
  readonly code: number | null;
}

/** In a process of its own. What each bench measures is looked at by `bench check`. */
function bench(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'bench', ...args, '--json']);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('close', (code) => {
      const last = stdout.trim().split('\n').at(-1) ?? '{}';
      resolve({ result: JSON.parse(last) as Ended['result'], stderr, code });
    });
  });
}

function read(dir: string, file: string): unknown {
  return JSON.parse(readFileSync(join(dir, file), 'utf8'));
}

it('names its benches, and refuses others', async () => {
  const { benches } = (await bench('list')).result as { benches: { name: string }[] };
  expect(benches.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['resend', 'timers', 'takeover', 'replay']),
  );
  expect((await bench('run', 'nothing')).stderr).toContain('there is no bench "nothing"');
  expect(await bench('check', 'publish', 'nothing')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no bench "nothing"'),
  });
});

it('checks a bench in its short form', async () => {
  const { result, stderr, code } = await bench('check', 'publish');
  expect(result).toMatchObject({
    benches: [
      {
        bench: 'publish',
        bars: [
          { name: 'of publish + consume', kind: 'ratio', bar: 0.5, limit: 0.25 },
          { name: 'lost', kind: 'promise', value: 0, ok: true },
        ],
      },
    ],
  });
  // How fast it is depends on what else the machine does.
  expect(code).toBe(result['verdict'] === 'pass' ? 0 : 1);
  expect(stderr).toContain('publish (1 of 1)');
});

it.each([
  { when: 'while its stack starts', begins: 'flexpush-' },
  { when: 'with a peer', begins: 'flexpush-bullmq-' },
])('leaves nothing behind when it is interrupted $when', async ({ begins }) => {
  const dir = mkdtempSync(join(tmpdir(), 'flexpush-interrupted-'));
  const env = { ...process.env, TMPDIR: dir };
  const child = spawn(process.execPath, [program, 'bench', 'run', 'e2e'], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const isThere = () =>
    readdirSync(dir).some((name) => name.startsWith(begins)) &&
    processesIn(dir).some((command) => command.includes('redis-server'));
  await until(() => Promise.resolve(isThere()), 'nothing was started', { lookMs: 5, maxMs: 60_000 });
  child.kill('SIGINT');
  expect(await ended).toBe(130);
  expect(readdirSync(dir)).toEqual([]);
  const areGone = () => processesIn(dir).length === 0;
  await until(() => Promise.resolve(areGone()), 'processes were left', { lookMs: 50, maxMs: 10_000 });
  rmSync(dir, { recursive: true });
});

/** Command lines of the processes that work in a folder, also when it is gone. */
function processesIn(dir: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const at = readlinkSync(`/proc/${pid}/cwd`);
      return at.startsWith(`${dir}/`) ? [readFileSync(`/proc/${pid}/cmdline`, 'utf8')] : [];
    } catch {
      // No process, or one that has just ended.
      return [];
    }
  });
}

it('keeps results with their commit and machine, one file each', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'fp-bench-'));
  try {
    const short = ['publish', '--seconds', '1', '--repeats', '1', '--sessions', '50', '--save', dir];
    const { result } = await bench('run', ...short);
    await bench('run', ...short);
    const files = readdirSync(dir).sort();
    expect(files).toHaveLength(2);
    expect(files[0]).toMatch(/^publish-\d{4}-\d{2}-\d{2}-[0-9a-z]+-2\.json$/);
    expect(files[1]).toMatch(/^publish-\d{4}-\d{2}-\d{2}-[0-9a-z]+\.json$/);
    const saved = savedResultSchema.parse(read(dir, files[1] ?? ''));
    expect(saved).toMatchObject({
      ...result,
      command: expect.stringContaining('bench run publish --seconds 1'),
    });
    expect(saved.machine).toMatchObject({
      node: process.versions.node,
      redis: expect.stringMatching(/^\d+\.\d+/),
      nats: expect.stringMatching(/^\d+\.\d+/),
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

it('has kept results in this shape only', () => {
  const files = readdirSync(resultsDir).filter((file) => file !== 'README.md');
  for (const file of files) {
    const { bench: name, date, commit } = savedResultSchema.parse(read(resultsDir, file));
    expect(file.startsWith(`${name}-${date.slice(0, 10)}-${commit.id}`)).toBe(true);
  }
});
