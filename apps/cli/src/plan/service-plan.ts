import { recordsPerS, type Demand, type Flows } from './flows';
import { cachedSessionBytes, CHOICES, COSTS, LIMITS, type Kind } from './plan-costs';
import { shardsFor } from './shard-count';
import { busiestShare, shardsOfBusiest } from './shard-spread';

const MIB = 1024 ** 2;

export type ServiceKind = Exclude<Kind, 'nats' | 'redis'>;

/** What Kubernetes is asked for, for each pod. */
export interface Resources {
  readonly cpuMilli: number;
  readonly memoryMi: number;
}

export interface ServicePlan {
  readonly kind: ServiceKind;
  readonly nodes: number;
  /** Of all nodes together. */
  readonly cores: number;
  /** Part of a core that the busiest node uses; a process has one core for its work. */
  readonly busiest: number;
  /** The same when one node is lost. */
  readonly oneLost: number;
  readonly item: string;
  /** Items per second of all nodes. */
  readonly perS: number;
  /** Items per second that one more node adds, at the target; undefined when there are none. */
  readonly carriesPerS: number | undefined;
  /** Resident, of each; of a session-actor when one is lost. */
  readonly memoryMb: number;
  readonly resources: Resources;
}

type Load = Pick<ServicePlan, 'kind' | 'nodes' | 'item' | 'perS' | 'memoryMb'> & {
  readonly work: number;
  /** Part of the work that the busiest of so many nodes has. */
  readonly share: (nodes: number) => number;
  /** What each node uses, whatever happens. */
  readonly base: number;
};

export interface ServicesAsked {
  readonly demand: Demand;
  readonly flows: Flows;
  readonly mastersOfRedis: number;
  readonly workCores: (kind: Kind, flows: Flows) => number;
}

/** Undefined when a bound is in the way: of the nodes that know each other, or of the shards that were named. */
export function planServices(asked: ServicesAsked): { services: ServicePlan[]; actors: number } | undefined {
  const actors = actorsFor(asked);
  if (actors === undefined) return undefined;
  const shards = asked.demand.shards ?? Math.max(shardsFor(actors), shardsFor(asked.mastersOfRedis));
  const target = asked.demand.targetUtilisation;
  const loads = [
    chatApi(asked),
    sessionActor(asked, { actors, shards }),
    resendTimer(asked),
    gmsNode(asked),
    registry(),
  ];
  const known = loads.filter((load) => load !== undefined);
  if (known.length < loads.length) return undefined;
  return { services: known.map((load) => finished(load, target)), actors };
}

/** The smallest number of nodes at which the busiest is below the target, and below a core when one more is lost. */
function nodesFor(
  fits: { target: number; least: number; most: number },
  used: (nodes: number) => number,
): number | undefined {
  for (let nodes = Math.max(CHOICES.nodesMin, fits.least); nodes <= fits.most; nodes++)
    if (used(nodes) <= fits.target && used(nodes - 1) < 1) return nodes;
  return undefined;
}

/** Each session-actor hears the beats of all. */
function beatsCores(actors: number): number {
  return (actors * LIMITS.beatsPerS * COSTS.beatActorUs.value) / 1e6;
}

function actorsFor({ demand, flows, workCores }: ServicesAsked): number | undefined {
  const { targetUtilisation: target, shards } = demand;
  const work = workCores('session-actor', flows);
  const most =
    shards === undefined
      ? LIMITS.sessionActors
      : Math.max(CHOICES.nodesMin, Math.floor(shards / CHOICES.shardsPerActorMin));
  const used = (nodes: number) =>
    COSTS.idleCores.value + beatsCores(nodes) + work * busiestShare(nodes, shards ?? shardsFor(nodes));
  return nodesFor(
    { target, least: Math.floor(work / target), most: Math.min(most, LIMITS.sessionActors) },
    used,
  );
}

function sessionActor(
  { demand, flows, workCores }: ServicesAsked,
  { actors, shards }: { actors: number; shards: number },
): Load {
  const { serviceMb, sessionsCachedPerShard } = COSTS.memory;
  const cached = shardsOfBusiest(actors - 1, shards) * sessionsCachedPerShard.value;
  return {
    kind: 'session-actor',
    nodes: actors,
    work: workCores('session-actor', flows),
    share: (nodes) => busiestShare(nodes, shards),
    base: COSTS.idleCores.value + beatsCores(actors),
    item: 'records',
    perS: recordsPerS(flows),
    memoryMb: serviceMb.value + (Math.min(cached, demand.sessions) * cachedSessionBytes()) / MIB,
  };
}

/** Claims a shard's timers as a whole; its own shards are spread like those of the session-actors. */
function resendTimer({ demand, flows, workCores }: ServicesAsked): Load | undefined {
  const work = workCores('resend-timer', flows);
  const share = (nodes: number) => busiestShare(nodes, demand.shards ?? shardsFor(nodes));
  const target = demand.targetUtilisation;
  const nodes = nodesFor(
    { target, least: Math.floor(work / target), most: LIMITS.resendTimers },
    (count) => COSTS.idleCores.value + work * share(count),
  );
  if (nodes === undefined) return undefined;
  return {
    kind: 'resend-timer',
    nodes,
    work,
    share,
    base: COSTS.idleCores.value,
    item: 'timers',
    perS: flows.resend + flows.fire,
    memoryMb: COSTS.memory.serviceMb.value,
  };
}

function gmsNode({ demand, flows, workCores }: ServicesAsked): Load | undefined {
  const { targetUtilisation: target, receiverMs } = demand;
  const perS = flows.push + flows.resend;
  const work = workCores('gms-node', flows);
  const connections = (perS * receiverMs) / 1_000;
  // Whatever is scarcer: the core, or the connections to the one server that all pushes may go to.
  const nodes = nodesFor(
    {
      target,
      least: Math.floor(Math.max(work, connections / LIMITS.connectionsMax) / target),
      most: LIMITS.gmsNodes,
    },
    (count) => Math.max(COSTS.idleCores.value + work / count, connections / count / LIMITS.connectionsMax),
  );
  if (nodes === undefined) return undefined;
  const { serviceMb, resultsRemembered, resultBytes } = COSTS.memory;
  const remembered = Math.min(resultsRemembered.value, (perS / (nodes - 1)) * LIMITS.rememberedS);
  return {
    ...even('gms-node', { nodes, work, item: 'POSTs', perS }),
    memoryMb: serviceMb.value + (remembered * resultBytes.value) / MIB,
  };
}

function chatApi({ demand, flows, workCores }: ServicesAsked): Load | undefined {
  const work = workCores('chat-api', flows);
  const target = demand.targetUtilisation;
  const nodes = nodesFor(
    { target, least: Math.floor(work / target), most: Infinity },
    (count) => COSTS.idleCores.value + work / count,
  );
  return nodes === undefined
    ? undefined
    : even('chat-api', { nodes, work, item: 'requests', perS: flows.refresh });
}

/** It only hears beats and tells who is there; a second one because the first may die. */
function registry(): Load {
  return even('gms-registry', { nodes: CHOICES.nodesMin, work: 0, item: 'views', perS: 0 });
}

/** Work that a load balancer or a hash over many chats divides evenly. */
function even(kind: ServiceKind, load: Pick<Load, 'nodes' | 'work' | 'item' | 'perS'>): Load {
  return {
    kind,
    ...load,
    share: (nodes) => 1 / nodes,
    base: COSTS.idleCores.value,
    memoryMb: COSTS.memory.serviceMb.value,
  };
}

function finished({ share, base, work, ...load }: Load, target: number): ServicePlan {
  const { nodes, perS, memoryMb } = load;
  const oneLost = base + work * share(nodes - 1);
  // What the busiest may carry, shared out as it is.
  const carries = work === 0 ? undefined : (perS / work) * ((target - base) / (share(nodes) * nodes));
  return {
    ...load,
    cores: work + nodes * base,
    busiest: base + work * share(nodes),
    oneLost,
    carriesPerS: carries,
    resources: resourcesOf(oneLost, memoryMb),
  };
}

const CPU_STEP_MILLI = 50;
const CPU_MIN_MILLI = 100;
const MEMORY_STEP_MI = 64;

/** Rounded up: cores as used when one node is lost, memory with headroom. */
export function resourcesOf(cores: number, memoryMb: number): Resources {
  const cpu = Math.ceil((cores * 1_000) / CPU_STEP_MILLI) * CPU_STEP_MILLI;
  const memory = Math.ceil((memoryMb * CHOICES.memoryHeadroom) / MEMORY_STEP_MI) * MEMORY_STEP_MI;
  return { cpuMilli: Math.max(CPU_MIN_MILLI, cpu), memoryMi: memory };
}
