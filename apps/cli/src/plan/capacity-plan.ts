import { flowNames, flowsOf, recordsPerS, type Demand, type Flows } from './flows';
import { planNats, type NatsPlan } from './nats-plan';
import { CHOICES, COSTS, costUs, LIMITS, type Kind } from './plan-costs';
import { ceilingsOf, type Ceiling } from './plan-ceilings';
import { planRedis, type RedisPlan } from './redis-plan';
import { planServices, type ServicePlan } from './service-plan';
import { shardsFor } from './shard-count';

/** In bytes per second, all estimated from the sizes of bodies and records. */
export interface NetworkRates {
  readonly publishers: number;
  readonly log: number;
  readonly followers: number;
  readonly redis: number;
  readonly pushes: number;
  readonly rest: number;
}

export interface ShardPlan {
  readonly count: number;
  /** Named by whoever asked for the plan; else advised. */
  readonly isGiven: boolean;
}

export interface CapacityPlan {
  readonly kind: 'plan';
  readonly demand: Demand;
  readonly flows: Flows;
  readonly postsPerS: number;
  readonly shards: ShardPlan;
  readonly services: readonly ServicePlan[];
  /** Of each gms-node, by Little's law and with the same room as everything else; to one server if all go there. */
  readonly connectionsPerGmsNode: number;
  readonly nats: NatsPlan;
  readonly redis: RedisPlan;
  readonly network: NetworkRates;
  /** The one that is reached first comes first. */
  readonly ceilings: readonly Ceiling[];
  /** Whether one cluster of this release carries it. */
  readonly isCarried: boolean;
  /** How long it takes to fold the whole log again, when every copy of Redis is lost. */
  readonly rebuildS: number;
  /** Of the environment, where the default does not do or the value has to be the same everywhere. */
  readonly settings: Readonly<Record<string, string>>;
}

/** `too-few-shards`: those that were named do not spread this. `beyond-one-cluster`: so many clusters are needed. */
export type PlanOutcome =
  | CapacityPlan
  | { readonly kind: 'too-few-shards'; readonly advised: number | undefined }
  | { readonly kind: 'beyond-one-cluster'; readonly clusters: number };

/** Doubled from 2 on: more are not looked for. */
const CLUSTERS_MAX = 4_096;

/**
 * The smallest cluster that carries a demand.
 *
 * P1. No node is used above the target when nothing is broken, the busiest one with its unlucky share of shards included.
 * P2. Each kind goes on without any one of its nodes: the others stay below a core (of NATS: below their cores, when there
 *     is more than one replica).
 * P3. A greater demand, in any of its parts, needs no fewer of anything. (More pushes instead of polling is no greater
 *     demand, nor are more refreshes as long as they save pings.)
 * P4. What the nodes of a kind do adds up to the demand.
 */
export function planCapacity(demand: Demand): PlanOutcome {
  const plan = planCluster(demand);
  if (plan !== undefined) return plan;
  if (demand.shards !== undefined) {
    const advised = planCluster({ ...demand, shards: undefined });
    if (advised !== undefined) return { kind: 'too-few-shards', advised: advised.shards.count };
  }
  return { kind: 'beyond-one-cluster', clusters: clustersFor({ ...demand, shards: undefined }) };
}

function clustersFor(demand: Demand): number {
  const { sessions, eventsPerS } = demand;
  for (let clusters = 2; clusters < CLUSTERS_MAX; clusters *= 2) {
    const part = { ...demand, sessions: sessions / clusters, eventsPerS: eventsPerS / clusters };
    if (planCluster(part) !== undefined) return clusters;
  }
  return CLUSTERS_MAX;
}

/** Undefined when a bound of the product is in the way. */
function planCluster(demand: Demand): CapacityPlan | undefined {
  const flows = flowsOf(demand);
  const redis = planRedis(demand, workCores('redis', flows), recordsPerS(flows));
  if (redis === undefined) return undefined;
  const found = planServices({ demand, flows, mastersOfRedis: redis.masters, workCores });
  if (found === undefined) return undefined;
  const { services, actors } = found;
  const count = demand.shards ?? Math.max(shardsFor(actors), shardsFor(redis.masters));
  const postsPerS = flows.push + flows.resend;
  const gmsNodes = services.find(({ kind }) => kind === 'gms-node')?.nodes ?? 1;
  const nats = planNats({ demand, flows, actors, workCores: workCores('nats', flows) });
  const ceilings = ceilingsOf({ demand, flows, nats, redis, services });
  const connectionsPerGmsNode = Math.ceil(
    ((postsPerS / gmsNodes) * demand.receiverMs) / 1_000 / demand.targetUtilisation,
  );
  return {
    kind: 'plan',
    demand,
    flows,
    postsPerS,
    shards: { count, isGiven: demand.shards !== undefined },
    services,
    connectionsPerGmsNode,
    nats,
    redis,
    network: networkRates(demand, flows, nats),
    ceilings,
    isCarried: ceilings.every(({ state }) => state !== 'exceeded'),
    rebuildS: rebuildS(recordsPerS(flows) * demand.retentionHours * 3_600, actors),
    settings: settingsOf(demand, { shards: count, logBytesMax: nats.logBytesMax, connectionsPerGmsNode }),
  };
}

/** As many session-actors as there are fold the log again, unless its one stream cannot be read that fast. */
function rebuildS(records: number, actors: number): number {
  return records / Math.min(actors * COSTS.replayPerS.value, 1e6 / COSTS.replayNatsUs.value);
}

/** Cores that a kind spends on what happens, all its nodes together. */
function workCores(kind: Kind, flows: Flows): number {
  return flowNames.reduce((us, flow) => us + flows[flow] * costUs(kind, flow), 0) / 1e6;
}

function networkRates(demand: Demand, flows: Flows, nats: NatsPlan): NetworkRates {
  const { networkBytes, logBytes } = COSTS;
  const { event, refresh, push, resend } = flows;
  return {
    publishers: event * (demand.eventBytes + logBytes.messageId.value),
    log: nats.logBytesPerS,
    followers: nats.logBytesPerS * (demand.replicas - 1),
    redis:
      (recordsPerS(flows) * networkBytes.commit.value + event * demand.eventBytes) *
      (1 + CHOICES.redisReplicasEach),
    pushes: (push + resend) * networkBytes.push.value,
    rest: refresh * networkBytes.refresh.value + event * demand.eventBytes,
  };
}

function settingsOf(
  { replicas, retentionHours }: Demand,
  found: { shards: number; logBytesMax: number; connectionsPerGmsNode: number },
): Record<string, string> {
  const connections: Record<string, string> =
    found.connectionsPerGmsNode > LIMITS.connectionsByDefault
      ? { FLEXPUSH_GMS_CONNECTIONS_MAX: String(found.connectionsPerGmsNode) }
      : {};
  return {
    FLEXPUSH_SHARDS: String(found.shards),
    FLEXPUSH_STREAM_REPLICAS: String(replicas),
    FLEXPUSH_LOG_AGE_MAX_MS: String(retentionHours * 3_600_000),
    FLEXPUSH_LOG_BYTES_MAX: String(found.logBytesMax),
    ...connections,
  };
}
