import type { Clock } from '../ports';

interface Timer {
  dueAtMs: number;
  /** Timers of one instant fire in the order in which they were set. */
  order: number;
  run: (() => void) | undefined;
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
  /** A binary heap, the next one first; cancelled ones stay until their time, without a task. */
  private readonly heap: Timer[] = [];
  private order = 0;
  private live = 0;
  private stepMs = 0;

  constructor(
    private now = 1_790_000_000_000,
    /** Resolves when what a timer has settled has run. */
    private readonly settled: () => Promise<void> = turn,
  ) {}

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
    const timer: Timer = { dueAtMs: this.now + Math.max(0, delayMs), order: this.order++, run: task };
    this.push(timer);
    this.live++;
    return () => {
      if (timer.run) this.live--;
      timer.run = undefined;
    };
  }

  get timerCount(): number {
    return this.live;
  }

  /** Moves time on; each timer fires at its own time, and what it settles runs before the next one fires. */
  async advance(durationMs: number): Promise<void> {
    const targetMs = this.now + durationMs;
    for (let fires = 0; fires < FIRES_MAX; fires++) {
      await this.settled();
      const next = this.next(targetMs);
      if (!next) {
        this.now = targetMs;
        return;
      }
      this.now = Math.max(this.now, next.dueAtMs);
      this.live--;
      const run = next.run as () => void;
      next.run = undefined;
      run();
    }
    throw new Error(`more than ${FIRES_MAX} timers fired within ${durationMs} ms`);
  }

  /** Takes the next timer that is due until then. */
  private next(targetMs: number): Timer | undefined {
    for (let first = this.heap[0]; first && first.dueAtMs <= targetMs; first = this.heap[0]) {
      this.pop();
      if (first.run) return first;
    }
    return undefined;
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent] as Timer)) break;
      heap[at] = heap[parent] as Timer;
      at = parent;
    }
    heap[at] = timer;
  }

  private pop(): void {
    const { heap } = this;
    const moved = heap.pop();
    if (!moved || heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1];
      if (right && isBefore(right, heap[child] as Timer)) child++;
      if (!isBefore(heap[child] as Timer, moved)) break;
      heap[at] = heap[child] as Timer;
      at = child;
    }
    heap[at] = moved;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.order < b.order);
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
