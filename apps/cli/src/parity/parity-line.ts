import type { ParityTarget } from './parity-target';

/** One line of the contract, and how to see whether a system keeps it. */
export interface ParityLine {
  /** Where it stands: a section of the contract, or the page. */
  source: string;
  what: string;
  /** The difference in words; undefined: as the contract says. `Skipped` when it cannot be judged here. */
  judge(target: ParityTarget): Promise<string | undefined>;
}

/** The first difference, if any. */
export function firstOf(...found: (string | undefined)[]): string | undefined {
  return found.find((difference) => difference !== undefined);
}
