import type { Clock } from './ports';

/** A shard that takes longer holds the others up no more. */
const WAVE_MAX_MS = 10;

/**
 * The shards of a process fold and commit in waves: what comes in while one is under way waits for its end, and then all
 * go together. Under load each batch has more records, and the commits, dispatches and replies of a wave share their
 * system calls; without load a wave is one shard and begins at once.
 */
export class BatchWaves {
  private readonly members = new Set<object>();
  private readonly waiting = new Map<object, () => void>();
  private cancel: () => void = () => undefined;

  constructor(private readonly clock: Pick<Clock, 'after'>) {}

  /** Resolves when `who` is part of a wave, or has left. */
  enter(who: object): Promise<void> {
    return new Promise((go) => {
      this.waiting.set(who, go);
      this.beginNext();
    });
  }

  /** The batch of `who` is done; may be called at any time. */
  leave(who: object): void {
    this.waiting.get(who)?.();
    this.waiting.delete(who);
    if (this.members.delete(who)) this.beginNext();
  }

  private beginNext(): void {
    if (this.members.size > 0 || this.waiting.size === 0) return;
    this.cancel();
    const wave = [...this.waiting];
    this.waiting.clear();
    for (const [who] of wave) this.members.add(who);
    this.cancel = this.clock.after(WAVE_MAX_MS, () => {
      this.members.clear();
      this.beginNext();
    });
    for (const [, go] of wave) go();
  }
}
