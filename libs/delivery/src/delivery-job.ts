import type { PushJob, PushOutcome } from '@flexpush/contracts';

/** A job with what its dispatch said of it. */
export interface DeliveryJob {
  job: PushJob;
  alias: string;
  /** Who wants the result. A repeated dispatch of the same id may come from the shard's next owner. */
  actorId: string;
  shard: number;
  term: number;
  /** When it was received, by the monotonic clock. */
  receivedAtMs: number;
}

export interface JobResult {
  outcome: PushOutcome;
  reason?: string;
}

/** Why a job failed, as a word; an HTTP status is `http-<status>`, a system error `connection-<code>`. */
export const reasons = {
  breakerOpen: 'destination-unreachable',
  unsupportedType: 'unsupported-device-type',
  tooManyDestinations: 'too-many-destinations',
  tooOld: 'older-than-dead-timeout',
  deposed: 'older-term',
  draining: 'draining',
  notEnabled: 'type-not-enabled',
} as const;
