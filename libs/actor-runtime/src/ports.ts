import type { DispatchAnswer, LeftOut, LogRecord, PeerHeartbeat } from '@flexpush/contracts';

/**
 * What the runtime needs of the outside. The adapters (Redis, NATS) fit these by shape; tests use in-memory ones.
 */

export interface LogMessage {
  seq: number;
  /** Time of storing, epoch ms. */
  atMs: number;
  isPublic: boolean;
  data: Uint8Array;
}

export interface LogReader {
  /** Waits until there is a message; empty only after `nudge` or `close`. */
  next(max: number): Promise<LogMessage[]>;
  nudge(): void;
  waiting(): number;
  close(): void;
}

export interface LogState {
  createdAt: string;
  firstSeq: number;
  lastSeq: number;
  /** Records older than this leave the log; undefined: none does. */
  ageMaxMs?: number | undefined;
}

export interface ShardLog {
  state(): Promise<LogState>;
  lastSeqOf(shard: number): Promise<number>;
  /** When the record at this place was stored, epoch ms; undefined when there is none. */
  timeOf(seq: number): Promise<number | undefined>;
  /** Event `differs`: what was read is not in the log any more; nothing more comes from this reader. */
  read(options: {
    shard: number;
    fromSeq: number;
    queueMax: number;
    onEvent?: (event: string, detail: string) => void;
  }): Promise<LogReader>;
}

export interface Appender {
  append(
    shard: number,
    record: LogRecord,
  ): Promise<{ kind: 'appended'; seq: number } | { kind: 'refused'; reason: string; retryable: boolean }>;
}

export interface Commit {
  expectedCheckpoint: string;
  checkpoint: string;
  options: string;
  sessions: { sessionId: string; state: string; events: [position: number, json: string][] }[];
  timers: [member: string, dueAtMs: number | undefined][];
  outbox: [key: string, job: string | undefined][];
  /** When each session was created or last written beside the log, epoch ms; undefined removes. */
  snapshots: [sessionId: string, atMs: number | undefined][];
}

/** One session beside the log, whole (DESIGN section 6). */
export interface SessionSnapshot {
  sessionId: string;
  /** Creation time of the stream that the session's place counts in. */
  createdAt: string;
  /** Where the session is folded to. */
  seq: number;
  /** When it was taken, epoch ms of the fold. */
  atMs: number;
  /** As stored. */
  state: string;
  events: [position: number, json: string][];
  /** Its unsettled notifications, as stored. */
  outbox: string[];
}

/** The options of a shard, by the place in the log from which each was in force. */
export interface OptionHistory {
  createdAt: string;
  /** In the order of the log; the text is as stored with the shard. */
  entries: { seq: number; options: string }[];
}

export interface Snapshots {
  /** When the place where they lie was made, epoch ms; what was written before is gone. */
  createdAtMs(): Promise<number>;
  /** 'older': a newer one of this stream is there already. */
  write(shard: number, snapshot: SessionSnapshot): Promise<'stored' | 'older'>;
  remove(shard: number, sessionId: string): Promise<void>;
  /** Every session of the shard that has one, a bounded number at a time. */
  read(shard: number): AsyncIterable<SessionSnapshot[]>;
  readOptions(shard: number): Promise<OptionHistory | undefined>;
  writeOptions(shard: number, history: OptionHistory): Promise<void>;
}

export interface ShardStore {
  loadShard(shard: number): Promise<{ checkpoint: string; options: string; outbox: Record<string, string> }>;
  checkpoints(shards: readonly number[]): Promise<string[]>;
  loadSessions(shard: number, sessionIds: readonly string[]): Promise<(string | null)[]>;
  loadTranscript(
    shard: number,
    sessionId: string,
    range: { first: number; last: number },
  ): Promise<(string | null)[]>;
  commit(shard: number, commit: Commit): Promise<'saved' | 'conflict'>;
  /** Timers of the shard are not claimed while it is on. `at` tells how far a catch-up has come that does not commit. */
  hold(shard: number, on: boolean, at?: CatchUpPlace): Promise<void>;
  /** What can be seen of shards from outside, in the order asked. */
  standings(shards: readonly number[]): Promise<ShardStanding[]>;
  /** When the earliest timer of each shard is due, epoch ms; undefined: it has none. */
  firstTimers(shards: readonly number[]): Promise<(number | undefined)[]>;
  /** Rejects, or never resolves, when commits of this shard could not be written. */
  probeWrite(shard: number): Promise<void>;
  /** Some of the shard's sessions. From cursor '' on, until the cursor is '' again, every lasting one is told. */
  someSessions(
    shard: number,
    from: { cursor: string; limit: number },
  ): Promise<{ cursor: string; sessionIds: string[] }>;
  /** When each timer is stored to be due, epoch ms; undefined: it is not stored. */
  timerScores(shard: number, members: readonly string[]): Promise<(number | undefined)[]>;
  /** Sessions created or last written beside the log before `beforeMs`, the oldest first. */
  oldestSnapshots(shard: number, range: { beforeMs: number; limit: number }): Promise<string[]>;
  /** Notes that these were written beside the log; ones that are gone meanwhile stay gone. */
  noteSnapshots(shard: number, snapshots: [sessionId: string, atMs: number][]): Promise<void>;
}

/** A shard as anyone can see it, without asking its owner. */
export interface ShardStanding {
  checkpoint: string;
  isHeld: boolean;
  /** As the last `hold` told it, if it did. */
  at?: CatchUpPlace | undefined;
}

/** How far the owner of this term has come with a catch-up that does not commit; steps only grow. */
export interface CatchUpPlace {
  term: number;
  step: number;
}

export interface DeadLetter {
  shard: number;
  seq: number;
  index: number;
  atMs: number;
  reason: string;
  record: unknown;
}

export interface DeadLetters {
  /** Stores the letter. */
  refuse(letter: DeadLetter): Promise<void>;
  /** Notes that a replay is to skip the record too. */
  noteSkip(place: Pick<DeadLetter, 'shard' | 'seq' | 'index' | 'atMs' | 'reason'>): Promise<void>;
  skips(shard: number): Promise<Set<string>>;
}

export interface Leases {
  read(shard: number): Promise<LeaseView>;
  take(
    shard: number,
    lease: { owner: string; incarnation: string; leftOut?: LeftOut[] },
    expectedTerm: number,
  ): Promise<{ kind: 'taken'; term: number } | { kind: 'conflict' }>;
  release(
    shard: number,
    term: number,
    leftOut?: readonly LeftOut[],
  ): Promise<{ kind: 'taken'; term: number } | { kind: 'conflict' }>;
}

/** A shard's lease as stored; without `lease` nobody holds it. */
export interface LeaseView {
  lease?: { owner: string; incarnation: string };
  term: number;
  leftOut?: LeftOut[];
}

/** The way to the other session-actor nodes. */
export interface PeerTransport {
  beat(heartbeat: PeerHeartbeat): void;
  /** Asks a node whether it lives. */
  probe(nodeId: string): Promise<'alive' | 'no-responders' | 'silent'>;
}

/** The way to the GMS nodes. */
export interface GmsTransport {
  dispatch(
    nodeId: string,
    payload: string,
  ): Promise<DispatchAnswer | { status: 'no-responders' } | { status: 'timeout' }>;
  withdraw(nodeId: string, withdrawals: { subscription: string; n: number }[]): void;
  announceTerm(shard: number, term: number): void;
}

/** The way back to callers: one JSON text holds the replies for one of them. */
export interface ReplyTransport {
  reply(callerId: string, payload: string): void;
  /** For whoever listens to this session's notices; at most once. */
  announce(sessionId: string, payload: string): void;
}

export interface Clock {
  /** Wall clock, epoch ms. */
  nowMs(): number;
  /** Never steps; only differences mean something. */
  monotonicMs(): number;
  /** Runs `task` later; returns a function that takes it back. */
  after(delayMs: number, task: () => void): () => void;
}

export interface Log {
  debug(fields: object, fact: string): void;
  info(fields: object, fact: string): void;
  warn(fields: object, fact: string): void;
  error(fields: object, fact: string): void;
}

/** Counters and histograms that the runtime feeds. */
export interface Meter {
  count(name: MeterName, by?: number): void;
  observe(name: 'batchRecords' | 'commitMs', value: number): void;
}
export type MeterName =
  | 'recordsFolded'
  | 'recordsRefused'
  | 'commits'
  | 'commitConflicts'
  | 'repliesSent'
  | 'jobsDispatched'
  | 'jobsReturned'
  | 'jobsRefusedByTerm'
  | 'notificationsDropped'
  | 'noNodeFound'
  | 'settleDeadlines'
  | 'snapshotsWritten'
  | 'snapshotsRestored'
  | 'snapshotsUnreadable'
  | 'statesDropped'
  | 'shardsRestarted'
  | 'shardsTakenFromStuck'
  | 'shardsGivenAway'
  | 'sessionsAudited'
  | 'timersRestored'
  | 'notificationsRestored'
  | 'subscriptionsStranded';
