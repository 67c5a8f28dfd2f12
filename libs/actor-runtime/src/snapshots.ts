import { timersOf } from '@flexpush/session';
import { formatCheckpoint, parseCheckpoint } from './checkpoint';
import { outboxKey, parseJob, type OutboxEntry } from './outbox';
import type { Commit, LogState, OptionHistory, SessionSnapshot, ShardStore, Snapshots } from './ports';
import { wholeTranscript } from './replies';
import { formatSession, parseSession, RubbishStateError, type CachedSession } from './session-cache';

/** Sessions read, or written beside the log, in one go. */
const SESSIONS_AT_ONCE = 32;
/** Changes of options that a history keeps; the oldest are forgotten. */
const OPTION_CHANGES_MAX = 200;
/** Sessions or outbox entries dropped in one commit. */
const KEYS_AT_ONCE = 256;
/** The clocks of two hosts are not further apart; a fraction of the shortest log age. */
const CLOCKS_APART_MS = 10_000;
/** Stands where a checkpoint stands while a restore is under way: it parses as none, so the next owner begins again. */
const RESTORING = 'restoring';
/** And this while stored state that cannot be read is being dropped: the next owner goes on with that. */
const DROPPING = 'dropping';
const NO_OPTIONS = '{"revision":0,"values":{}}';

export interface SnapshotDeps {
  store: ShardStore;
  snapshots: Snapshots;
  /** Hears of a session that cannot be written beside the log, or not be restored. */
  onUnreadable: (sessionId: string, error: RubbishStateError) => void;
}

/** Another owner has committed meanwhile. */
export class RestoreConflictError extends Error {
  readonly code = 'RESTORE_CONFLICT';
  readonly retryable = true;
}

/** Whether what is stored of a shard is to be dropped: a checkpoint that is none, or none at all beside sessions. */
export async function isRubbish(store: ShardStore, shard: number, checkpoint: string): Promise<boolean> {
  if (checkpoint !== '')
    return parseCheckpoint(checkpoint) === undefined && !checkpoint.startsWith(`${RESTORING}|`);
  return (await store.oldestSnapshots(shard, { beforeMs: Number.MAX_SAFE_INTEGER, limit: 1 })).length > 0;
}

/**
 * Drops the sessions, options and outbox of a shard, so that a restore begins with nothing. Timers stay: what the
 * restore does not set anew is removed when it fires. The checkpoint fences it like a commit.
 */
export async function dropState(
  store: ShardStore,
  shard: number,
  from: { checkpoint: string; outboxKeys: readonly string[]; batchIdPrefix: string },
): Promise<number> {
  let expectedCheckpoint = from.checkpoint;
  let commits = 0;
  let dropped = 0;
  const commit = async (word: string, writes: Partial<Commit>): Promise<void> => {
    const checkpoint = `${word}|${from.batchIdPrefix}.drop-${commits++}`;
    const outcome = await store.commit(shard, { ...nothing(), ...writes, expectedCheckpoint, checkpoint });
    if (outcome === 'conflict') throw new RestoreConflictError(`shard ${shard} has another owner`);
    expectedCheckpoint = checkpoint;
  };
  await commit(DROPPING, { options: NO_OPTIONS });
  for (let at = 0; at < from.outboxKeys.length; at += KEYS_AT_ONCE) {
    const keys = from.outboxKeys.slice(at, at + KEYS_AT_ONCE);
    await commit(DROPPING, { outbox: keys.map((key) => [key, undefined]) });
  }
  for (;;) {
    const sessionIds = await store.oldestSnapshots(shard, {
      beforeMs: Number.MAX_SAFE_INTEGER,
      limit: KEYS_AT_ONCE,
    });
    if (sessionIds.length === 0) break;
    await commit(DROPPING, {
      sessions: sessionIds.map((sessionId) => ({ sessionId, state: '', events: [] })),
      snapshots: sessionIds.map((sessionId) => [sessionId, undefined]),
    });
    dropped += sessionIds.length;
  }
  await commit(RESTORING, {});
  return dropped;
}

/**
 * Writes a shard's snapshots into the store, where they are newer than what is there, and the options that its log
 * begins with. The checkpoint then stands before the log's first record. Returns how many sessions were restored;
 * nothing is committed when there is nothing to restore.
 */
export async function restoreShard(
  { store, snapshots, onUnreadable }: SnapshotDeps,
  shard: number,
  from: {
    checkpoint: string;
    log: LogState;
    lastSeqOfShard: number;
    batchIdPrefix: string;
    onStep: () => void;
  },
): Promise<number> {
  const { log } = from;
  let expectedCheckpoint = from.checkpoint;
  let commits = 0;
  let restored = 0;
  const commit = async (checkpoint: string, writes: Partial<Commit>): Promise<void> => {
    const outcome = await store.commit(shard, { ...nothing(), ...writes, expectedCheckpoint, checkpoint });
    if (outcome === 'conflict') throw new RestoreConflictError(`shard ${shard} has another owner`);
    expectedCheckpoint = checkpoint;
    commits++;
  };
  for await (const some of snapshots.read(shard)) {
    const writes = await newerOnes(store, shard, some, { ...from, onUnreadable });
    restored += writes.sessions.length;
    from.onStep();
    if (writes.sessions.length > 0)
      await commit(`${RESTORING}|${from.batchIdPrefix}.restore-${commits}`, writes);
  }
  const options = optionsBefore(await snapshots.readOptions(shard), log);
  if (commits === 0 && options === '') return 0;
  const checkpoint = formatCheckpoint({
    createdAt: log.createdAt,
    seq: Math.max(0, log.firstSeq - 1),
    atMs: 0,
    foldTimeMs: parseCheckpoint(from.checkpoint)?.foldTimeMs ?? 0,
    batchId: `${from.batchIdPrefix}.restored`,
  });
  await commit(checkpoint, { options });
  return restored;
}

/**
 * The log was recreated: what was folded from the old one is written beside the new one first, because a replay of that
 * would not bring it back. Then the checkpoint stands before the new log's first record.
 */
export async function adoptLog(
  { store, snapshots, onUnreadable }: SnapshotDeps,
  shard: number,
  from: {
    stored: { checkpoint: string; options: string; outbox: OutboxEntry[] };
    log: LogState;
    batchIdPrefix: string;
    /** Wall clock. */
    nowMs: number;
    onStep: () => void;
  },
): Promise<number> {
  const { createdAt } = from.log;
  const { checkpoint, options } = from.stored;
  const foldTimeMs = parseCheckpoint(checkpoint)?.foldTimeMs ?? 0;
  // Behind all that was noted, be it by the clock of a host that is ahead: every session is to be written.
  const atMs = Math.max(foldTimeMs, from.nowMs) + CLOCKS_APART_MS;
  await snapshots.writeOptions(shard, { createdAt, entries: options === '' ? [] : [{ seq: 0, options }] });
  let adopted = 0;
  for (;;) {
    const sessionIds = await store.oldestSnapshots(shard, { beforeMs: atMs, limit: SESSIONS_AT_ONCE });
    if (sessionIds.length === 0) break;
    const taken = await takeSnapshots(store, shard, sessionIds, {
      createdAt,
      atMs,
      outbox: from.stored.outbox,
      // The new log would not bring back the others, if the whole shard were dropped for this one.
      onUnreadable,
    });
    // The new log has nothing of these sessions, so nothing of it is to be skipped.
    await Promise.all(taken.map((one) => snapshots.write(shard, { ...one, seq: 0 })));
    await store.noteSnapshots(
      shard,
      sessionIds.map((sessionId) => [sessionId, atMs]),
    );
    adopted += taken.length;
    from.onStep();
  }
  const outcome = await store.commit(shard, {
    ...nothing(),
    expectedCheckpoint: checkpoint,
    checkpoint: formatCheckpoint({
      createdAt,
      seq: 0,
      atMs: 0,
      foldTimeMs,
      batchId: `${from.batchIdPrefix}.adopted`,
    }),
  });
  if (outcome === 'conflict') throw new RestoreConflictError(`shard ${shard} has another owner`);
  return adopted;
}

/** The sessions as stored now; ones that are gone are left out. To be called between two commits of the shard. */
export async function takeSnapshots(
  store: ShardStore,
  shard: number,
  sessionIds: readonly string[],
  at: {
    createdAt: string;
    atMs: number;
    outbox: readonly OutboxEntry[];
    /** Without it such a session is an error. */
    onUnreadable?: SnapshotDeps['onUnreadable'];
  },
): Promise<SessionSnapshot[]> {
  const states = await store.loadSessions(shard, sessionIds);
  const take = async (sessionId: string, state: string | null): Promise<SessionSnapshot[]> => {
    try {
      return await takeSnapshot(store, shard, { sessionId, state }, at);
    } catch (error) {
      if (!(error instanceof RubbishStateError) || !at.onUnreadable) throw error;
      at.onUnreadable(sessionId, error);
      return [];
    }
  };
  const taken = await Promise.all(sessionIds.map((sessionId, i) => take(sessionId, states[i] ?? null)));
  return taken.flat();
}

async function takeSnapshot(
  store: ShardStore,
  shard: number,
  { sessionId, state }: { sessionId: string; state: string | null },
  at: { createdAt: string; atMs: number; outbox: readonly OutboxEntry[] },
): Promise<SessionSnapshot[]> {
  const cached = parseSession(sessionId, state);
  if (state === null || !cached.session) return [];
  const events = await store.loadTranscript(shard, sessionId, {
    first: 1,
    last: cached.session.nextPosition - 1,
  });
  return [
    {
      sessionId,
      createdAt: at.createdAt,
      seq: cached.foldedTo.seq,
      atMs: at.atMs,
      state,
      events: wholeTranscript(sessionId, events, 1).map((json, e): [number, string] => [e + 1, json]),
      outbox: at.outbox.filter(({ job }) => job.sessionId === sessionId).map(({ json }) => json),
    },
  ];
}

/** A history with these changes in it; undefined when they are known already, as in a replay. */
export function withChanges(
  history: OptionHistory | undefined,
  createdAt: string,
  changes: readonly { seq: number; options: string }[],
): OptionHistory | undefined {
  const before = history?.createdAt === createdAt ? history.entries : [];
  let entries = before;
  for (const change of changes) {
    if (entries.some(({ seq, options }) => seq === change.seq && options === change.options)) continue;
    // Later ones are of a stretch that the log has lost.
    entries = [...entries.filter(({ seq }) => seq < change.seq), change];
  }
  return entries === before && history?.createdAt === createdAt
    ? undefined
    : { createdAt, entries: entries.slice(-OPTION_CHANGES_MAX) };
}

/** What was in force before the log's first record; all of another log is. '' when nothing is known. */
function optionsBefore(history: OptionHistory | undefined, log: LogState): string {
  if (!history) return '';
  const before =
    history.createdAt === log.createdAt
      ? history.entries.filter(({ seq }) => seq < Math.max(1, log.firstSeq))
      : history.entries;
  return before.at(-1)?.options ?? '';
}

async function newerOnes(
  store: ShardStore,
  shard: number,
  some: readonly SessionSnapshot[],
  from: { log: LogState; lastSeqOfShard: number; onUnreadable: SnapshotDeps['onUnreadable'] },
): Promise<Pick<Commit, 'sessions' | 'timers' | 'outbox' | 'snapshots'>> {
  const stored = await store.loadSessions(
    shard,
    some.map(({ sessionId }) => sessionId),
  );
  const writes: Pick<Commit, 'sessions' | 'timers' | 'outbox' | 'snapshots'> = {
    sessions: [],
    timers: [],
    outbox: [],
    snapshots: [],
  };
  some.forEach((snapshot, i) => {
    const { sessionId, events, atMs } = snapshot;
    const read = readSnapshot(snapshot, from.onUnreadable);
    if (!read) return;
    const { cached, outbox } = read;
    const isOfThisLog = snapshot.createdAt === from.log.createdAt && snapshot.seq <= from.lastSeqOfShard;
    // A place in another log, or in a lost stretch of this one, means nothing: no record of it may be skipped.
    cached.isAhead = isOfThisLog && snapshot.seq > 0;
    if (!cached.isAhead) cached.foldedTo = { seq: 0, index: 0 };
    const present = parseSession(sessionId, stored[i] ?? null);
    if (!cached.session || (present.session && present.foldedTo.seq >= cached.foldedTo.seq)) return;
    writes.sessions.push({ sessionId, state: formatSession(cached), events });
    writes.timers.push(...timersOf(cached.session));
    writes.outbox.push(...outbox);
    writes.snapshots.push([sessionId, atMs]);
  });
  return writes;
}

/** undefined for one that cannot be read: it would hold up its shard for ever. The log may still have the session. */
function readSnapshot(
  { sessionId, state, events, outbox }: SessionSnapshot,
  onUnreadable: SnapshotDeps['onUnreadable'],
): { cached: CachedSession; outbox: [key: string, json: string][] } | undefined {
  try {
    const cached = parseSession(sessionId, state);
    wholeTranscript(
      sessionId,
      events.map(([, json]) => json),
      1,
    );
    return { cached, outbox: outbox.map((json) => [outboxKey(parseJob(json)), json]) };
  } catch (error) {
    if (!(error instanceof RubbishStateError)) throw error;
    onUnreadable(sessionId, error);
    return undefined;
  }
}

function nothing(): Omit<Commit, 'expectedCheckpoint' | 'checkpoint'> {
  return { options: '', sessions: [], timers: [], outbox: [], snapshots: [] };
}
