/**
 * Knows when messages may be older than they look. A process that was frozen (SIGSTOP, a paused machine, a blocked
 * event loop) finds on waking everything that was sent to it meanwhile, as if it had just come; its sender has given
 * the jobs to another node long ago.
 *
 * W1. A message was received no earlier than the last moment the process was seen awake; that moment counts as its
 *     time of receipt.
 * W2. After a silence of `asleepAfterMs` everything is stale until `caughtUp` says that what lay in the socket has been
 *     read.
 */
export class WakeGuard {
  private staleNow = false;

  constructor(
    private readonly asleepAfterMs: number,
    private awakeAtMs: number,
  ) {}

  get stale(): boolean {
    return this.staleNow;
  }

  /** To be called on every tick and before every message. `woke` asks the caller to find out when it has caught up. */
  seen(nowMs: number): { awakeAtMs: number; woke: boolean } {
    const awakeAtMs = this.awakeAtMs;
    const woke = nowMs - awakeAtMs >= this.asleepAfterMs;
    this.awakeAtMs = nowMs;
    if (woke) this.staleNow = true;
    return { awakeAtMs, woke };
  }

  caughtUp(): void {
    this.staleNow = false;
  }
}
