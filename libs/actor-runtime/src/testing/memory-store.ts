import { parseCheckpoint } from '../checkpoint';
import type { CatchUpPlace, Commit, ShardStanding, ShardStore } from '../ports';

/** What one shard has in Redis. */
export interface StoredShard {
  checkpoint: string;
  options: string;
  sessions: Map<string, string>;
  transcripts: Map<string, Map<number, string>>;
  timers: Map<string, number>;
  outbox: Map<string, string>;
  /** When each session was created or last written beside the log. */
  snapshots: Map<string, number>;
  held: boolean;
  /** How far a catch-up without commits has come. */
  at?: CatchUpPlace | undefined;
}

/** How the next commits go: the answer is lost, or the commit never arrives. */
export type CommitFault = 'lost-before' | 'lost-after';

/** Redis in memory, with the semantics of `commit_batch.lua`. */
export class MemoryStore implements ShardStore {
  private shards = new Map<number, StoredShard>();
  /** Taken from the front, one per commit. */
  readonly commitFaults: CommitFault[] = [];
  /** Every commit that was saved, in order. */
  readonly saved: { shard: number; from: string; to: string }[] = [];
  /** Commits as they were sent, also those that failed or conflicted. */
  readonly sent: { shard: number; commit: Commit }[] = [];
  private gates: Promise<void>[] = [];
  /** False only where a checker is tried: then two owners may commit the same stretch. */
  comparesCheckpoints = true;
  /** Set by a test: writes are refused, as by a master that has become a replica; reads go on. */
  refusesWrites = false;
  /** Set by a test: nothing is answered until it settles. */
  away: Promise<void> | undefined;

  shard(shard: number): StoredShard {
    let stored = this.shards.get(shard);
    if (!stored) {
      stored = {
        checkpoint: '',
        options: '',
        sessions: new Map(),
        transcripts: new Map(),
        timers: new Map(),
        outbox: new Map(),
        snapshots: new Map(),
        held: false,
      };
      this.shards.set(shard, stored);
    }
    return stored;
  }

  /** The next call of the store waits until the returned function is called. */
  gateNext(): () => void {
    let open: () => void = () => undefined;
    this.gates.push(new Promise((resolve) => (open = resolve)));
    return open;
  }

  /** A copy of everything, for `restore`: a replica that is failed over to later. */
  copy(): Map<number, StoredShard> {
    return copyOf(this.shards);
  }

  restore(copy: Map<number, StoredShard>): void {
    this.shards = copyOf(copy);
  }

  async loadShard(
    shard: number,
  ): Promise<{ checkpoint: string; options: string; outbox: Record<string, string> }> {
    await this.gates.shift();
    await this.away;
    const { checkpoint, options, outbox } = this.shard(shard);
    return { checkpoint, options, outbox: Object.fromEntries(outbox) };
  }

  async checkpoints(shards: readonly number[]): Promise<string[]> {
    await this.away;
    return shards.map((shard) => this.shard(shard).checkpoint);
  }

  async standings(shards: readonly number[]): Promise<ShardStanding[]> {
    await this.away;
    return shards.map((shard) => {
      const { checkpoint, held, at } = this.shard(shard);
      return { checkpoint, isHeld: held, at };
    });
  }

  async firstTimers(shards: readonly number[]): Promise<(number | undefined)[]> {
    await this.away;
    return shards.map((shard) => {
      const dueAtMs = [...this.shard(shard).timers.values()];
      return dueAtMs.length === 0 ? undefined : Math.min(...dueAtMs);
    });
  }

  async probeWrite(): Promise<void> {
    await this.away;
    this.refuseWrite();
  }

  async someSessions(
    shard: number,
    from: { cursor: string; limit: number },
  ): Promise<{ cursor: string; sessionIds: string[] }> {
    await this.away;
    const behind = [...this.shard(shard).snapshots.keys()].filter((id) => id > from.cursor).sort();
    const sessionIds = behind.slice(0, from.limit);
    return { cursor: behind.length > from.limit ? (sessionIds.at(-1) ?? '') : '', sessionIds };
  }

  async timerScores(shard: number, members: readonly string[]): Promise<(number | undefined)[]> {
    await this.away;
    return members.map((member) => this.shard(shard).timers.get(member));
  }

  async loadSessions(shard: number, sessionIds: readonly string[]): Promise<(string | null)[]> {
    return sessionIds.map((sessionId) => this.shard(shard).sessions.get(sessionId) ?? null);
  }

  loadTranscript(
    shard: number,
    sessionId: string,
    range: { first: number; last: number },
  ): Promise<(string | null)[]> {
    const transcript = this.shard(shard).transcripts.get(sessionId);
    const events: (string | null)[] = [];
    for (let at = range.first; at <= range.last; at++) events.push(transcript?.get(at) ?? null);
    return Promise.resolve(events);
  }

  async commit(shard: number, commit: Commit): Promise<'saved' | 'conflict'> {
    await this.gates.shift();
    this.sent.push({ shard, commit });
    await this.away;
    this.refuseWrite();
    const fault = this.commitFaults.shift();
    if (fault === 'lost-before') throw new Error('connection lost');
    const outcome = this.apply(shard, commit);
    if (fault === 'lost-after') throw new Error('connection lost');
    return outcome;
  }

  /** As `claim_due.lua`. */
  claimDue(
    shard: number,
    o: { nowMs: number; visibilityMs: number; limit: number; foldedTo: number | undefined },
  ): Promise<
    | { kind: 'held' }
    | { kind: 'behind' }
    | { kind: 'claimed'; timers: [string, number][]; nextDueAtMs: number | undefined }
  > {
    const { nowMs, visibilityMs, limit, foldedTo } = o;
    const { timers, held, checkpoint } = this.shard(shard);
    if (held) return Promise.resolve({ kind: 'held' });
    const seq = parseCheckpoint(checkpoint)?.seq;
    if (foldedTo !== undefined && seq !== undefined && seq < foldedTo)
      return Promise.resolve({ kind: 'behind' });
    const due = [...timers]
      .filter(([, dueAtMs]) => dueAtMs <= nowMs)
      .sort((a, b) => a[1] - b[1])
      .slice(0, limit);
    for (const [member] of due) timers.set(member, nowMs + visibilityMs);
    const nextDueAtMs = timers.size === 0 ? undefined : Math.min(...timers.values());
    return Promise.resolve({ kind: 'claimed', timers: due, nextDueAtMs });
  }

  /** FLUSHALL. */
  wipe(): void {
    this.shards = new Map();
  }

  async hold(shard: number, on: boolean, at?: CatchUpPlace): Promise<void> {
    await this.away;
    this.refuseWrite();
    Object.assign(this.shard(shard), { held: on, at: on ? at : undefined });
  }

  oldestSnapshots(shard: number, range: { beforeMs: number; limit: number }): Promise<string[]> {
    const due = [...this.shard(shard).snapshots].filter(([, atMs]) => atMs < range.beforeMs);
    return Promise.resolve(
      due
        .sort((a, b) => a[1] - b[1])
        .slice(0, range.limit)
        .map(([sessionId]) => sessionId),
    );
  }

  noteSnapshots(shard: number, snapshots: [sessionId: string, atMs: number][]): Promise<void> {
    const stored = this.shard(shard).snapshots;
    for (const [sessionId, atMs] of snapshots) if (stored.has(sessionId)) stored.set(sessionId, atMs);
    return Promise.resolve();
  }

  private refuseWrite(): void {
    if (this.refusesWrites) throw new Error('READONLY');
  }

  private apply(shard: number, commit: Commit): 'saved' | 'conflict' {
    const stored = this.shard(shard);
    if (stored.checkpoint === commit.checkpoint) return 'saved';
    if (this.comparesCheckpoints && stored.checkpoint !== commit.expectedCheckpoint) return 'conflict';
    if (commit.options !== '') stored.options = commit.options;
    for (const { sessionId, state, events } of commit.sessions) {
      if (state === '') {
        stored.sessions.delete(sessionId);
        stored.transcripts.delete(sessionId);
      } else stored.sessions.set(sessionId, state);
      const transcript = stored.transcripts.get(sessionId) ?? new Map<number, string>();
      for (const [position, json] of events) transcript.set(position, json);
      if (transcript.size > 0) stored.transcripts.set(sessionId, transcript);
    }
    setOrDelete(stored.timers, commit.timers);
    setOrDelete(stored.outbox, commit.outbox);
    setOrDelete(stored.snapshots, commit.snapshots);
    stored.checkpoint = commit.checkpoint;
    this.saved.push({ shard, from: commit.expectedCheckpoint, to: commit.checkpoint });
    return 'saved';
  }
}

function copyOf(shards: Map<number, StoredShard>): Map<number, StoredShard> {
  return new Map(
    [...shards].map(([shard, stored]) => [
      shard,
      {
        ...stored,
        sessions: new Map(stored.sessions),
        transcripts: new Map([...stored.transcripts].map(([id, events]) => [id, new Map(events)])),
        timers: new Map(stored.timers),
        outbox: new Map(stored.outbox),
        snapshots: new Map(stored.snapshots),
      },
    ]),
  );
}

function setOrDelete<T>(map: Map<string, T>, entries: readonly (readonly [string, T | undefined])[]): void {
  for (const [key, value] of entries) {
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }
}
