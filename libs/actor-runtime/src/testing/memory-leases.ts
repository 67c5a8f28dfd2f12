import type { Leases } from '../ports';

type Lease = { owner: string; incarnation: string };
type Entry = { lease?: Lease; term: number };
type Watcher = (shard: number, lease: Lease | undefined, term: number) => void;

/** The lease bucket in memory: one revision counter for all entries, compare-and-set on an entry's revision. */
export class MemoryLeases implements Leases {
  private readonly entries = new Map<number, Entry>();
  private readonly watchers = new Set<Watcher>();
  private revision = 0;
  /** Set by a test: releases fail as if the server did not answer. */
  releaseFails = false;

  read(shard: number): Promise<Entry> {
    return Promise.resolve(this.now(shard));
  }

  take(shard: number, lease: Lease, expectedTerm: number): ReturnType<Leases['take']> {
    return Promise.resolve(this.write(shard, lease, expectedTerm));
  }

  release(shard: number, term: number): ReturnType<Leases['release']> {
    if (this.releaseFails) return Promise.reject(new Error('the server does not answer'));
    return Promise.resolve(this.write(shard, undefined, term));
  }

  /** Tells each change in a later microtask, as a watch would. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** What stands now, for a test to look at. */
  now(shard: number): Entry {
    return this.entries.get(shard) ?? { term: 0 };
  }

  private write(
    shard: number,
    lease: Lease | undefined,
    expectedTerm: number,
  ): Awaited<ReturnType<Leases['take']>> {
    if (this.now(shard).term !== expectedTerm) return { kind: 'conflict' };
    const term = ++this.revision;
    this.entries.set(shard, lease ? { lease, term } : { term });
    for (const watcher of this.watchers) queueMicrotask(() => watcher(shard, lease, term));
    return { kind: 'taken', term };
  }
}
