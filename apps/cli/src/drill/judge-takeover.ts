import { percentile, round } from '../bench/statistics';
import type { DrillHistory, Fault, SessionHistory } from './history';
import { latenessOf } from './lateness';

/** How long affected sessions were without a push, from the fault on. Several faults: the worst of each figure. */
export interface Takeover {
  /** To the first push of an affected session for an event that was published after the fault. */
  readonly firstMs: number;
  /** To the first push in each affected shard: the median, and the last shard. */
  readonly shardP50Ms: number;
  readonly shardMaxMs: number;
  readonly shards: number;
}

/** Null when nothing had to be taken over, or nothing was pushed again. */
export function takeoverOf(history: DrillHistory): Takeover | null {
  const takeovers = history.faults
    .map((fault) => takeoverAfter(fault, history))
    .filter((takeover) => takeover !== undefined);
  if (takeovers.length === 0) return null;
  const worst = (of: (takeover: Takeover) => number) => Math.max(...takeovers.map(of));
  return {
    firstMs: worst(({ firstMs }) => firstMs),
    shardP50Ms: worst(({ shardP50Ms }) => shardP50Ms),
    shardMaxMs: worst(({ shardMaxMs }) => shardMaxMs),
    shards: worst(({ shards }) => shards),
  };
}

/** Of one fault; undefined when nothing had to be taken over, or nothing was pushed again. */
export function takeoverAfter(fault: Fault, { sessions }: DrillHistory): Takeover | undefined {
  const { affected, atMs } = fault;
  if (affected === 'none') return undefined;
  const firstByShard = new Map<number, number>();
  for (const session of sessions) {
    if (affected !== 'all' && !affected.has(session.shard)) continue;
    const pushedAtMs = firstPushOfNewEvent(session, atMs);
    if (pushedAtMs === undefined) continue;
    const first = firstByShard.get(session.shard);
    if (first === undefined || pushedAtMs < first) firstByShard.set(session.shard, pushedAtMs);
  }
  if (firstByShard.size === 0) return undefined;
  const gapsMs = [...firstByShard.values()].map((pushedAtMs) => pushedAtMs - atMs);
  return {
    firstMs: round(Math.min(...gapsMs), 1),
    shardP50Ms: round(percentile(gapsMs, 50), 1),
    shardMaxMs: round(Math.max(...gapsMs), 1),
    shards: gapsMs.length,
  };
}

/**
 * Pushes that were on their way when the fault came prove nothing, so only one counts that names the position of an event
 * sent after it. Silent customers' triggers name an old position and do not count.
 */
function firstPushOfNewEvent(session: SessionHistory, faultAtMs: number): number | undefined {
  if (session.customer === 'silent') return undefined;
  const markers = new Set(
    session.events.filter(({ sentAtMs }) => sentAtMs >= faultAtMs).map(({ marker }) => marker),
  );
  if (markers.size === 0) return undefined;
  const positions = new Set(
    session.transcript?.filter(({ marker }) => markers.has(marker)).map(({ position }) => position),
  );
  return session.posts.find(({ atMs, position }) => atMs >= faultAtMs && positions.has(position))?.atMs;
}

/** A push that is later than this was held up. */
export const LATE_MS = 250;

/**
 * For each fault, in their order: from it until the last push that it held up, before the next fault. 0 when none was
 * late. A late push counts for the newest fault before it.
 */
export function backlogsAfter(history: DrillHistory): number[] {
  const { faults, sessions } = history;
  const goneAtMs = faults.map(({ atMs }) => atMs);
  for (const session of sessions)
    for (const { atMs, latenessMs } of latenessOf(session, history)) {
      if (latenessMs <= LATE_MS) continue;
      const run = faults.findLastIndex((fault) => fault.atMs <= atMs);
      if (run >= 0) goneAtMs[run] = Math.max(goneAtMs[run] ?? 0, atMs);
    }
  return faults.map((fault, run) => round((goneAtMs[run] ?? fault.atMs) - fault.atMs, 1));
}
