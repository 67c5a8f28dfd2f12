/**
 * A bounded place for those who are not known yet. It never refuses: who would fill it by staying is sent away by who comes
 * later, so that a newcomer who is quick always gets through.
 */
export class EvictingRoom {
  /** Sets keep the order of arrival. */
  private readonly inside = new Set<{ onEvicted: () => void }>();

  constructor(private readonly max: number) {}

  size(): number {
    return this.inside.size;
  }

  /** Returns how to leave. Who has been evicted has left already. */
  enter(onEvicted: () => void): () => void {
    const [oldest] = this.inside;
    if (oldest && this.inside.size >= this.max) {
      this.inside.delete(oldest);
      oldest.onEvicted();
    }
    const guest = { onEvicted };
    this.inside.add(guest);
    return () => void this.inside.delete(guest);
  }
}
