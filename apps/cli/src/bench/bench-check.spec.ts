import { checkBench, type ShortRun } from './bench-check';
import { atLeast, atMost, toBenchResult, type Bar } from './bench-result';
import { rowsOf, summaryOf } from './check-command';

const bench = { name: 'tried', short: '--seconds 1' };
const RATE = 'of the peer';
const BYTES = 'bytes of the peer';

/** Bars with the names of ratios are of these. */
function measured(...bars: readonly Bar[]): ShortRun {
  const ratios = Object.fromEntries(
    bars.filter(({ name }) => name === RATE || name === BYTES).map(({ name, value }) => [name, value ?? NaN]),
  );
  return { kind: 'measured', result: toBenchResult('tried', bars, {}, ratios) };
}

/** What the runs bring, one after the other. */
function runs(...brought: readonly ShortRun[]): { run: () => Promise<ShortRun>; count: () => number } {
  let count = 0;
  const next = () => Promise.resolve(brought[count++] ?? { kind: 'failed' as const, reason: 'one too many' });
  return { run: next, count: () => count };
}

it.each([
  { name: 'a ratio at half of its bar', bar: atLeast(RATE, 0.5, 1), ok: true },
  { name: 'a ratio below half of its bar', bar: atLeast(RATE, 0.49, 1), ok: false },
  { name: 'a ratio at twice of what it may be at most', bar: atMost(BYTES, 0.4, 0.2), ok: true },
  { name: 'a ratio above twice of what it may be at most', bar: atMost(BYTES, 0.41, 0.2), ok: false },
  { name: 'a ratio that could not be measured', bar: atLeast(RATE, null, 1), ok: false },
  { name: 'a ratio that is no number', bar: atLeast(RATE, NaN, 1), ok: false },
  { name: 'a promise that holds', bar: atMost('lost', 0, 0), ok: true },
  { name: 'a broken promise', bar: atMost('lost', 1, 0), ok: false },
  { name: 'a promise, which has no slack', bar: atMost('duplicated', 2, 1), ok: false },
  { name: 'requests that were refused', bar: atMost('failed', 1, 0), ok: false },
  { name: 'an absolute figure, however bad', bar: atMost('p99 ms', 90_000, 25), ok: true },
])('$name: ok is $ok', async ({ bar, ok }) => {
  const { run } = runs(measured(bar), measured(bar));
  expect(await checkBench(bench, run)).toMatchObject({ bench: 'tried', ok });
});

it('measures once more what falls below half, and takes the better ratio', async () => {
  const { run, count } = runs(
    measured(atLeast(RATE, 0.3, 1), atMost(BYTES, 0.1, 0.2)),
    measured(atLeast(RATE, 0.8, 1), atMost(BYTES, 0.3, 0.2)),
  );
  const checked = await checkBench(bench, run);
  expect(count()).toBe(2);
  expect(checked).toMatchObject({ ok: true, isMeasuredTwice: true, bars: [{ value: 0.8 }, { value: 0.1 }] });
  expect(summaryOf(checked)).toContain('measured twice');
  expect(rowsOf(checked)).toEqual([
    ['tried', RATE, '0.8', 'at least 1', 'below 0.5', 'ok, measured twice'],
    ['tried', BYTES, '0.1', 'at most 0.2', 'above 0.4', 'ok, measured twice'],
  ]);
});

it('fails when the ratio is below half twice, and tells the better one', async () => {
  const { run } = runs(measured(atLeast(RATE, 0.4, 1)), measured(atLeast(RATE, 0.3, 1)));
  expect(await checkBench(bench, run)).toMatchObject({ ok: false, bars: [{ value: 0.4, limit: 0.5 }] });
});

it('does not measure again what keeps its limits', async () => {
  const { run, count } = runs(measured(atLeast(RATE, 0.6, 1)));
  expect(await checkBench(bench, run)).toMatchObject({ ok: true, isMeasuredTwice: false });
  expect(count()).toBe(1);
});

it('does not give a broken promise a second chance', async () => {
  const { run, count } = runs(measured(atLeast(RATE, 0.3, 1), atMost('lost', 1, 0)));
  expect(await checkBench(bench, run)).toMatchObject({ ok: false, isMeasuredTwice: false });
  expect(count()).toBe(1);
});

it('fails when the second run breaks a promise, however good its ratio', async () => {
  const { run } = runs(
    measured(atLeast(RATE, 0.3, 1), atMost('lost', 0, 0)),
    measured(atLeast(RATE, 2, 1), atMost('lost', 3, 0)),
  );
  const checked = await checkBench(bench, run);
  expect(checked).toMatchObject({
    ok: false,
    bars: [
      { value: 2, ok: true },
      { value: 3, ok: false },
    ],
  });
  expect(rowsOf(checked).map(([, what]) => what)).toEqual([RATE, 'lost']);
});

it('fails when there is no result, and says why', async () => {
  const { run } = runs({ kind: 'failed', reason: 'no redis-server' });
  const checked = await checkBench(bench, run);
  expect(checked).toMatchObject({ ok: false, bars: [], error: 'no redis-server' });
  expect(summaryOf(checked)).toContain('no redis-server');
  expect(rowsOf(checked)).toHaveLength(1);
});

it('shows a bench without ratios in one row', async () => {
  const promising = await checkBench(bench, runs(measured(atMost('lost', 0, 0), atMost('p99 ms', 9, 5))).run);
  expect(rowsOf(promising)).toEqual([['tried', 'lost', '0', '-', '-', 'ok']]);
  const absolute = await checkBench(bench, runs(measured(atMost('p99 ms', 9, 5))).run);
  expect(rowsOf(absolute)).toEqual([['tried', 'runs to its end', '-', '-', '-', 'ok']]);
});
