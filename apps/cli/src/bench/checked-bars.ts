import type { BenchResult } from './bench-result';

type JudgedBar = BenchResult['bars'][number];

/** A bar of a short run, with the line below which (or above which) it fails. */
export interface CheckedBar extends Pick<JudgedBar, 'name' | 'kind' | 'wanted' | 'value' | 'bar'> {
  readonly limit: number;
  readonly ok: boolean;
}

/** A short run on a shared machine says little: only what misses its bar by this factor is taken for a loss. */
const RATIO_SLACK = 2;

/** The ratios, with half of their bars as limit (or twice, where less is better), and the promises, which have no slack. */
export function checkedBars(result: BenchResult): CheckedBar[] {
  return result.bars.flatMap((bar) => {
    if (bar.kind === 'figure') return [];
    const slack = bar.kind === 'promise' ? 1 : RATIO_SLACK;
    const limit = bar.wanted === 'at least' ? bar.bar / slack : bar.bar * slack;
    const { name, kind, wanted, value, bar: wantedValue } = bar;
    return [{ name, kind, wanted, value, bar: wantedValue, limit, ok: isWithin({ value, wanted, limit }) }];
  });
}

function isWithin({ value, wanted, limit }: Pick<CheckedBar, 'value' | 'wanted' | 'limit'>): boolean {
  if (value === null || Number.isNaN(value)) return false;
  return wanted === 'at least' ? value >= limit : value <= limit;
}

/** Of two runs: the better ratio, for a machine is only ever in the way, but the worse promise, which must hold each time. */
export function mergeRuns(first: readonly CheckedBar[], second: readonly CheckedBar[]): CheckedBar[] {
  return first.map((one) => {
    const other = second.find(({ name }) => name === one.name);
    if (other === undefined) return one;
    const isOtherBetter = goodness(other) > goodness(one);
    return isOtherBetter === (one.kind === 'ratio') ? other : one;
  });
}

function goodness({ value, wanted }: CheckedBar): number {
  if (value === null || Number.isNaN(value)) return Number.NEGATIVE_INFINITY;
  return wanted === 'at least' ? value : -value;
}
