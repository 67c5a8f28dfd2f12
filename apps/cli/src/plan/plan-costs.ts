import type { Flow } from './flows';

/** What runs; the order is that of the way of an event. */
export const kinds = [
  'chat-api',
  'session-actor',
  'resend-timer',
  'gms-node',
  'gms-registry',
  'nats',
  'redis',
] as const;
export type Kind = (typeof kinds)[number];

/** A figure, and where it is from. */
export interface Figure {
  readonly value: number;
  /** Of `flexpush bench`; else where in the code it stands. */
  readonly from: string;
  /** Of the run. */
  readonly on?: string;
  /** No bench tells it by itself: how it was come by. */
  readonly estimated?: string;
}

const ON = '2026-11-28';
const EARLIER = '2026-11-27';
const measured = (value: number, bench: string, on = ON): Figure => ({ value, from: `bench ${bench}`, on });
const estimated = (value: number, from: string, how: string): Figure => ({ value, from, estimated: how });

/**
 * Every figure that a plan is computed from, and the only place where one stands. After new runs of the benches put in
 * what they print, and run `npm run plan-doc`. Ranges of docs/performance.md stand here as their middle.
 */
export const COSTS = {
  /** Microseconds of CPU for each item, as the bench of that step alone measures them, at its full rate. */
  stepUs: {
    'chat-api': { refresh: measured(85, 'rest') },
    'session-actor': {
      event: measured(31, 'publish'),
      push: estimated(40, 'bench resend', 'dispatch, result and settling as of a resend'),
      refresh: measured(53, 'rest'),
      resend: measured(40, 'resend'),
      fire: estimated(20, 'bench resend', 'half of a resend, which is sent and settled too'),
    },
    'resend-timer': {
      resend: measured(7, 'resend'),
      fire: estimated(7, 'bench resend', 'as of a resend'),
    },
    'gms-node': { push: measured(40, 'deliver'), resend: measured(48, 'resend') },
    'gms-registry': {},
    nats: {
      event: measured(24, 'publish'),
      push: estimated(
        12,
        'bench publish',
        'half of a record: job and result travel many to a message, unstored',
      ),
      refresh: measured(39, 'rest'),
      resend: estimated(24, 'bench publish', 'no more than a record of an event'),
      fire: estimated(24, 'bench publish', 'no more than a record of an event'),
    },
    redis: {
      event: measured(13, 'publish'),
      push: estimated(17, 'bench resend', 'as of a resend'),
      refresh: measured(19, 'rest'),
      resend: measured(17, 'resend'),
      fire: estimated(17, 'bench resend', 'no more than a resend'),
    },
  } satisfies Record<Kind, Partial<Record<Flow, Figure>>>,

  /**
   * The same for an event with its push and its refresh, end to end, at the highest rate that is held. Where that is more
   * than the sum of the steps, because batches are small while no process is full, each step is taken that many times dearer.
   */
  endToEndUs: {
    'chat-api': measured(77, 'e2e'),
    'session-actor': measured(88, 'e2e'),
    'gms-node': measured(63, 'e2e'),
    nats: measured(63, 'e2e'),
    redis: measured(35, 'e2e'),
  } as Partial<Record<Kind, Figure>>,

  /** What each process takes of a core when nothing happens. */
  idleCores: measured(0.031, 'idle', EARLIER),

  /** Of the leader of the log's stream, at the highest rate that was seen; a stream is written one message at a time. */
  leaderUs: estimated(24, 'bench publish', 'all that a record costs NATS, as if one core had to do it'),
  /** For each follower that a message is copied to. No bench runs with replicas. */
  followerUs: estimated(12, 'bench publish', 'less than half of storing and giving out a message'),
  /** Records that one session-actor folds again per second when Redis has lost all. */
  replayPerS: measured(36_394, 'replay'),
  /** Of NATS, for each of them: with many session-actors the one stream is the limit. */
  replayNatsUs: measured(10, 'replay'),

  /** For each heartbeat that a session-actor hears. */
  beatNatsUs: estimated(2, 'none', 'a message of a few hundred bytes, sent on and not stored'),
  beatActorUs: estimated(10, 'none', 'read and noted'),

  memory: {
    serviceMb: measured(84, 'idle', EARLIER),
    /** Of a session-actor under load, with so many sessions in memory; quiet for two minutes it gives half of it back. */
    actorMb: estimated(540, 'bench resend', 'looked at from outside while it ran'),
    actorSessions: estimated(40_000, 'bench resend', 'its subscriptions, all of them in memory'),
    /** FLEXPUSH_SESSIONS_CACHED_MAX. */
    sessionsCachedPerShard: { value: 3_000, from: 'apps/session-actor/src/config.ts' } as Figure,
    /** FLEXPUSH_GMS_REMEMBERED_MAX, for ten minutes. */
    resultsRemembered: { value: 200_000, from: 'apps/gms-node/src/config.ts' } as Figure,
    resultBytes: estimated(250, 'apps/gms-node', 'an id and a result in a map'),
    natsMb: estimated(256, 'none', 'a server with its caches of blocks'),
    redisMb: estimated(32, 'none', 'a server without keys'),
    /** Of the ids that JetStream knows repeats by, two minutes of them. */
    natsIdBytes: estimated(200, 'none', 'an id, its sequence and its place in a map'),
  },

  redisBytes: {
    /** State, timer of the inactivity ladder, place among the snapshots. */
    session: measured(724, 'idle', EARLIER),
    /** An armed resend. */
    timer: estimated(160, 'bench timers', 'the bar of the bench'),
    /** Beside the event itself. */
    transcriptEvent: estimated(120, 'libs/redis-store', 'position, sender and time, and the entry of a hash'),
  },

  logBytes: {
    refresh: estimated(320, 'libs/contracts', 'record as JSON: ids, hash of the key, reply address'),
    fire: estimated(220, 'libs/contracts', 'record as JSON with one timer'),
    settled: estimated(120, 'libs/contracts', 'one result of a record with many'),
    /** Of each message: what the file store and the subject add. */
    message: estimated(60, 'nats-server', 'head, checksum and subject'),
    /** The header with the id that repeats are known by. */
    messageId: estimated(66, 'nats-server', 'a header with a UUID'),
    /** Beside the transcript. */
    snapshot: estimated(600, 'libs/session', 'packed state and head of a message'),
  },

  networkBytes: {
    push: estimated(1_100, 'libs/delivery', 'body of some 700 bytes and heads, answer included'),
    refresh: estimated(1_300, 'apps/chat-api', 'form, heads and an answer, without its events'),
    commit: estimated(700, 'libs/redis-store', 'packed state, timer and checkpoint, for each record'),
  },
} as const;

/** What is chosen, not measured. */
export const CHOICES = {
  /** What loses one of a kind goes on; a registry too, although nothing is lost without one. */
  nodesMin: 2,
  /** Cores that one NATS server is given. It uses several, other than a stream's leader. */
  natsServerCores: 4,
  /** A Redis master with more takes minutes to be copied to a new replica. */
  redisMasterBytesMax: 16 * 1024 ** 3,
  /** A Redis Cluster has three masters at least. */
  redisClusterMastersMin: 3,
  redisReplicasEach: 1,
  /** Fragmentation, buffers of clients and of replication. */
  redisOverhead: 1.25,
  /** maxmemory as part of the host: rewriting the append-only file takes memory too (as `flexpush doctor` says). */
  redisPartOfHost: 0.6,
  /** Room in the log, which refuses publishers when it is full. */
  logHeadroom: 1.25,
  memoryHeadroom: 1.25,
  /** Shards for each session-actor: enough to spread, few enough for batches of more than one record. */
  shardsPerActor: 16,
  shardsPerActorMin: 4,
  shardsMax: 1_024,
} as const;

/** Bounds of the product that a plan runs into. */
export const LIMITS = {
  /** Peers that a session-actor takes up. */
  sessionActors: 1_000,
  resendTimers: 256,
  gmsNodes: 1_000,
  /** FLEXPUSH_SHARDS. */
  shards: 4_096,
  /** FLEXPUSH_GMS_CONNECTIONS_MAX, to one destination: its default, and its highest value. */
  connectionsByDefault: 128,
  connectionsMax: 1_024,
  /** Beats of a session-actor a second. */
  beatsPerS: 4,
  /** JetStream knows repeats for so long. */
  duplicateWindowS: 120,
  rememberedS: 600,
} as const;

/** Microseconds of CPU that an item of this flow costs this kind; 0 when it has nothing to do with it. */
export function costUs(kind: Kind, flow: Flow): number {
  const steps: Partial<Record<Flow, Figure>> = COSTS.stepUs[kind];
  return (steps[flow]?.value ?? 0) * batchFactor(kind);
}

/** How many times dearer a step is at a rate that is planned for than in the bench of that step alone. */
export function batchFactor(kind: Kind): number {
  const steps: Partial<Record<Flow, Figure>> = COSTS.stepUs[kind];
  const whole = COSTS.endToEndUs[kind]?.value;
  const sum = (['event', 'push', 'refresh'] as const).reduce((us, flow) => us + (steps[flow]?.value ?? 0), 0);
  return whole === undefined || sum === 0 ? 1 : Math.max(1, whole / sum);
}

/** Bytes of a session-actor's memory for a session that it keeps there. */
export function cachedSessionBytes(): number {
  const { actorMb, serviceMb, actorSessions } = COSTS.memory;
  return (Math.max(0, actorMb.value - serviceMb.value) * 1024 ** 2) / actorSessions.value;
}

export interface NamedFigure extends Figure {
  readonly name: string;
}

/** All of them with their place in the table, for whoever wants to check a plan. */
export function allFigures(): NamedFigure[] {
  return figuresOf(COSTS, []);
}

function figuresOf(node: object, path: readonly string[]): NamedFigure[] {
  if ('value' in node && 'from' in node) return [{ name: path.join('.'), ...(node as Figure) }];
  return Object.entries(node).flatMap(([key, child]: [string, object]) => figuresOf(child, [...path, key]));
}
