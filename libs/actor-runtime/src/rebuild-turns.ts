/**
 * The shards of a process that read the whole log take turns, a few at a time.
 *
 * The server finds the next message of a filtered consumer by going through those of all other shards. Sixty-four that do
 * so at once keep it so long under the stream's lock that connections time out and everything begins anew. One after the
 * other costs no more reading in all, and the first shards serve again long before the last.
 */
export class RebuildTurns {
  private readonly taken = new Set<object>();
  private readonly waiting = new Map<object, () => void>();

  constructor(private readonly atOnceMax: number) {}

  /** Resolves when it is the turn of `who`, or when `who` has given up. */
  take(who: object): Promise<void> {
    if (this.taken.size < this.atOnceMax) {
      this.taken.add(who);
      return Promise.resolve();
    }
    return new Promise((resolve) => this.waiting.set(who, resolve));
  }

  /** Ends the turn of `who`, or its wait for one; may be called at any time, more than once. */
  giveBack(who: object): void {
    this.waiting.get(who)?.();
    this.waiting.delete(who);
    if (!this.taken.delete(who)) return;
    const [next] = this.waiting;
    if (!next) return;
    const [follower, go] = next;
    this.waiting.delete(follower);
    this.taken.add(follower);
    go();
  }
}
