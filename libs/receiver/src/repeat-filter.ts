/**
 * Which ids came lately, bounded by age and by count.
 *
 * R1. `take` says yes once per id while it is remembered.
 * R2. There are never more than `entriesMax` ids; the oldest half goes at once.
 *
 * Two maps that take turns: one from whose beginning ids are removed would be walked through all of its holes each time.
 */
export class RepeatFilter {
  private young = new Map<string, number>();
  private old: typeof this.young = new Map();
  private youngSinceMs = Number.NEGATIVE_INFINITY;
  private readonly halfMax: number;
  private readonly rememberMs: number;

  constructor({ entriesMax, rememberMs }: { entriesMax: number; rememberMs: number }) {
    this.halfMax = Math.max(1, Math.floor(entriesMax / 2));
    this.rememberMs = rememberMs;
  }

  take(id: string, nowMs: number): boolean {
    const takenAtMs = this.young.get(id) ?? this.old.get(id);
    if (takenAtMs !== undefined && nowMs - takenAtMs <= this.rememberMs) return false;
    if (this.young.size >= this.halfMax || nowMs - this.youngSinceMs > this.rememberMs) {
      this.old = this.young;
      this.young = new Map();
      this.youngSinceMs = nowMs;
    }
    this.young.set(id, nowMs);
    return true;
  }

  forget(id: string): void {
    this.young.delete(id);
    this.old.delete(id);
  }
}
