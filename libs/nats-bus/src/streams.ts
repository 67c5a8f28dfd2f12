import {
  DEAD_LETTER_STREAM,
  CLUSTER_BUCKET,
  FILE_BUCKET,
  fnv1a32,
  LEASE_BUCKET,
  LOG_STREAM,
  OPTION_BUCKET,
  SKIP_BUCKET,
  SNAPSHOT_STREAM,
  shardOf,
  subjects,
} from '@flexpush/contracts';
import {
  DiscardPolicy,
  NatsError,
  nanos,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type KV,
  type KvOptions,
  type StreamConfig,
} from 'nats';
import { randomBytes } from 'node:crypto';
import type { NatsBus } from './bus';
import { waitFor } from './waiting';

export interface LogSettings {
  shardCount: number;
  replicas: number;
  /** A full log refuses publishers; it never forgets (DESIGN section 4). */
  logBytesMax: number;
  logAgeMaxMs: number;
  /** Of the file store; half of the log's unless it is given. A full store refuses files. */
  fileBytesMax?: number | undefined;
  /** After this a file is gone, whatever its chat does; a week unless it is given. */
  fileAgeMaxMs?: number | undefined;
}

/** The shard count is fixed at first start. */
export class ShardCountError extends Error {
  readonly code = 'SHARD_COUNT';
  readonly retryable = false;
  constructor(asked: number, kept: number) {
    super(
      `this cluster has ${kept} shards, fixed at its first start, and cannot run with ${asked}; set FLEXPUSH_SHARDS=${kept} and render nats.conf for ${kept}`,
    );
  }
}

/** The server maps `flexpush.event.*` otherwise than `shardOf` does. */
export class MappingError extends Error {
  readonly code = 'MAPPING';
  readonly retryable = false;
  constructor(sessionId: string, expected: string, actual: string) {
    super(
      `the NATS server maps ${subjects.event(sessionId)} to ${actual}, but it belongs on ${expected}; render nats.conf for this cluster's shard count`,
    );
  }
}

const DUPLICATE_WINDOW_MS = 120_000;
const FILE_AGE_MAX_MS = 7 * 86_400_000;
const SHARDS_KEY = 'shards';
/** JetStream's name for the stream of an object store. */
const FILE_STREAM = `OBJ_${FILE_BUCKET}`;

async function streamExists(jsm: JetStreamManager, name: string): Promise<boolean> {
  try {
    await jsm.streams.info(name);
    return true;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === 10059) return false;
    throw error;
  }
}

const NAME_TAKEN = 10058;
/** What the loser of a race may hear as well: the subjects that overlap are those of the very stream it wanted. */
const SUBJECTS_OVERLAP = 10065;

/** Another node may be faster, perhaps with settings of its own: then its stream stands. */
async function makeUnlessMade(
  jsm: JetStreamManager,
  name: string,
  make: () => Promise<unknown>,
): Promise<void> {
  try {
    await make();
  } catch (error) {
    const code = error instanceof NatsError ? error.api_error?.err_code : undefined;
    if (code === NAME_TAKEN || (code === SUBJECTS_OVERLAP && (await streamExists(jsm, name)))) return;
    throw error;
  }
}

async function ensureStream(
  jsm: JetStreamManager,
  config: Partial<StreamConfig> & { name: string },
): Promise<void> {
  if (await streamExists(jsm, config.name)) return;
  await makeUnlessMade(jsm, config.name, () => jsm.streams.add(config));
}

/** Creates the log, the dead-letter stream and the buckets where they are missing. Existing ones are left as they are. */
export async function ensureStreams(bus: NatsBus, settings: LogSettings): Promise<void> {
  const jsm = await bus.connection.jetstreamManager();
  const common = {
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: settings.replicas,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    max_age: nanos(settings.logAgeMaxMs),
  };
  await ensureStream(jsm, {
    ...common,
    name: LOG_STREAM,
    subjects: [subjects.logWildcard],
    discard: DiscardPolicy.New,
    max_bytes: settings.logBytesMax,
    allow_direct: true,
  });
  await ensureStream(jsm, {
    ...common,
    name: DEAD_LETTER_STREAM,
    subjects: [subjects.deadLetterWildcard],
    discard: DiscardPolicy.Old,
    max_bytes: Math.ceil(settings.logBytesMax / 16),
  });
  // No age: a session may stay open for as long as it likes.
  await ensureStream(jsm, {
    ...common,
    max_age: 0,
    name: SNAPSHOT_STREAM,
    subjects: [subjects.snapshotWildcard],
    discard: DiscardPolicy.New,
    max_msgs_per_subject: 1,
    max_bytes: settings.logBytesMax,
    allow_direct: true,
  });
  const bucket = { replicas: settings.replicas, storage: StorageType.File };
  const { views } = bus.connection.jetstream();
  const ensureBucket = (name: string, options: Partial<KvOptions>) =>
    makeUnlessMade(jsm, `KV_${name}`, () => views.kv(name, options));
  await ensureBucket(CLUSTER_BUCKET, bucket);
  await ensureBucket(LEASE_BUCKET, bucket);
  await ensureBucket(OPTION_BUCKET, { ...bucket, history: 5 });
  await ensureBucket(SKIP_BUCKET, { ...bucket, ttl: settings.logAgeMaxMs });
  await makeUnlessMade(jsm, FILE_STREAM, () =>
    views.os(FILE_BUCKET, {
      ...bucket,
      max_bytes: settings.fileBytesMax ?? Math.ceil(settings.logBytesMax / 2),
      ttl: nanos(settings.fileAgeMaxMs ?? FILE_AGE_MAX_MS),
    }),
  );
  await fixShardCount(bus, settings.shardCount);
}

const BUCKETS = [CLUSTER_BUCKET, LEASE_BUCKET, OPTION_BUCKET, SKIP_BUCKET];
/** The streams of flexpush, its buckets included, which are streams too. */
export const flexpushStreams: readonly string[] = [
  LOG_STREAM,
  SNAPSHOT_STREAM,
  DEAD_LETTER_STREAM,
  ...BUCKETS.map((bucket) => `KV_${bucket}`),
  FILE_STREAM,
];

/** What `ensureStreams` would make: names of streams, and the shard count if that is gone. Throws when NATS is away. */
export async function missingStreams(bus: NatsBus): Promise<string[]> {
  const jsm = await bus.connection.jetstreamManager({ checkAPI: false });
  const present = new Set<string>();
  for await (const name of jsm.streams.names()) present.add(name);
  const missing = flexpushStreams.filter((name) => !present.has(name));
  if (missing.length > 0) return missing;
  const kv = await bus.connection.jetstream().views.kv(CLUSTER_BUCKET, { bindOnly: true });
  return (await kv.get(SHARDS_KEY)) === null ? [`${CLUSTER_BUCKET}/${SHARDS_KEY}`] : [];
}

async function fixShardCount(bus: NatsBus, shardCount: number): Promise<void> {
  const kv = await bus.connection.jetstream().views.kv(CLUSTER_BUCKET);
  const kept = await kv.get(SHARDS_KEY);
  if (kept === null) {
    try {
      await kv.create(SHARDS_KEY, String(shardCount));
      return;
    } catch (error) {
      if (!isWrongRevision(error)) throw error;
      return fixShardCount(bus, shardCount);
    }
  }
  if (Number(kept.string()) !== shardCount) throw new ShardCountError(shardCount, Number(kept.string()));
}

/** The server's word for "someone else wrote first". */
export function isWrongRevision(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === 10071;
}

/** The bucket, when some session-actor has made it. Binding alone would create it with wrong settings. */
export async function bindBucket(bus: NatsBus, bucket: string): Promise<KV | undefined> {
  const jsm = await bus.connection.jetstreamManager();
  if (!(await streamExists(jsm, `KV_${bucket}`))) return undefined;
  return bus.connection.jetstream().views.kv(bucket, { bindOnly: true });
}

/** The cluster's shard count; waits until the first session-actor has fixed it. */
export async function waitForShardCount(bus: NatsBus, timeoutMs?: number): Promise<number> {
  return waitFor(async () => {
    const kv = await bindBucket(bus, CLUSTER_BUCKET);
    const kept = await kv?.get(SHARDS_KEY);
    return kept ? Number(kept.string()) : undefined;
  }, timeoutMs);
}

/** Mappings for up to so many shards are told from the right one. */
const PROBED_SHARDS_MAX = 4_096;
/** About one id in twenty fits; so many misses do not happen by chance. */
const PROBE_ID_TRIES_MAX = 100_000;

/**
 * A session id that every other shard count puts on another shard. With any id, a mapping for half or twice as many
 * shards would look right half of the time.
 */
export function probeSessionId(shardCount: number): string {
  const isTelling = (sessionId: string) => {
    const hash = fnv1a32(sessionId);
    for (let other = 1; other <= PROBED_SHARDS_MAX; other++)
      if (other !== shardCount && hash % other === hash % shardCount) return false;
    return true;
  };
  for (let tries = 0; tries < PROBE_ID_TRIES_MAX; tries++) {
    const sessionId = `probe-${randomBytes(6).toString('hex')}`;
    if (isTelling(sessionId)) return sessionId;
  }
  throw new Error(`no session id tells ${shardCount} shards from other counts`);
}

/**
 * Sees that the server's mapping of `flexpush.event.*` agrees with `shardOf`, by publishing a probe record.
 * 'absent': there is no mapping, so publishers need our own publisher. 'refused': the log takes nothing now, as when it is
 * full, so nothing is known. Throws `MappingError` when it disagrees.
 */
export async function probeMapping(
  bus: NatsBus,
  shardCount: number,
): Promise<'agrees' | 'absent' | 'refused'> {
  const jsm = await bus.connection.jetstreamManager();
  const sessionId = probeSessionId(shardCount);
  let seq: number;
  try {
    const ack = await bus.connection
      .jetstream()
      .publish(subjects.event(sessionId), JSON.stringify({ v: 1, type: 'probe' }), { timeout: 5_000 });
    seq = ack.seq;
  } catch (error) {
    // A full log answers 503 as well, but as JetStream.
    if (error instanceof NatsError && error.api_error) return 'refused';
    if (error instanceof NatsError && error.code === '503') return 'absent';
    throw error;
  }
  const stored = await jsm.streams.getMessage(LOG_STREAM, { seq });
  const expected = subjects.logPublic(shardOf(sessionId, shardCount));
  if (stored.subject !== expected) throw new MappingError(sessionId, expected, stored.subject);
  return 'agrees';
}
