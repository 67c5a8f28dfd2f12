import { checkedBars, mergeRuns, type CheckedBar } from './checked-bars';
import type { BenchResult } from './bench-result';

/** A bench in its short form. */
export interface ShortBench {
  readonly name: string;
  readonly short: string;
}

/** What a run has brought: a result, or why there is none. */
export type ShortRun =
  | { readonly kind: 'measured'; readonly result: BenchResult }
  | { readonly kind: 'failed'; readonly reason: string };

export interface CheckedBench {
  readonly bench: string;
  readonly ok: boolean;
  readonly seconds: number;
  /** Whether a ratio was measured once more; the better one counts. */
  readonly isMeasuredTwice: boolean;
  readonly bars: readonly CheckedBar[];
  /** Why there is no result, or no second one. */
  readonly error?: string;
}

/**
 * Runs a bench in its short form. It fails when a ratio is worse than the limit in two runs, when a promise is broken in
 * one, and when it has no result. Absolute figures never fail it.
 */
export async function checkBench(
  bench: ShortBench,
  run: (bench: ShortBench) => Promise<ShortRun>,
): Promise<CheckedBench> {
  const startedMs = performance.now();
  const judged = await measure(bench, run);
  return {
    bench: bench.name,
    ok: judged.error === undefined && judged.bars.every((bar) => bar.ok),
    seconds: Math.round((performance.now() - startedMs) / 1_000),
    ...judged,
  };
}

async function measure(
  bench: ShortBench,
  run: (bench: ShortBench) => Promise<ShortRun>,
): Promise<Pick<CheckedBench, 'bars' | 'isMeasuredTwice' | 'error'>> {
  const first = await run(bench);
  if (first.kind === 'failed') return { bars: [], isMeasuredTwice: false, error: first.reason };
  const bars = checkedBars(first.result);
  if (!isWorthRepeating(bars)) return { bars, isMeasuredTwice: false };
  const second = await run(bench);
  return second.kind === 'failed'
    ? { bars, isMeasuredTwice: true, error: `when measured again: ${second.reason}` }
    : { bars: mergeRuns(bars, checkedBars(second.result)), isMeasuredTwice: true };
}

/** A broken promise stays broken. */
function isWorthRepeating(bars: readonly CheckedBar[]): boolean {
  const missed = bars.filter(({ ok }) => !ok);
  return missed.length > 0 && missed.every(({ kind }) => kind === 'ratio');
}
