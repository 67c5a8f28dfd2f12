/** What stands in an `AgeList`. */
export interface Aged<E> {
  older: E | undefined;
  newer: E | undefined;
}

/**
 * The order in which entries were last used, beside a map of them. In the map's own order whatever is used again would
 * leave a hole to step over, and would have to be found twice more.
 */
export class AgeList<E extends Aged<E>> {
  private first: E | undefined;
  private last: E | undefined;

  get oldest(): E | undefined {
    return this.first;
  }

  /** An entry that is in no list becomes the newest. */
  append(entry: E): void {
    entry.older = this.last;
    if (this.last === undefined) this.first = entry;
    else this.last.newer = entry;
    this.last = entry;
  }

  /** An entry of this list becomes the newest. */
  renew(entry: E): void {
    if (entry === this.last) return;
    this.remove(entry);
    this.append(entry);
  }

  /** The entry points to nothing afterwards, so that as garbage it keeps nothing. */
  remove(entry: E): void {
    const { older, newer } = entry;
    if (older === undefined) this.first = newer;
    else older.newer = newer;
    if (newer === undefined) this.last = older;
    else newer.older = older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
