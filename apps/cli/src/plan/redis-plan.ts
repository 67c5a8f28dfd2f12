import type { Demand } from './flows';
import { CHOICES, COSTS } from './plan-costs';
import { resourcesOf, type Resources } from './service-plan';
import { shardsFor } from './shard-count';
import { busiestShare } from './shard-spread';

const MIB = 1024 ** 2;
/** More are not looked for. */
const MASTERS_MAX = 1_000;

export interface RedisPlan {
  readonly masters: number;
  readonly replicasEach: number;
  /** One master has Sentinels beside it; a Cluster watches itself. */
  readonly sentinels: number;
  /** Of all masters together. */
  readonly cores: number;
  /** Part of a core that the busiest master uses; its replica takes over all of it. */
  readonly busiest: number;
  readonly oneLost: number;
  readonly perS: number;
  readonly carriesPerS: number | undefined;
  /** Of all masters together: what Redis calls used memory. */
  readonly dataBytes: number;
  /** For each server, replicas included. */
  readonly maxmemoryBytes: number;
  readonly hostBytes: number;
  readonly resources: Resources;
}

/** One master until its core or its memory is full, then a Cluster, whose masters have the shards by their hash tag. */
export function planRedis(demand: Demand, work: number, recordsPerS: number): RedisPlan | undefined {
  const { targetUtilisation: target } = demand;
  const dataBytes = dataBytesOf(demand);
  const share = (masters: number) => busiestShare(masters, demand.shards ?? shardsFor(masters));
  const used = (masters: number) => COSTS.idleCores.value + work * share(masters);
  const held = (masters: number) =>
    COSTS.memory.redisMb.value * MIB + dataBytes * CHOICES.redisOverhead * share(masters);
  let masters = 1;
  while (used(masters) > target || held(masters) > CHOICES.redisMasterBytesMax) {
    masters = Math.max(CHOICES.redisClusterMastersMin, masters + 1);
    if (masters > Math.min(MASTERS_MAX, demand.shards ?? MASTERS_MAX)) return undefined;
  }
  const maxmemoryBytes = held(masters);
  const hostBytes = maxmemoryBytes / CHOICES.redisPartOfHost;
  const { memoryMi } = resourcesOf(0, hostBytes / MIB / CHOICES.memoryHeadroom);
  return {
    masters,
    replicasEach: CHOICES.redisReplicasEach,
    sentinels: masters === 1 ? 3 : 0,
    cores: work + masters * COSTS.idleCores.value,
    busiest: used(masters),
    oneLost: used(masters),
    perS: recordsPerS,
    carriesPerS:
      work === 0
        ? undefined
        : (recordsPerS / work) * ((target - COSTS.idleCores.value) / (share(masters) * masters)),
    dataBytes,
    maxmemoryBytes,
    hostBytes,
    resources: { cpuMilli: resourcesOf(used(masters), 0).cpuMilli, memoryMi },
  };
}

/** Of every subscription a resend may be armed. */
function dataBytesOf({ sessions, subscriptionsShare, eventsPerChat, eventBytes }: Demand): number {
  const { session, timer, transcriptEvent } = COSTS.redisBytes;
  const transcript = eventsPerChat * (eventBytes + transcriptEvent.value);
  return sessions * (session.value + transcript + subscriptionsShare * timer.value);
}
