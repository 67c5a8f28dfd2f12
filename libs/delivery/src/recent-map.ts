interface Entry<V> {
  readonly key: string;
  value: V;
  atMs: number;
  older: Entry<V> | undefined;
  newer: Entry<V> | undefined;
}

/**
 * What happened lately, by key, bounded by age and by count.
 *
 * M1. An entry older than `ageMaxMs` is never returned.
 * M2. There are never more than `entriesMax` entries; the least recently set goes first.
 *
 * The order is a list of its own: in the map's, whatever is set again would leave a hole to step over, and its place in
 * a table of hundreds of thousands would have to be found twice more.
 */
export class RecentMap<V> {
  private readonly entries = new Map<string, Entry<V>>();
  private oldest: Entry<V> | undefined;
  private newest: Entry<V> | undefined;

  constructor(private readonly bounds: { entriesMax: number; ageMaxMs: number }) {}

  get size(): number {
    return this.entries.size;
  }

  get(key: string, nowMs: number): V | undefined {
    const entry = this.entries.get(key);
    return entry !== undefined && nowMs - entry.atMs <= this.bounds.ageMaxMs ? entry.value : undefined;
  }

  set(key: string, value: V, nowMs: number): void {
    const known = this.entries.get(key);
    if (known !== undefined) {
      known.value = value;
      known.atMs = nowMs;
      this.unlink(known);
      this.append(known);
      return;
    }
    const entry: Entry<V> = { key, value, atMs: nowMs, older: undefined, newer: undefined };
    this.entries.set(key, entry);
    this.append(entry);
    if (this.oldest !== undefined && this.entries.size > this.bounds.entriesMax) this.forget(this.oldest);
  }

  /** Frees what has grown too old. It only saves memory: `get` judges the age itself. */
  sweep(nowMs: number): void {
    while (this.oldest !== undefined && nowMs - this.oldest.atMs > this.bounds.ageMaxMs)
      this.forget(this.oldest);
  }

  private forget(entry: Entry<V>): void {
    this.entries.delete(entry.key);
    this.unlink(entry);
  }

  private append(entry: Entry<V>): void {
    entry.older = this.newest;
    if (this.newest === undefined) this.oldest = entry;
    else this.newest.newer = entry;
    this.newest = entry;
  }

  /** Points to nothing afterwards, so that as garbage it keeps nothing. */
  private unlink(entry: Entry<V>): void {
    const { older, newer } = entry;
    if (older === undefined) this.oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.newest = older;
    else newer.older = older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
