import {
  parseJson,
  PassingMap,
  callRepliesReader,
  shardOf,
  type CallReply,
  type InternalRecord,
} from '@flexpush/contracts';
import type { Appender } from './ports';
import { ReplyParts, type WholeReply } from './reply-parts';

/** A record that somebody waits for. */
export type CallRecord = Extract<InternalRecord, { type: 'session.create' | `request.${string}` }>;

type AppendResult = Awaited<ReturnType<Appender['append']>>;

/** Time as the calls see it. */
export interface CallClock {
  /** Milliseconds that never run backwards. */
  now(): number;
  /** Runs once after the delay, unless the returned function is called first. */
  setTimer(delayMs: number, run: () => void): () => void;
}

export type CallOutcome =
  | { kind: 'answered'; answer: WholeReply }
  /** The log does not have the record. */
  | { kind: 'refused'; reason: string; retryable: boolean }
  /** The record may have been folded; only the same record id makes a repeat harmless. */
  | { kind: 'timeout' };

export interface CallsOptions {
  shardCount: number;
  retryMs: number;
  timeoutMs: number;
  clock: CallClock;
  /** For the metrics. */
  onEvent: (event: 'appended-again' | 'reply-unmatched' | 'reply-malformed') => void;
}

/** Each wait for a reply is so many times the one before, so that a slow cluster is not flooded with repeats. */
const RETRY_FACTOR = 2;

/**
 * Calls on sessions: appends a record to the log and waits for the fold's reply to its id.
 *
 * C1. Every call ends: by a reply, a refusal of the log, or the time-out.
 * C2. A record is appended again only under its own id, and never while an append of it is under way, so an outage of
 *     the log does not multiply what waits for it.
 * C3. Calls with the same record id are one call. Record ids are made such that these are repeats by the same caller.
 * C4. How many calls are under way is bounded by who calls (`RequestGate`).
 */
export class SessionCalls {
  private readonly pending = new PassingMap<string, PendingCall>();

  constructor(
    private readonly log: Appender,
    private readonly options: CallsOptions,
  ) {}

  call(record: CallRecord): Promise<CallOutcome> {
    const known = this.pending.get(record.id);
    if (known) return known.outcome;
    const call = new PendingCall(record, this.log, this.options, () => this.pending.delete(record.id));
    this.pending.set(record.id, call);
    call.start();
    return call.outcome;
  }

  /** Takes a message from this process's reply subject. */
  accept(text: string): void {
    const parsed = callRepliesReader.safeParse(parseJson(text));
    if (!parsed.success) {
      this.options.onEvent('reply-malformed');
      return;
    }
    for (const reply of parsed.data.replies) {
      const call = this.pending.get(reply.id);
      // A reply to a repeat comes after the call has ended; that is the normal end of a repeat.
      if (call) call.take(reply);
      else this.options.onEvent('reply-unmatched');
    }
  }
}

/** Where the transcript in the reply begins; a refresh that does not say gets all of it. */
function wantedPosition(record: CallRecord): number | undefined {
  if (record.type === 'request.refresh' || record.type === 'request.follow')
    return record.transcriptPosition ?? 1;
  return record.type === 'request.send' ? record.transcriptPosition : undefined;
}

class PendingCall {
  readonly outcome: Promise<CallOutcome>;
  private resolve!: (outcome: CallOutcome) => void;
  private readonly parts: ReplyParts;
  private readonly shard: number;
  private readonly deadlineMs: number;
  private waitMs: number;
  private appending = false;
  private cancelTimer: () => void = () => undefined;
  private ended = false;
  /** The log has the record, or may have it: from then on only a reply or the time-out ends the call. */
  private perhapsStored = false;

  constructor(
    private readonly record: CallRecord,
    private readonly log: Appender,
    private readonly options: CallsOptions,
    private readonly onEnd: () => void,
  ) {
    this.outcome = new Promise((resolve) => (this.resolve = resolve));
    this.parts = new ReplyParts(wantedPosition(record));
    this.shard = shardOf(record.sessionId, options.shardCount);
    this.deadlineMs = options.clock.now() + options.timeoutMs;
    this.waitMs = options.retryMs;
  }

  start(): void {
    this.append();
    this.armTimer();
  }

  take(part: CallReply): void {
    const answer = this.parts.add(part);
    if (answer) this.end({ kind: 'answered', answer });
  }

  private append(): void {
    this.appending = true;
    void this.log.append(this.shard, this.record).then(
      (result) => this.onAppended(result),
      (error: unknown) => this.onAppended({ kind: 'refused', reason: String(error), retryable: true }),
    );
  }

  private onAppended(result: AppendResult): void {
    this.appending = false;
    // An append that timed out may have been stored all the same.
    if (result.kind === 'appended' || result.reason === 'timeout') this.perhapsStored = true;
    else if (!this.perhapsStored) this.end(result);
  }

  private armTimer(): void {
    const leftMs = this.deadlineMs - this.options.clock.now();
    this.cancelTimer = this.options.clock.setTimer(Math.min(this.waitMs, leftMs), () => this.onTimer());
    this.waitMs *= RETRY_FACTOR;
  }

  private onTimer(): void {
    if (this.options.clock.now() >= this.deadlineMs) {
      this.end({ kind: 'timeout' });
      return;
    }
    if (!this.appending) {
      this.options.onEvent('appended-again');
      this.append();
    }
    this.armTimer();
  }

  private end(outcome: CallOutcome): void {
    if (this.ended) return;
    this.ended = true;
    this.cancelTimer();
    this.onEnd();
    this.resolve(outcome);
  }
}
