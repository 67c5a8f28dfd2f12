import { BOUNDS } from '@flexpush/contracts';

/** The bounds of this service that nobody needs to set (I9). */
export const NODE_BOUNDS = {
  /** Results wait this long for company; short against the latency of a POST. */
  resultLingerMs: 2,
  /** Results in one message. */
  resultsPerMessage: BOUNDS.resultsPerRecord,
  /** Results kept while NATS is away. Lost ones are asked for again by the same notification id. */
  resultsPendingMax: 20_000,
  /** While NATS is away, results are tried again after this. */
  resultRetryMs: 100,
  reasonChars: 200,
  /** What a busy node asks the sender to wait. */
  busyRetryAfterMs: 100,
  /** How often old jobs are handed back and idle things are freed. */
  sweepIntervalMs: 250,
  /** How often the process notes that it is awake. */
  awakeIntervalMs: 100,
  /** A longer silence of the event loop means that messages may have lain in the socket for as long. */
  asleepAfterMs: 750,
  /** Shards whose terms are remembered; no cluster comes near it. */
  shardsMax: 65_536,
  /** At most one log line about refused input per this long, with a count. */
  refusalLogIntervalMs: 1_000,
} as const;
