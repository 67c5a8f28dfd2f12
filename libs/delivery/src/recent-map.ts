interface Entry<V> {
  readonly key: string;
  readonly value: V;
  readonly atMs: number;
}

/**
 * What happened lately, by key, bounded by age and by count.
 *
 * M1. An entry older than `ageMaxMs` is never returned.
 * M2. There are never more than `entriesMax` entries; the least recently set goes first.
 */
export class RecentMap<V> {
  /** In the order of `set`, so the oldest entry is the first. */
  private readonly entries = new Map<string, Entry<V>>();
  /** Never begun anew: from the beginning it would step over the hole of every entry that has gone. */
  private readonly walk = this.entries.values();
  private first: Entry<V> | undefined;

  constructor(private readonly bounds: { entriesMax: number; ageMaxMs: number }) {}

  get size(): number {
    return this.entries.size;
  }

  get(key: string, nowMs: number): V | undefined {
    const entry = this.entries.get(key);
    return entry !== undefined && nowMs - entry.atMs <= this.bounds.ageMaxMs ? entry.value : undefined;
  }

  set(key: string, value: V, nowMs: number): void {
    this.entries.delete(key);
    this.entries.set(key, { key, value, atMs: nowMs });
    const oldest = this.oldest();
    if (oldest && this.entries.size > this.bounds.entriesMax) this.entries.delete(oldest.key);
  }

  /** Frees what has grown too old. It only saves memory: `get` judges the age itself. */
  sweep(nowMs: number): void {
    for (let one = this.oldest(); one && nowMs - one.atMs > this.bounds.ageMaxMs; one = this.oldest())
      this.entries.delete(one.key);
  }

  /** What lies behind the walk is gone, or was set again and stands ahead of it. */
  private oldest(): Entry<V> | undefined {
    if (this.entries.size === 0) return undefined;
    while (!this.first || this.entries.get(this.first.key) !== this.first) {
      const next = this.walk.next();
      if (next.done) return undefined;
      this.first = next.value;
    }
    return this.first;
  }
}
