/**
 * What happened lately, by key, bounded by age and by count.
 *
 * M1. An entry older than `ageMaxMs` is never returned.
 * M2. There are never more than `entriesMax` entries; the least recently set half goes at once.
 *
 * Two maps that take turns: a map from whose beginning entries are removed one by one is walked through all of its holes
 * to find the next one.
 */
export class RecentMap<V> {
  private young = new Map<string, { value: V; atMs: number }>();
  private old: typeof this.young = new Map();
  /** When each got its last entry. */
  private youngMs = Number.NEGATIVE_INFINITY;
  private oldMs = Number.NEGATIVE_INFINITY;
  private readonly halfMax: number;
  private readonly ageMaxMs: number;

  constructor({ entriesMax, ageMaxMs }: { entriesMax: number; ageMaxMs: number }) {
    this.halfMax = Math.max(1, Math.floor(entriesMax / 2));
    this.ageMaxMs = ageMaxMs;
  }

  get size(): number {
    return this.young.size + this.old.size;
  }

  get(key: string, nowMs: number): V | undefined {
    const entry = this.young.get(key) ?? this.old.get(key);
    return entry !== undefined && nowMs - entry.atMs <= this.ageMaxMs ? entry.value : undefined;
  }

  set(key: string, value: V, nowMs: number): void {
    if (this.young.size >= this.halfMax && !this.young.has(key)) this.turn();
    this.young.set(key, { value, atMs: nowMs });
    this.youngMs = nowMs;
  }

  /** Frees what has grown too old. It only saves memory: `get` judges the age itself. */
  sweep(nowMs: number): void {
    if (nowMs - this.oldMs > this.ageMaxMs) this.old.clear();
    if (nowMs - this.youngMs > this.ageMaxMs) this.young.clear();
  }

  private turn(): void {
    this.old = this.young;
    this.oldMs = this.youngMs;
    this.young = new Map();
  }
}
