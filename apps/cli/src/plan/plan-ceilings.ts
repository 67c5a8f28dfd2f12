import type { Demand, Flows } from './flows';
import type { NatsPlan } from './nats-plan';
import { CHOICES, COSTS } from './plan-costs';
import type { RedisPlan } from './redis-plan';
import type { ServicePlan } from './service-plan';

/** `near`: above the target, and still below what can be. `passed`: this plan has the way past it. */
export type CeilingState = 'below' | 'near' | 'passed' | 'exceeded';

export interface Ceiling {
  readonly name: string;
  readonly unit: string;
  readonly now: number;
  /** What one of it does at most. */
  readonly limit: number;
  readonly state: CeilingState;
  /** How many times the demand, grown in all its parts alike, until the target is reached; null when there is none. */
  readonly reachedAtTimes: number | null;
  /** Whether this release has the way past it. */
  readonly isPassable: boolean;
  readonly passedBy: string;
}

interface Facts {
  readonly demand: Demand;
  readonly flows: Flows;
  readonly nats: NatsPlan;
  readonly redis: RedisPlan;
  readonly services: readonly ServicePlan[];
}

/** What one cluster ends at, the first one first. */
export function ceilingsOf(facts: Facts): Ceiling[] {
  return [streamLeader(facts), redisCore(facts), redisMemory(facts), sharedShards(facts)].sort(
    (a, b) => (a.reachedAtTimes ?? Infinity) - (b.reachedAtTimes ?? Infinity),
  );
}

function times(room: number, used: number): number | null {
  return used > 0 ? room / used : null;
}

function streamLeader({ nats, demand }: Facts): Ceiling {
  const { leaderPerS, leaderLimitPerS, streamsNeeded } = nats;
  const used = leaderPerS / leaderLimitPerS;
  const needed = streamsNeeded === 1 ? 'several' : String(streamsNeeded);
  return {
    name: "leader of the log's stream",
    unit: 'messages/s',
    now: leaderPerS,
    limit: leaderLimitPerS,
    state: used > 1 ? 'exceeded' : used > demand.targetUtilisation ? 'near' : 'below',
    reachedAtTimes: times(demand.targetUtilisation, used),
    isPassable: false,
    passedBy:
      `It would need ${needed} streams, each with a range of the shards and a leader of its own; this release has one. ` +
      'What can be done today: several clusters, each with a part of the chats.',
  };
}

function redisCore({ redis: { cores, masters }, demand }: Facts): Ceiling {
  const idle = COSTS.idleCores.value;
  const work = cores - masters * idle;
  const room = demand.targetUtilisation - idle;
  return {
    name: 'core of one Redis',
    unit: 'cores',
    now: work + idle,
    limit: 1,
    state: work > room ? 'passed' : 'below',
    reachedAtTimes: times(room, work),
    isPassable: true,
    passedBy: byCluster(masters),
  };
}

function redisMemory({ redis: { dataBytes, masters } }: Facts): Ceiling {
  const now = (dataBytes * CHOICES.redisOverhead) / 1024 ** 3;
  const limit = CHOICES.redisMasterBytesMax / 1024 ** 3;
  return {
    name: 'memory of one Redis',
    unit: 'GiB',
    now,
    limit,
    state: now > limit ? 'passed' : 'below',
    reachedAtTimes: times(limit, now),
    isPassable: true,
    passedBy: byCluster(masters),
  };
}

function byCluster(masters: number): string {
  const count = masters === 1 ? '' : ` of ${masters} masters`;
  return `Redis Cluster${count}, by the hash tag {s<n>} that all keys of a shard have (redis+cluster://...).`;
}

/** With fewer than four shards each, session-actors or Redis masters do not share the work any more. */
function sharedShards({ services, demand, redis }: Facts): Ceiling {
  const actors = services.find(({ kind }) => kind === 'session-actor');
  const shards = Math.min(demand.shards ?? CHOICES.shardsMax, CHOICES.shardsMax);
  const limit = Math.max(CHOICES.nodesMin, shards / CHOICES.shardsPerActorMin);
  const now = Math.max(actors?.nodes ?? 0, redis.masters);
  const hasMore = shards < CHOICES.shardsMax;
  const byActors = times((actors?.carriesPerS ?? 0) * limit, actors?.perS ?? 0);
  const byMasters = redis.masters === 1 ? Infinity : limit / redis.masters;
  return {
    name: 'nodes that share the shards',
    unit: 'nodes',
    now,
    limit,
    state: now > limit ? 'exceeded' : 'below',
    reachedAtTimes: byActors === null ? null : Math.min(byActors, byMasters),
    isPassable: hasMore,
    passedBy: hasMore
      ? 'More shards, in a new cluster: their number is fixed at the first start.'
      : 'Several clusters, each with a part of the chats.',
  };
}
