import type { Clock } from './ports';

/** A shard that takes longer holds the others up no more. */
const WAVE_MAX_MS = 10;
/** A wave that takes longer has waited for a core or for Redis. */
const QUICK_WAVE_MS = 3;
const PAUSE_PER_SLOW_MS = 2;
const PAUSE_MAX_MS = 16;
/** A wave of so many records is slow by its work; what each costs hardly falls any more. */
const LARGE_WAVE_RECORDS = 256;

/**
 * The shards of a process fold and commit in waves: what comes in while one is under way waits for its end, and then all
 * go together. Under load each batch has more records, and the commits, dispatches and replies of a wave share their
 * system calls; without load a wave is one shard and begins at once.
 *
 * W1. The slower a wave of few records was, the longer the next one gathers: where cores are short, fewer and larger
 *     batches leave more of them to the work itself. A shard whose batch is full already does not wait for that.
 */
export class BatchWaves {
  private readonly members = new Set<object>();
  private readonly waiting = new Map<object, () => void>();
  private cancel: () => void = () => undefined;
  private startedAtMs = 0;
  private nextAtMs = 0;
  private records = 0;

  constructor(private readonly clock: Pick<Clock, 'after' | 'monotonicMs'>) {}

  /** Resolves when `who` is part of a wave, or has left. */
  enter(who: object, { isFull = false }: { isFull?: boolean } = {}): Promise<void> {
    return new Promise((go) => {
      this.waiting.set(who, go);
      if (isFull) this.nextAtMs = 0;
      this.beginNext();
    });
  }

  /** A batch of the present wave has so many records. */
  carry(records: number): void {
    this.records += records;
  }

  /** The batch of `who` is done; may be called at any time. */
  leave(who: object): void {
    this.waiting.get(who)?.();
    this.waiting.delete(who);
    if (this.members.delete(who) && this.members.size === 0) this.end();
  }

  private beginNext(): void {
    if (this.members.size > 0 || this.waiting.size === 0) return;
    this.cancel();
    const nowMs = this.clock.monotonicMs();
    if (nowMs < this.nextAtMs) {
      this.cancel = this.clock.after(this.nextAtMs - nowMs, () => this.beginNext());
      return;
    }
    this.startedAtMs = nowMs;
    this.records = 0;
    const wave = [...this.waiting];
    this.waiting.clear();
    for (const [who] of wave) this.members.add(who);
    this.cancel = this.clock.after(WAVE_MAX_MS, () => this.end());
    for (const [, go] of wave) go();
  }

  private end(): void {
    this.cancel();
    this.members.clear();
    const nowMs = this.clock.monotonicMs();
    const isLarge = this.records >= LARGE_WAVE_RECORDS;
    const slowMs = isLarge ? 0 : Math.max(0, nowMs - this.startedAtMs - QUICK_WAVE_MS);
    this.nextAtMs = nowMs + Math.min(PAUSE_MAX_MS, slowMs * PAUSE_PER_SLOW_MS);
    this.beginNext();
  }
}
