import { AgeList, type Aged } from '@flexpush/contracts';

interface Entry<V> extends Aged<Entry<V>> {
  readonly key: string;
  value: V;
  atMs: number;
}

/**
 * What happened lately, by key, bounded by age and by count.
 *
 * M1. An entry older than `ageMaxMs` is never returned.
 * M2. There are never more than `entriesMax` entries; the least recently set goes first.
 */
export class RecentMap<V> {
  private readonly entries = new Map<string, Entry<V>>();
  private readonly byAge = new AgeList<Entry<V>>();

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
      this.byAge.renew(known);
      return;
    }
    const entry: Entry<V> = { key, value, atMs: nowMs, older: undefined, newer: undefined };
    this.entries.set(key, entry);
    this.byAge.append(entry);
    const { oldest } = this.byAge;
    if (oldest !== undefined && this.entries.size > this.bounds.entriesMax) this.forget(oldest);
  }

  /** Frees what has grown too old. It only saves memory: `get` judges the age itself. */
  sweep(nowMs: number): void {
    const { byAge, bounds } = this;
    for (let it = byAge.oldest; it !== undefined && nowMs - it.atMs > bounds.ageMaxMs; it = byAge.oldest)
      this.forget(it);
  }

  private forget(entry: Entry<V>): void {
    this.entries.delete(entry.key);
    this.byAge.remove(entry);
  }
}
