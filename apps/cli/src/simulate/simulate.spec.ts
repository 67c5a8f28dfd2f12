import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const main = join(__dirname, '..', '..', 'dist', 'main.js');

function simulate(...args: string[]): { code: number | null; lines: string[]; errors: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'simulate', ...args], {
    encoding: 'utf8',
  });
  return { code: status, lines: stdout.trimEnd().split('\n'), errors: stderr };
}

const SEEDS = 200;
jest.setTimeout(300_000);

it(`keeps I1-I8 through ${SEEDS} seeds of crashes, freezes, zombies, cuts, losses and stepping clocks`, () => {
  const { code, lines } = simulate('--seeds', String(SEEDS), '--no-shrink', '--json');
  // A failure shows its seed and history.
  expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ verdict: 'pass', passed: SEEDS });
  expect(code).toBe(0);
});

/** What the outside sees of each, so that it is found for its own reason and not by an accident of the simulator. */
it.each([
  { off: 'checkpoint-comparison', shows: /^I[1268] /m },
  { off: 'commit-before-effect', shows: /^I[1268] /m },
  { off: 'barrier', shows: /^I5 .* after its confirm/m },
  { off: 'term-check', shows: /^I5 .* after its confirm/m },
  { off: 'outbox-redispatch', shows: /^I6 .* (never pushed|told of)/m },
  { off: 'confirm-check', shows: /^I5 /m },
  { off: 'replay', shows: /^I[268] /m },
])('finds out within the seeds that $off is switched off', ({ off, shows }) => {
  const { lines } = simulate('--off', off, '--seeds', String(SEEDS), '--no-shrink', '--json');
  const result = JSON.parse(lines.at(-1) ?? '') as { violations?: { rule: string; what: string }[] };
  expect(result.violations?.map(({ rule, what }) => `${rule} ${what}`).join('\n')).toMatch(shows);
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
