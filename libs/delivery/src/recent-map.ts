/**
 * What happened lately, by key, bounded by age and by count.
 *
 * M1. An entry older than `ageMaxMs` is never returned.
 * M2. There are never more than `entriesMax` entries; the least recently set goes first.
 */
export class RecentMap<V> {
  /** In the order of `set`, so the oldest entry is the first. */
  private readonly entries = new Map<string, { value: V; atMs: number }>();

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
    this.entries.set(key, { value, atMs: nowMs });
    if (this.entries.size > this.bounds.entriesMax) this.forgetOldest();
  }

  /** Frees what has grown too old. It only saves memory: `get` judges the age itself. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.entries) {
      if (nowMs - entry.atMs <= this.bounds.ageMaxMs) return;
      this.entries.delete(key);
    }
  }

  private forgetOldest(): void {
    for (const key of this.entries.keys()) {
      this.entries.delete(key);
      return;
    }
  }
}
