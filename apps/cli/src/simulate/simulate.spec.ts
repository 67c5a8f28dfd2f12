import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const main = join(__dirname, '..', '..', 'dist', 'main.js');

function simulate(...args: string[]): { code: number | null; lines: string[]; errors: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'simulate', ...args], {
    encoding: 'utf8',
  });
  return { code: status, lines: stdout.trimEnd().split('\n'), errors: stderr };
}

jest.setTimeout(120_000);

it('passes seeds, and says so as JSON', () => {
  const { code, lines } = simulate('--seeds', '3', '--json');
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ verdict: 'pass', seeds: 3, passed: 3 });
  expect(code).toBe(0);
});

it('prints the seed that fails, its shortest history, and how to repeat it; the repeat is exact', () => {
  const { code, lines } = simulate('--off', 'replay', '--faults', 'redis-wipe', '--json');
  const result = JSON.parse(lines.at(-1) ?? '');
  expect(result).toMatchObject({ verdict: 'fail', failedSeed: expect.any(Number) });
  expect(result.shortest.history.join('\n')).toMatch(/!! redis-wipe[^]*## I\d/);
  expect(code).toBe(1);
  const repeated = simulate(...result.repeat.split(' ').slice(3), '--json');
  expect(JSON.parse(repeated.lines.at(-1) ?? '').violations).toEqual(result.violations);
  const told = simulate(...result.repeat.split(' ').slice(3));
  expect(told.lines.join('\n')).toMatch(new RegExp(`seed ${result.failedSeed} breaks a promise[^]*FAIL$`));
});

it('refuses what there is not, and says what there is', () => {
  const { code, errors } = simulate('--faults', 'earthquake');
  expect(errors).toMatch(/no "earthquake"; there are crash,/);
  expect(code).not.toBe(0);
});
