/** Time as code under test sees it. Timers are cancelled by the function that `setTimer` returns. */
export interface Clock {
  now(): number;
  setTimer(delayMs: number, run: () => void): () => void;
}

interface Timer {
  readonly dueAtMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** More timers than this in one `advance` is an endless loop in the code under test. */
const FIRES_MAX = 100_000;

/** A clock that stands still until a test moves it. Timers fire in the order of their due times, then of setting. */
export class ManualClock implements Clock {
  private readonly timers = new Set<Timer>();
  private order = 0;

  constructor(private nowMs: number = 1_700_000_000_000) {}

  now(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, run: () => void): () => void {
    this.order += 1;
    const timer: Timer = { dueAtMs: this.nowMs + Math.max(0, delayMs), order: this.order, run };
    this.timers.add(timer);
    return () => {
      this.timers.delete(timer);
    };
  }

  /** Resolves when the clock has been moved that far. */
  sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimer(durationMs, resolve);
    });
  }

  /** How many timers are set. */
  get timerCount(): number {
    return this.timers.size;
  }

  /** When the next timer is due, undefined without one. */
  get nextDueAtMs(): number | undefined {
    return this.next()?.dueAtMs;
  }

  /**
   * Moves time on and fires what becomes due on the way, each at its own time. Promises that a timer settles
   * are run before the next one fires, so timers that they set take their place in the order.
   */
  async advance(durationMs: number): Promise<void> {
    const targetMs = this.nowMs + durationMs;
    for (let fires = 0; fires < FIRES_MAX; fires += 1) {
      // Work that the test has started may still have to set its timers.
      await turn();
      const timer = this.next();
      if (timer === undefined || timer.dueAtMs > targetMs) {
        this.nowMs = targetMs;
        return;
      }
      this.timers.delete(timer);
      this.nowMs = Math.max(this.nowMs, timer.dueAtMs);
      timer.run();
    }
    throw new Error(`more than ${FIRES_MAX} timers fired within ${durationMs} ms`);
  }

  private next(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.timers) {
      if (first === undefined || timer.dueAtMs < first.dueAtMs) first = timer;
      else if (timer.dueAtMs === first.dueAtMs && timer.order < first.order) first = timer;
    }
    return first;
  }
}

/** One turn of the event loop; all promise callbacks that are ready have run after it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
