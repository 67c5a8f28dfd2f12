import type { Judgement } from './judge';

/** What a drill must not exceed. `undefined` is no limit. */
export interface DrillLimits {
  readonly lost: number;
  readonly duplicated: number;
  readonly inversions: number;
  readonly afterConfirm: number;
  readonly overAttempts: number;
  readonly stranded: number;
  readonly takeoverMs?: number | undefined;
  readonly latenessP99Ms?: number | undefined;
  readonly latenessMaxMs?: number | undefined;
}

/** What holds for every drill unless it says otherwise. */
export const strictLimits: DrillLimits = {
  lost: 0,
  duplicated: 0,
  inversions: 0,
  afterConfirm: 0,
  overAttempts: 0,
  stranded: 0,
};

export interface LimitResult {
  readonly name: keyof DrillLimits;
  readonly value: number | null;
  readonly limit: number | null;
  readonly ok: boolean;
}

const names = [
  'lost',
  'duplicated',
  'inversions',
  'afterConfirm',
  'overAttempts',
  'stranded',
  'takeoverMs',
  'latenessP99Ms',
  'latenessMaxMs',
] as const satisfies readonly (keyof DrillLimits)[];

/** Each figure with its limit. A limit on a figure that could not be measured is broken: silence is no success. */
export function checkLimits(judgement: Judgement, limits: DrillLimits): LimitResult[] {
  return names.map((name) => {
    const value = judgement[name];
    const limit = limits[name] ?? null;
    return { name, value, limit, ok: limit === null || (value !== null && value <= limit) };
  });
}
