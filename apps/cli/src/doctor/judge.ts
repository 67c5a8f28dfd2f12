import type { DoctorFacts } from './facts';
import type { Finding, Level } from './finding';
import { judgeNats } from './judge-nats';
import { judgeRedis } from './judge-redis';
import { judgeSystem } from './judge-system';

export const profiles = ['production'] as const;
export type Profile = (typeof profiles)[number];

export interface Diagnosis {
  /** `fail`: the profile asked for is not met, or NATS or Redis could not be reached. */
  readonly verdict: 'pass' | 'fail';
  readonly profile: Profile | null;
  readonly counts: Readonly<Record<Level, number>>;
  readonly findings: readonly Finding[];
}

/** What can be lost, and how, by what was seen; pure. */
export function judge(facts: DoctorFacts, profile: Profile | null): Diagnosis {
  const findings = [...judgeNats(facts), ...judgeRedis(facts), ...judgeSystem(facts)];
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length;
  const counts = { unsafe: count('unsafe'), warning: count('warning'), note: count('note'), ok: count('ok') };
  // A Redis that nobody named was not looked at, so it cannot be called safe.
  const isMet = profile === null || (counts.unsafe === 0 && facts.redis.kind !== 'not-asked');
  return { verdict: isMet && isReached(facts) ? 'pass' : 'fail', profile, counts, findings };
}

/** False when NATS or Redis, where it was named, did not answer. */
export function isReached({ nats, redis }: DoctorFacts): boolean {
  return nats.kind === 'reached' && redis.kind !== 'unreachable';
}
