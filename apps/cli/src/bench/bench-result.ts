/** One thing that a bench must reach. */
export interface Bar {
  readonly name: string;
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
  readonly bars: readonly Bar[];
}

export function atMost(name: string, value: number | null, bar: number): Bar {
  return { name: `${name} (at most)`, value, bar, ok: value !== null && value <= bar };
}

export function atLeast(name: string, value: number | null, bar: number): Bar {
  return { name: `${name} (at least)`, value, bar, ok: value !== null && value >= bar };
}

/** Bars on `ratios` are those that hold on any machine; the others are of an absolute figure. */
export function toBenchResult(
  bench: string,
  bars: readonly Bar[],
  metrics: BenchResult['metrics'],
  ratios: BenchResult['ratios'] = {},
): BenchResult {
  return { bench, verdict: bars.every(({ ok }) => ok) ? 'pass' : 'fail', metrics, ratios, bars };
}
