import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { newIncarnation } from './service';

const root = join(__dirname, '..', '..', '..');
const fixture = join(__dirname, 'service.fixture.ts');

function start(env: Record<string, string>) {
  const child = spawn(
    process.execPath,
    ['--conditions', '@flexpush/source', '--require', join(root, 'tools', 'register-sources.cjs'), fixture],
    {
      cwd: root,
      env: { ...process.env, FLEXPUSH_LOG_LEVEL: 'debug', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  const lines: Record<string, unknown>[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  const seen = async (fact: string) => {
    while (!lines.some(({ msg }) => msg === fact)) await once(child.stdout, 'data');
  };
  /** Exit code and signal, when everything that it said is read. */
  const ended = async () => (await Promise.all([once(child, 'close'), once(reader, 'close')]))[0];
  return { child, lines, seen, ended };
}

it('a later incarnation sorts higher, and two of one millisecond differ', () => {
  const startsMs = [1_000, 1_790_000_000_000, 1_790_000_000_001, 1_900_000_000_000];
  const incarnations = startsMs.map(newIncarnation);
  expect([...incarnations].sort()).toEqual(incarnations);
  expect(newIncarnation(1_000)).not.toBe(newIncarnation(1_000));
});

describe('runService', () => {
  it('stops in the written order, past a step that fails and one that hangs', async () => {
    const { child, lines, seen, ended } = start({ FLEXPUSH_STOP_STEP_TIMEOUT_MS: '100' });
    await seen('service.started');
    child.kill('SIGTERM');
    const [code] = (await ended()) as [number];
    expect(code).toBe(0);
    // By their own times: on a pipe, a line may come out after later ones.
    const steps = lines
      .filter(({ msg }) => msg === 'service.stop-step')
      .sort((a, b) => Date.parse(String(a['time'])) - Date.parse(String(b['time'])))
      .map(({ step, outcome }) => [step, outcome]);
    expect(steps).toEqual([
      ['first', 'done'],
      ['failing', 'failed: on purpose'],
      ['hanging', 'timed out'],
      ['last', 'done'],
      ['close http', 'done'],
    ]);
  });

  it('ends with its parent when asked to', async () => {
    const { child, seen, ended } = start({
      FLEXPUSH_EXIT_WITH_PARENT: '1',
      FLEXPUSH_STOP_STEP_TIMEOUT_MS: '100',
    });
    await seen('service.started');
    child.stdin.end();
    expect(await ended()).toEqual([0, null]);
  });

  it('refuses a wrong configuration with exit code 78', async () => {
    const { child, ended } = start({ FLEXPUSH_HTTP_PORT: 'eighty' });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    expect(await ended()).toEqual([78, null]);
    expect(stderr).toContain('FLEXPUSH_HTTP_PORT');
  });

  it('crashes on an error that nobody expected, for the supervisor to start it again', async () => {
    const { lines, ended } = start({ CRASH: '1' });
    expect(await ended()).toEqual([1, null]);
    expect(lines.map(({ msg }) => msg)).toContain('process.crashed');
  });
});
