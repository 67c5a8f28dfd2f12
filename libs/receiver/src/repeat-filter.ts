interface Seen {
  readonly id: string;
  readonly atMs: number;
}

/**
 * Which ids came lately, bounded by age and by count.
 *
 * R1. `take` says yes once per id while it is remembered.
 * R2. There are never more than `entriesMax` ids; the oldest goes first.
 */
export class RepeatFilter {
  /** In the order of arrival, so the oldest is the first. */
  private readonly seen = new Map<string, Seen>();
  /** Never begun anew: from the beginning it would step over the hole of every id that has gone. */
  private readonly walk = this.seen.values();
  private first: Seen | undefined;

  constructor(private readonly bounds: { entriesMax: number; rememberMs: number }) {}

  take(id: string, nowMs: number): boolean {
    const { entriesMax, rememberMs } = this.bounds;
    for (let one = this.oldest(); one && nowMs - one.atMs > rememberMs; one = this.oldest())
      this.forget(one.id);
    if (this.seen.has(id)) return false;
    this.seen.set(id, { id, atMs: nowMs });
    const oldest = this.oldest();
    if (oldest && this.seen.size > entriesMax) this.forget(oldest.id);
    return true;
  }

  forget(id: string): void {
    this.seen.delete(id);
  }

  private oldest(): Seen | undefined {
    if (this.seen.size === 0) return undefined;
    while (!this.first || this.seen.get(this.first.id) !== this.first) {
      const next = this.walk.next();
      if (next.done) return undefined;
      this.first = next.value;
    }
    return this.first;
  }
}
