import { printProgress } from '../output';
import { percentile, round } from './statistics';

export interface RoundsSettings {
  /** Length of one measurement. */
  readonly seconds: number;
  /** How often all of them are repeated. */
  readonly repeats: number;
}

/**
 * Measures each variant in turn, and all again, so that a noisy machine hurts all alike. Returns the figures of each
 * variant, one per round.
 */
export async function alternate<T, Name extends string>(
  variants: Readonly<Record<Name, () => Promise<T>>>,
  { repeats }: Pick<RoundsSettings, 'repeats'>,
): Promise<Record<Name, T[]>> {
  const names = Object.keys(variants) as Name[];
  const figures = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<Name, T[]>;
  for (let n = 1; n <= repeats; n++) {
    for (const name of names) {
      printProgress(`round ${n} of ${repeats}: ${name}`);
      figures[name].push(await variants[name]());
    }
  }
  return figures;
}

/** Median over the rounds of one figure against another of the same round. */
export function ratio(ours: readonly number[], theirs: readonly number[]): number {
  return round(
    percentile(
      ours.map((value, n) => value / (theirs[n] ?? Number.NaN)),
      50,
    ),
  );
}
