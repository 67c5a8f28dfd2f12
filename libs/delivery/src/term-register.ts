/**
 * The highest term heard of each shard, from dispatches and announcements. It makes a deposed owner's jobs stop here
 * (I3).
 *
 * T1. Of one shard the register never goes back, except T2.
 * T2. A term that was not used for `memoryMs` is forgotten. Terms are revisions of a bucket; were it made anew, they
 *     would start low again, and a node that never forgets would refuse that shard until it is restarted.
 */
export class TermRegister {
  private readonly terms = new Map<number, { term: number; usedAtMs: number }>();

  constructor(private readonly bounds: { memoryMs: number; shardsMax: number }) {}

  /** Takes note of a term and says the highest one, which is greater when this one is deposed. */
  note(heard: { shard: number; term: number }, nowMs: number): number {
    const known = this.terms.get(heard.shard);
    if (known !== undefined && known.term > heard.term && nowMs - known.usedAtMs < this.bounds.memoryMs)
      return known.term;
    if (known !== undefined) {
      known.term = heard.term;
      known.usedAtMs = nowMs;
    } else if (this.terms.size < this.bounds.shardsMax) {
      this.terms.set(heard.shard, { term: heard.term, usedAtMs: nowMs });
    }
    return heard.term;
  }

  isDeposed(shard: number, term: number): boolean {
    return (this.terms.get(shard)?.term ?? 0) > term;
  }
}
