/** What a drill has seen of one session from outside: published, received, refreshed. All times are epoch ms. */

/**
 * How the customer of a session behaves: `refreshing` refreshes after each trigger, `silent` has reliable pushes
 * and never refreshes, so that resends are seen, `plain` has plain pushes with the event in them.
 */
export type CustomerKind = 'refreshing' | 'silent' | 'plain';

/** An event that was given to NATS. Its marker is its text. */
export interface PublishedEvent {
  readonly marker: string;
  readonly sentAtMs: number;
  /** When the log acknowledged it; undefined when it never did. */
  ackedAtMs?: number;
}

/** A POST at the customer's server. */
export interface ReceivedPost {
  /** Start of the request. */
  readonly atMs: number;
  /** Time of the record that caused it, in whole seconds; 0 for a plain one. */
  readonly jobAtMs: number;
  /** Of a trigger. */
  readonly attempt?: number | undefined;
  /** Of a trigger: the first position not retrieved. Of a plain one: that of its event. */
  readonly position: number;
  /** Of a plain one. */
  readonly marker?: string | undefined;
}

/** A refresh that was answered with status 0. */
export interface AnsweredRefresh {
  readonly startedAtMs: number;
  readonly answeredAtMs: number;
  readonly nextPosition: number;
  readonly markers: readonly string[];
}

export interface TranscriptEntry {
  readonly position: number;
  readonly marker: string;
}

export interface SessionHistory {
  readonly sessionId: string;
  readonly customer: CustomerKind;
  readonly shard: number;
  /** Which of the drill's receivers its pushes go to. */
  readonly receiver: number;
  readonly events: PublishedEvent[];
  readonly posts: ReceivedPost[];
  readonly refreshes: AnsweredRefresh[];
  /** Read at the very end; undefined when it could not be read. */
  transcript?: readonly TranscriptEntry[];
}

/** Something that the drill broke. */
export interface Fault {
  readonly what: string;
  readonly atMs: number;
  /** Shards that somebody else has to take over; `all` when the whole system waits; none when nothing is taken over. */
  readonly affected: ReadonlySet<number> | 'all' | 'none';
}

/** A request to the receiver that was sent at `fromMs` was seen by it at `toMs`; epoch ms. */
export interface ReceiverDelay {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface DrillHistory {
  readonly sessions: readonly SessionHistory[];
  readonly faults: readonly Fault[];
  readonly resendDelayMs: number;
  readonly resendAttemptMax: number;
  /** Until then pushes were watched; the transcripts were read afterwards. */
  readonly watchedUntilMs: number;
  /** Lateness counts for sessions of these receivers only; the others are broken on purpose. */
  readonly timedReceivers: ReadonlySet<number>;
  /** By receiver, when it was slow to see what had been sent to it. */
  readonly receiverDelays: readonly (readonly ReceiverDelay[])[];
}
