import { keys } from './keys';
import type { RedisConnection } from './redis';

/** A shard as stored. Texts are JSON except the checkpoint, which is compared whole. */
export interface StoredShard {
  /** '' when nothing is stored. */
  checkpoint: string;
  options: string;
  outbox: Record<string, string>;
}

/** What one batch writes. Every value is absolute; in a list each name stands once. */
export interface Commit {
  expectedCheckpoint: string;
  /** Ends with the batch id, so that it names this batch. */
  checkpoint: string;
  /** '' leaves the options. */
  options: string;
  /** `state` '' deletes the session and its transcript. */
  sessions: { sessionId: string; state: string; events: [position: number, json: string][] }[];
  /** Due time in epoch ms; undefined removes. */
  timers: [member: string, dueAtMs: number | undefined][];
  /** Job JSON; undefined removes. */
  outbox: [key: string, job: string | undefined][];
  /** When each session was created or last written beside the log, epoch ms; undefined removes. */
  snapshots: [sessionId: string, atMs: number | undefined][];
}

/** Long enough to be seen by a person who looks; it holds nothing. */
const WRITE_PROBE_TTL_MS = 60_000;

/** The shards' state in Redis: what was folded. */
export class StateStore {
  constructor(private readonly redis: RedisConnection) {}

  async loadShard(shard: number): Promise<StoredShard> {
    const [checkpoint, options, outbox] = await Promise.all([
      this.redis.get(keys.checkpoint(shard)),
      this.redis.get(keys.options(shard)),
      this.redis.hgetall(keys.outbox(shard)),
    ]);
    return { checkpoint: checkpoint ?? '', options: options ?? '', outbox };
  }

  /** The stored checkpoints, '' where there is none, in the order asked. */
  async checkpoints(shards: readonly number[]): Promise<string[]> {
    const stored = await Promise.all(shards.map((shard) => this.redis.get(keys.checkpoint(shard))));
    return stored.map((checkpoint) => checkpoint ?? '');
  }

  /** States of sessions, null for unknown ones. */
  async loadSessions(shard: number, sessionIds: readonly string[]): Promise<(string | null)[]> {
    return sessionIds.length === 0
      ? []
      : this.redis.mget(sessionIds.map((sessionId) => keys.session(shard, sessionId)));
  }

  /** Transcript events from `first` to `last`, both included; null where a position is missing. */
  async loadTranscript(
    shard: number,
    sessionId: string,
    range: { first: number; last: number },
  ): Promise<(string | null)[]> {
    if (range.last < range.first) return [];
    const positions = Array.from({ length: range.last - range.first + 1 }, (_, i) => String(range.first + i));
    return this.redis.hmget(keys.transcript(shard, sessionId), ...positions);
  }

  /** 'conflict': the shard is not where the caller believes; nothing was written and nothing of the batch may be let out. */
  async commit(shard: number, commit: Commit): Promise<'saved' | 'conflict'> {
    const scriptKeys = [
      keys.checkpoint(shard),
      keys.options(shard),
      keys.timers(shard),
      keys.outbox(shard),
      keys.snapshots(shard),
    ];
    const values: (string | number)[] = [
      commit.expectedCheckpoint,
      commit.checkpoint,
      commit.options,
      commit.sessions.length,
    ];
    for (const { sessionId, state, events } of commit.sessions) {
      scriptKeys.push(keys.session(shard, sessionId), keys.transcript(shard, sessionId));
      values.push(state, 2 * events.length);
      for (const [position, json] of events) values.push(position, json);
    }
    pushLists(values, commit.timers, true);
    pushLists(values, commit.outbox, false);
    pushLists(values, commit.snapshots, true);
    const answer = await this.redis.commitBatch(scriptKeys.length, scriptKeys, values);
    return answer === 'saved' ? 'saved' : 'conflict';
  }

  /** Sessions created or last written beside the log before `beforeMs`, the oldest first. */
  async oldestSnapshots(shard: number, range: { beforeMs: number; limit: number }): Promise<string[]> {
    const { beforeMs, limit } = range;
    return this.redis.zrangebyscore(keys.snapshots(shard), '-inf', `(${beforeMs}`, 'LIMIT', 0, limit);
  }

  /** Notes that these were written beside the log; ones that are gone meanwhile stay gone. */
  async noteSnapshots(shard: number, snapshots: [sessionId: string, atMs: number][]): Promise<void> {
    if (snapshots.length === 0) return;
    const scores = snapshots.flatMap(([sessionId, atMs]) => [atMs, sessionId]);
    await this.redis.zadd(keys.snapshots(shard), 'XX', ...scores);
  }

  /** Keeps resend-timer from claiming this shard's timers, or lets it again. */
  async hold(shard: number, on: boolean, at?: { term: number; step: number }): Promise<void> {
    if (on) await this.redis.set(keys.hold(shard), at === undefined ? '1' : `${at.term}:${at.step}`);
    else await this.redis.del(keys.hold(shard));
  }

  /** What can be seen of shards from outside, in the order asked: one command for each. */
  async standings(
    shards: readonly number[],
  ): Promise<{ checkpoint: string; isHeld: boolean; at: { term: number; step: number } | undefined }[]> {
    const stored = await Promise.all(
      shards.map((shard) => this.redis.mget(keys.checkpoint(shard), keys.hold(shard))),
    );
    return stored.map(([checkpoint, hold]) => ({
      checkpoint: checkpoint ?? '',
      isHeld: typeof hold === 'string',
      at: parsePlace(hold),
    }));
  }

  /** When the earliest timer of each shard is due, epoch ms. */
  async firstTimers(shards: readonly number[]): Promise<(number | undefined)[]> {
    const first = await Promise.all(
      shards.map((shard) => this.redis.zrange(keys.timers(shard), 0, 0, 'WITHSCORES')),
    );
    return first.map(([, score]) => (score === undefined ? undefined : Number(score)));
  }

  /** Resolves when the server of this shard has taken a write; it may read only, as after a failover or when it is full. */
  async probeWrite(shard: number): Promise<void> {
    await this.redis.set(keys.writeProbe(shard), '1', 'PX', WRITE_PROBE_TTL_MS);
  }

  /** About `limit` of the shard's sessions; from cursor '' until it is '' again, each lasting one is told at least once. */
  async someSessions(
    shard: number,
    from: { cursor: string; limit: number },
  ): Promise<{ cursor: string; sessionIds: string[] }> {
    const [cursor, found] = await this.redis.zscan(
      keys.snapshots(shard),
      from.cursor === '' ? '0' : from.cursor,
      'COUNT',
      from.limit,
    );
    return { cursor: cursor === '0' ? '' : cursor, sessionIds: found.filter((_, i) => i % 2 === 0) };
  }

  /** When each timer is stored to be due, epoch ms; undefined: it is not stored. */
  async timerScores(shard: number, members: readonly string[]): Promise<(number | undefined)[]> {
    const scores = await Promise.all(members.map((member) => this.redis.zscore(keys.timers(shard), member)));
    return scores.map((score) => (score === null ? undefined : Number(score)));
  }
}

/** Two lists for the script, each led by its length: what is set, as its command takes it, and what is removed. */
function pushLists(
  values: (string | number)[],
  changes: readonly [name: string, value: string | number | undefined][],
  valueFirst: boolean,
): void {
  const removed: string[] = [];
  const lengthAt = values.push(0) - 1;
  for (const [name, value] of changes) {
    if (value === undefined) removed.push(name);
    else if (valueFirst) values.push(value, name);
    else values.push(name, value);
  }
  values[lengthAt] = values.length - lengthAt - 1;
  values.push(removed.length);
  for (const name of removed) values.push(name);
}

function parsePlace(hold: string | null | undefined): { term: number; step: number } | undefined {
  const [term, step] = (hold ?? '').split(':');
  return step === undefined ? undefined : { term: Number(term), step: Number(step) };
}
