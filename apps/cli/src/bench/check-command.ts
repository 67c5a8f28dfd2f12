import { setMaxListeners } from 'node:events';
import type { Command } from 'commander';
import { paint, printLine, printProgress, printTable, printVerdict } from '../output';
import { INTERRUPTED_CODE, watchStopSignals } from '../up-signals';
import { checkBench, type CheckedBench, type ShortBench, type ShortRun } from './bench-check';
import type { CheckedBar } from './checked-bars';
import { runShort } from './short-run';

/** `bench check`: every bench in its short form, for a machine that nobody watches. */
export function registerCheck(parent: Command, benches: readonly ShortBench[]): void {
  parent
    .command('check')
    .argument('[name...]', 'benches to run instead of all')
    .description(
      'Each bench in a short form; fails when a ratio is below half of its bar or a promise is broken.',
    )
    .option('--json', 'print one JSON object as the last line')
    .action((names: readonly string[], given: { json?: boolean }) =>
      check(chosen(benches, names), given.json === true),
    );
}

function chosen(benches: readonly ShortBench[], names: readonly string[]): readonly ShortBench[] {
  const unknown = names.find((name) => !benches.some((bench) => bench.name === name));
  if (unknown !== undefined) throw new Error(`there is no bench "${unknown}"; see "flexpush bench list"`);
  return names.length === 0 ? benches : benches.filter(({ name }) => names.includes(name));
}

async function check(benches: readonly ShortBench[], json: boolean): Promise<void> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const signals = watchStopSignals(() => process.exit(INTERRUPTED_CODE));
  void signals.requested.then(() => stop.abort());
  try {
    const checked = await checkAll(benches, (bench) => runShort(bench, stop.signal), signals);
    if (signals.isRequested()) process.exit(INTERRUPTED_CODE);
    report(checked, json);
  } finally {
    signals.dispose();
  }
}

/** One after the other: they need the whole machine. */
async function checkAll(
  benches: readonly ShortBench[],
  run: (bench: ShortBench) => Promise<ShortRun>,
  signals: { isRequested(): boolean },
): Promise<CheckedBench[]> {
  const checked: CheckedBench[] = [];
  for (const [n, bench] of benches.entries()) {
    if (signals.isRequested()) break;
    printProgress(`${bench.name} (${n + 1} of ${benches.length})`);
    const one = await checkBench(bench, run);
    checked.push(one);
    if (!signals.isRequested()) printProgress(`  ${summaryOf(one)}`);
  }
  return checked;
}

function report(benches: readonly CheckedBench[], json: boolean): void {
  const failed = benches.filter(({ ok }) => !ok).length;
  const passed = benches.length - failed;
  if (!json) {
    printTable(['BENCH', 'WHAT', 'VALUE', 'BAR', 'FAILS', ''], benches.flatMap(rowsOf));
    printLine();
    printLine(`${passed} passed, ${failed} failed`);
  }
  const result = { verdict: failed === 0 ? ('pass' as const) : ('fail' as const), passed, failed, benches };
  printVerdict(result, json);
}

/** Every ratio, and promises that were broken. */
function shownBars({ bars }: CheckedBench): readonly CheckedBar[] {
  return bars.filter(({ kind, ok }) => kind === 'ratio' || !ok);
}

/** One line, for whoever does not see the table. */
export function summaryOf(one: CheckedBench): string {
  const figures = shownBars(one).map(
    ({ name, value, wanted, bar, limit, ok }) =>
      `${name} ${value ?? '-'} (bar: ${wanted} ${bar}${ok ? '' : `; FAILS ${beyond(wanted)} ${limit}`})`,
  );
  const twice = one.isMeasuredTwice ? ['measured twice, the better one counts'] : [];
  const error = one.error === undefined ? [] : [one.error];
  const verdict = one.ok ? 'ok' : paint('red', 'FAILED', process.stderr);
  return [`${verdict} after ${one.seconds} s`, ...twice, ...figures, ...error].join('; ');
}

export function rowsOf(one: CheckedBench): string[][] {
  const twice = one.isMeasuredTwice ? ', measured twice' : '';
  const rows = shownBars(one).map(({ name, value, wanted, bar, limit, ok }) => [
    one.bench,
    name,
    String(value ?? '-'),
    `${wanted} ${bar}`,
    `${beyond(wanted)} ${limit}`,
    `${ok ? 'ok' : paint('red', 'FAILED')}${twice}`,
  ]);
  if (one.error !== undefined)
    rows.push([one.bench, one.error, '-', '-', '-', `${paint('red', 'FAILED')}${twice}`]);
  if (rows.length > 0) return rows;
  // It has no ratio, and what it counts for correctness is as it must be.
  const kept = one.bars.map(({ name }) => name).join(', ');
  return [
    kept === ''
      ? [one.bench, 'runs to its end', '-', '-', '-', 'ok']
      : [one.bench, kept, '0', '-', '-', 'ok'],
  ];
}

function beyond(wanted: CheckedBar['wanted']): string {
  return wanted === 'at least' ? 'below' : 'above';
}
