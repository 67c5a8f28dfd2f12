import { recordsPerS, type Demand, type Flows } from './flows';
import { CHOICES, COSTS, LIMITS } from './plan-costs';
import { resourcesOf, type Resources } from './service-plan';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** FLEXPUSH_LOG_BYTES_MAX by default. */
const LOG_BYTES_MAX_DEFAULT = 2 * GIB;
/** Of the log's bound: the file store by default, and the dead letters. */
const FILES_PART = 1 / 2;
const DEAD_LETTERS_PART = 1 / 16;

export interface NatsPlan {
  readonly servers: number;
  readonly coresEach: number;
  readonly replicas: number;
  /** Of all servers together. */
  readonly cores: number;
  /** Part of its cores that a server uses. */
  readonly busiest: number;
  /** The same when one server is lost; null where that stops everything, because there is one copy only. */
  readonly oneLost: number | null;
  readonly memoryMb: number;
  readonly resources: Resources;
  /** Messages per second that the leader of the log stores, and that it can at most. */
  readonly leaderPerS: number;
  readonly leaderLimitPerS: number;
  /** Streams that would keep each leader below the target. The product has one. */
  readonly streamsNeeded: number;
  readonly logBytesPerS: number;
  /** Of one copy, at the end of its retention. */
  readonly logBytes: number;
  readonly snapshotBytes: number;
  /** FLEXPUSH_LOG_BYTES_MAX, which bounds the snapshots too. */
  readonly logBytesMax: number;
  /** With everything full. */
  readonly diskBytesEach: number;
}

export function planNats(asked: {
  demand: Demand;
  flows: Flows;
  actors: number;
  workCores: number;
}): NatsPlan {
  const { demand, flows, actors, workCores } = asked;
  const { replicas, targetUtilisation: target } = demand;
  const messagesPerS = recordsPerS(flows);
  const followerCores = (messagesPerS * (replicas - 1) * COSTS.followerUs.value) / 1e6;
  const beatCores = (actors ** 2 * LIMITS.beatsPerS * COSTS.beatNatsUs.value) / 1e6;
  const work = workCores + followerCores + beatCores;
  const used = (servers: number) => (work / servers + COSTS.idleCores.value) / CHOICES.natsServerCores;
  let servers = replicas;
  while (used(servers) > target || (servers > 1 && used(servers - 1) >= 1)) servers++;
  const leaderLimitPerS = 1e6 / (COSTS.leaderUs.value + (replicas - 1) * COSTS.followerUs.value);
  const oneLost = replicas > 1 ? used(servers - 1) : null;
  const memoryMb =
    COSTS.memory.natsMb.value +
    (flows.event * LIMITS.duplicateWindowS * COSTS.memory.natsIdBytes.value) / MIB;
  return {
    servers,
    coresEach: CHOICES.natsServerCores,
    replicas,
    cores: work + servers * COSTS.idleCores.value,
    busiest: used(servers),
    oneLost,
    memoryMb,
    resources: resourcesOf((oneLost ?? used(servers)) * CHOICES.natsServerCores, memoryMb),
    leaderPerS: messagesPerS,
    leaderLimitPerS,
    streamsNeeded: Math.max(1, Math.ceil(messagesPerS / (leaderLimitPerS * target))),
    ...bytesOf(demand, flows),
  };
}

/** One stream: each server that has a copy has all of it. */
function bytesOf(
  demand: Demand,
  { event, refresh, fire, resend }: Flows,
): Pick<NatsPlan, 'logBytesPerS' | 'logBytes' | 'snapshotBytes' | 'logBytesMax' | 'diskBytesEach'> {
  const { logBytes: bytes } = COSTS;
  const message = bytes.message.value;
  const logBytesPerS =
    event * (demand.eventBytes + message + bytes.messageId.value) +
    refresh * (bytes.refresh.value + message) +
    (fire + resend) * (bytes.fire.value + message) +
    resend * bytes.settled.value;
  const logBytes = logBytesPerS * demand.retentionHours * 3_600;
  const snapshotBytes =
    demand.sessions * (bytes.snapshot.value + message + demand.eventsPerChat * demand.eventBytes);
  const needed = Math.max(logBytes, snapshotBytes) * CHOICES.logHeadroom;
  const logBytesMax = Math.max(LOG_BYTES_MAX_DEFAULT, Math.ceil(needed / GIB) * GIB);
  const diskBytesEach =
    logBytesMax * (1 + FILES_PART + DEAD_LETTERS_PART) + snapshotBytes * CHOICES.logHeadroom;
  return { logBytesPerS, logBytes, snapshotBytes, logBytesMax, diskBytesEach };
}
