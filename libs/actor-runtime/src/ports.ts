import type { DispatchAnswer, LogRecord, PeerHeartbeat } from '@flexpush/contracts';

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
}

export interface ShardLog {
  state(): Promise<LogState>;
  lastSeqOf(shard: number): Promise<number>;
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
  hold(shard: number, on: boolean): Promise<void>;
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
  refuse(letter: DeadLetter): Promise<void>;
  skips(shard: number): Promise<Set<string>>;
}

export interface Leases {
  read(shard: number): Promise<{ lease?: { owner: string; incarnation: string }; term: number }>;
  take(
    shard: number,
    lease: { owner: string; incarnation: string },
    expectedTerm: number,
  ): Promise<{ kind: 'taken'; term: number } | { kind: 'conflict' }>;
  release(shard: number, term: number): Promise<{ kind: 'taken'; term: number } | { kind: 'conflict' }>;
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
  | 'settleDeadlines';
