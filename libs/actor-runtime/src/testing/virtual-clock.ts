import type { Clock } from '../ports';

interface Timer {
  dueAtMs: number;
  run: () => void;
}

/** More timers than this in one `advance` is an endless loop in the code under test. */
const FIRES_MAX = 200_000;

/** One turn of the event loop: every promise callback that is ready has run after it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * The time of a test: it stands still until it is moved. Several nodes share it; a frozen node gets a view of it whose
 * timers wait (`freezable`).
 */
export class VirtualClock implements Clock {
  private readonly timers = new Set<Timer>();

  private stepMs = 0;

  constructor(private now = 1_790_000_000_000) {}

  nowMs(): number {
    return this.now + this.stepMs;
  }

  /** The wall clock is set forward or back; time itself goes on as before. */
  step(byMs: number): void {
    this.stepMs += byMs;
  }

  monotonicMs(): number {
    return this.now;
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { dueAtMs: this.now + Math.max(0, delayMs), run: task };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  get timerCount(): number {
    return this.timers.size;
  }

  /** Moves time on; each timer fires at its own time, and what it settles runs before the next one fires. */
  async advance(durationMs: number): Promise<void> {
    const targetMs = this.now + durationMs;
    for (let fires = 0; fires < FIRES_MAX; fires++) {
      await turn();
      let next: Timer | undefined;
      for (const timer of this.timers) if (!next || timer.dueAtMs < next.dueAtMs) next = timer;
      if (!next || next.dueAtMs > targetMs) {
        this.now = targetMs;
        return;
      }
      this.timers.delete(next);
      this.now = Math.max(this.now, next.dueAtMs);
      next.run();
    }
    throw new Error(`more than ${FIRES_MAX} timers fired within ${durationMs} ms`);
  }
}

/** A node's own view of the time. While it is frozen its timers wait, and fire when it thaws, as after SIGSTOP. */
export class FreezableClock implements Clock {
  private frozen = false;
  private held: (() => void)[] = [];

  constructor(private readonly clock: VirtualClock) {}

  nowMs(): number {
    return this.clock.nowMs();
  }

  monotonicMs(): number {
    return this.clock.monotonicMs();
  }

  after(delayMs: number, task: () => void): () => void {
    let isCancelled = false;
    const cancel = this.clock.after(delayMs, () => {
      if (this.frozen) this.held.push(() => !isCancelled && task());
      else task();
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  freeze(frozen: boolean): void {
    this.frozen = frozen;
    if (!frozen) for (const task of this.held.splice(0)) task();
  }
}
