/**
 * Which ids came lately, bounded by age and by count.
 *
 * R1. `take` says yes once per id while it is remembered.
 * R2. There are never more than `entriesMax` ids; the oldest goes first.
 */
export class RepeatFilter {
  /** In the order of arrival, so the oldest is the first. */
  private readonly seen = new Map<string, number>();

  constructor(private readonly bounds: { entriesMax: number; rememberMs: number }) {}

  take(id: string, nowMs: number): boolean {
    this.dropOld(nowMs);
    if (this.seen.has(id)) return false;
    this.seen.set(id, nowMs);
    if (this.seen.size > this.bounds.entriesMax) this.dropFirst();
    return true;
  }

  forget(id: string): void {
    this.seen.delete(id);
  }

  private dropOld(nowMs: number): void {
    for (const [id, atMs] of this.seen) {
      if (nowMs - atMs <= this.bounds.rememberMs) return;
      this.seen.delete(id);
    }
  }

  private dropFirst(): void {
    for (const id of this.seen.keys()) {
      this.seen.delete(id);
      return;
    }
  }
}
