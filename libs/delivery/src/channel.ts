export interface HttpPost {
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: string;
  /** Whether the outcome tells the beginning of the answer's body. */
  keepsAnswer?: boolean;
}

/**
 * What became of a POST: a status, or why there is none. `code` is the channel's, undici's or the system's word, e.g.
 * ECONNREFUSED; `authorization` means that it was not sent because there is no token for it.
 */
export type PostOutcome =
  | { kind: 'answered'; status: number; answer?: string }
  | { kind: 'unreached'; cause: 'timeout' | 'connection' | 'authorization'; code: string };

/** The way to one destination. It never queues: the caller keeps no more posts in flight than there are connections. */
export interface Channel {
  /** Calls `done` exactly once, never before it returns. */
  post(post: HttpPost, done: (outcome: PostOutcome) => void): void;
  /** Ends what has lasted too long, and what is idle for too long. To be called a few times a second. */
  sweep(nowMs: number): void;
  close(): Promise<void>;
}

export interface HttpChannelOptions {
  connectionsMax: number;
  connectTimeoutMs: number;
  /** For the head of the answer, and between two parts of its body. */
  answerTimeoutMs: number;
  /** For one exchange as a whole. */
  exchangeTimeoutMs: number;
  /** The clock that `sweep` goes by. */
  nowMs: () => number;
}

export type Unreached = Extract<PostOutcome, { kind: 'unreached' }>;
