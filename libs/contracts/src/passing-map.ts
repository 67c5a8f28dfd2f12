interface Slot<V> {
  value: V | undefined;
}

/**
 * A map of what is under way: entries that come and go all the time, few at once.
 *
 * A Map whose table is full gets a new one, and V8 has the old table point to it. As soon as one of them is in the old
 * generation, it keeps the next one, and that the one after it, each with all that it held when it was full, until the
 * next full collection: with a plain Map most of what passes through gets old. So an entry here is reached through a slot
 * that is emptied when the entry goes. Its key stays behind as it would in a Map.
 *
 * Iterates in the order of coming; entries may come and go meanwhile.
 */
export class PassingMap<K extends string | number, V> {
  private readonly slots = new Map<K, Slot<V>>();

  get size(): number {
    return this.slots.size;
  }

  has(key: K): boolean {
    return this.slots.has(key);
  }

  get(key: K): V | undefined {
    return this.slots.get(key)?.value;
  }

  /** An entry that is set again keeps its place. */
  set(key: K, value: V): void {
    const slot = this.slots.get(key);
    if (slot === undefined) this.slots.set(key, { value });
    else slot.value = value;
  }

  delete(key: K): boolean {
    const slot = this.slots.get(key);
    if (slot === undefined) return false;
    slot.value = undefined;
    return this.slots.delete(key);
  }

  keys(): IterableIterator<K> {
    return this.slots.keys();
  }

  *values(): IterableIterator<V> {
    for (const { value } of this.slots.values()) yield value as V;
  }

  *[Symbol.iterator](): IterableIterator<[key: K, value: V]> {
    for (const [key, { value }] of this.slots) yield [key, value as V];
  }
}
