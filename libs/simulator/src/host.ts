import type { Clock } from '@flexpush/actor-runtime';
import type { VirtualClock } from '@flexpush/actor-runtime/testing';

export type HostState = 'running' | 'frozen' | 'dead';
export type Server = 'nats' | 'redis';

/**
 * One process on a machine of its own.
 *
 * H1. While it is frozen nothing runs in it: its timers and what comes in wait, and happen when it thaws, in order.
 * H2. When it is dead nothing runs in it ever again. What it has sent before still arrives.
 * H3. Its wall clock may be stepped; its monotonic clock never is.
 */
export class Host {
  state: HostState = 'running';
  /** The servers it cannot reach at present. */
  readonly cutFrom = new Set<Server>();
  readonly clock: HostClock;
  /** What happened while it was frozen, in order (H1). */
  private waiting: (() => void)[] = [];
  private onDeath: (() => void)[] = [];

  constructor(
    readonly name: string,
    private readonly time: VirtualClock,
  ) {
    this.clock = new HostClock(time, (task) => this.run(task));
  }

  /** Something happens in this process: at once, when it thaws, or never. */
  run(task: () => void): void {
    if (this.state === 'running') task();
    else if (this.state === 'frozen') this.waiting.push(task);
  }

  freeze(): void {
    if (this.state === 'running') this.state = 'frozen';
  }

  thaw(): void {
    if (this.state !== 'frozen') return;
    this.state = 'running';
    // Each in a turn of its own, as an event loop does: what one settles runs before the next one.
    for (const task of this.waiting.splice(0)) this.time.after(0, () => this.run(task));
  }

  kill(): void {
    this.state = 'dead';
    this.waiting = [];
    for (const told of this.onDeath.splice(0)) told();
  }

  /** The other end of a connection sees it break. */
  whenDead(task: () => void): void {
    if (this.state === 'dead') task();
    else this.onDeath.push(task);
  }
}

/** Time as one host sees it. */
export class HostClock implements Clock {
  private skewMs = 0;

  constructor(
    private readonly time: VirtualClock,
    private readonly run: (task: () => void) => void,
  ) {}

  nowMs(): number {
    return Math.floor(this.time.nowMs() + this.skewMs);
  }

  monotonicMs(): number {
    return this.time.monotonicMs();
  }

  after(delayMs: number, task: () => void): () => void {
    let isCancelled = false;
    const cancel = this.time.after(delayMs, () => this.run(() => !isCancelled && task()));
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  /** Somebody sets the wall clock. */
  step(byMs: number): void {
    this.skewMs += byMs;
  }
}
