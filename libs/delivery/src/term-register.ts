/**
 * The highest term known of each shard: from the leases as they stand and change, from announcements, which are faster,
 * and from dispatches. It makes a deposed owner's jobs stop here (I3), also on a node that has just started.
 *
 * T1. Of one shard the register never goes back. It need not: terms go on rising even when the leases are lost.
 */
export class TermRegister {
  private readonly terms = new Map<number, number>();

  constructor(private readonly shardsMax: number) {}

  /** Takes note of a term and says the highest one, which is greater when this one is deposed. */
  note({ shard, term }: { shard: number; term: number }): number {
    const highest = Math.max(term, this.terms.get(shard) ?? 0);
    if (this.terms.has(shard) || this.terms.size < this.shardsMax) this.terms.set(shard, highest);
    return highest;
  }

  isDeposed(shard: number, term: number): boolean {
    return (this.terms.get(shard) ?? 0) > term;
  }
}
