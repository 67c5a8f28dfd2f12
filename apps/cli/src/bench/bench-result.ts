/**
 * What a bar is about. A ratio holds on any machine and a promise at any speed; a figure is worth what the machine is.
 */
export type BarKind = 'ratio' | 'promise' | 'figure';

/** One thing that a bench must reach. */
export interface Bar {
  readonly name: string;
  readonly wanted: 'at least' | 'at most';
  /** null: it could not be measured, which is no success. */
  readonly value: number | null;
  readonly bar: number;
  readonly ok: boolean;
}

export interface BenchResult {
  readonly bench: string;
  readonly verdict: 'pass' | 'fail';
  readonly metrics: Readonly<Record<string, unknown>>;
  readonly ratios: Readonly<Record<string, number>>;
  readonly bars: readonly (Bar & { readonly kind: BarKind })[];
}

/** What is counted for correctness. A load that is refused is none, however fast. */
const promises = new Set(['lost', 'early', 'duplicated', 'overAttempts', 'stranded', 'failed']);

export function atMost(name: string, value: number | null, bar: number): Bar {
  return { name, wanted: 'at most', value, bar, ok: value !== null && value <= bar };
}

export function atLeast(name: string, value: number | null, bar: number): Bar {
  return { name, wanted: 'at least', value, bar, ok: value !== null && value >= bar };
}

/** A bar is of a ratio when it has the name of one. */
export function toBenchResult(
  bench: string,
  bars: readonly Bar[],
  metrics: BenchResult['metrics'],
  ratios: BenchResult['ratios'] = {},
): BenchResult {
  const kindOf = (name: string): BarKind =>
    name in ratios ? 'ratio' : promises.has(name) ? 'promise' : 'figure';
  return {
    bench,
    verdict: bars.every(({ ok }) => ok) ? 'pass' : 'fail',
    metrics,
    ratios,
    bars: bars.map((bar) => ({ ...bar, kind: kindOf(bar.name) })),
  };
}
