import type { Clock } from './ports';
import type { FireLog } from './timer-claimer';

/** A wall clock that moves by more against the monotonic one, between two looks, was set and not slewed. */
const STEP_MS = 200;
const MEASURE_INTERVAL_MS = 1_000;

/**
 * The time by which timers are claimed: that of the log. Due times come from the log's own time stamps; by another
 * host's clock they would be early or late by as much as the two differ, and because a late resend moves its base, each
 * attempt would add that difference again.
 *
 * K1. A step of the wall clock of this host changes nothing; that it is slewed is followed.
 * K2. Whenever an own record's time of storing is learnt, the time here is moved into what that leaves possible: the
 *     record was stored after it was sent and before it was acknowledged. Before the first one the wall clock counts.
 */
export class LogClock implements Clock {
  /** Wall clock minus monotonic clock at the last look. */
  private wallMs: number;
  /** Time of the log minus wall clock. */
  private skewMs = 0;

  constructor(private readonly clock: Clock) {
    this.wallMs = clock.nowMs() - clock.monotonicMs();
  }

  nowMs(): number {
    return Math.floor(this.monotonicMs() + this.lookAtWall() + this.skewMs);
  }

  monotonicMs(): number {
    return this.clock.monotonicMs();
  }

  after(delayMs: number, task: () => void): () => void {
    return this.clock.after(delayMs, task);
  }

  /** K2. `sentAtMs` and `ackedAtMs` are monotonic; `storedAtMs` is the log's, in whole ms. */
  observe(record: { storedAtMs: number; sentAtMs: number; ackedAtMs: number }): void {
    const wallMs = this.lookAtWall();
    const lowestMs = record.storedAtMs - record.ackedAtMs - wallMs;
    const highestMs = record.storedAtMs + 1 - record.sentAtMs - wallMs;
    this.skewMs = Math.min(Math.max(this.skewMs, lowestMs), highestMs);
  }

  /** K1 */
  private lookAtWall(): number {
    const wallMs = this.clock.nowMs() - this.clock.monotonicMs();
    const movedMs = wallMs - this.wallMs;
    if (Math.abs(movedMs) > STEP_MS) this.skewMs -= movedMs;
    this.wallMs = wallMs;
    return wallMs;
  }
}

/** Appends firings, and learns the time of the log by one of them per second. */
export class MeasuredFires implements FireLog {
  private measuredAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly parts: {
      fires: { append: (...args: Parameters<FireLog['append']>) => Promise<Appended> };
      timeOf: (seq: number) => Promise<number | undefined>;
      clock: LogClock;
    },
  ) {}

  async append(...args: Parameters<FireLog['append']>): Promise<Appended> {
    const { fires, clock } = this.parts;
    const sentAtMs = clock.monotonicMs();
    const answer = await fires.append(...args);
    const ackedAtMs = clock.monotonicMs();
    if (answer.kind === 'appended' && ackedAtMs - this.measuredAtMs >= MEASURE_INTERVAL_MS) {
      this.measuredAtMs = ackedAtMs;
      // Not awaited: the next claim need not wait for it.
      void this.measure(answer.seq, { sentAtMs, ackedAtMs });
    }
    return answer;
  }

  private async measure(seq: number, at: { sentAtMs: number; ackedAtMs: number }): Promise<void> {
    // Without an answer the time stays as it is known; the next second asks again.
    const storedAtMs = await this.parts.timeOf(seq).catch(() => undefined);
    if (storedAtMs !== undefined) this.parts.clock.observe({ storedAtMs, ...at });
  }
}

type Appended = { kind: 'appended'; seq: number } | { kind: 'refused'; reason: string };
