import type { LeftOut } from '@flexpush/contracts';
import type { Leases, LeaseView } from '../ports';

type Lease = { owner: string; incarnation: string; leftOut?: LeftOut[] };
type Watcher = (shard: number, entry: LeaseView) => void;

/** The lease bucket in memory: one revision counter for all entries, compare-and-set on an entry's revision. */
export class MemoryLeases implements Leases {
  private readonly entries = new Map<number, LeaseView>();
  private readonly watchers = new Set<Watcher>();
  private revision = 0;
  /** Set by a test: releases fail as if the server did not answer. */
  releaseFails = false;

  read(shard: number): Promise<LeaseView> {
    return Promise.resolve(this.now(shard));
  }

  take(shard: number, lease: Lease, expectedTerm: number): ReturnType<Leases['take']> {
    return Promise.resolve(this.write(shard, lease, expectedTerm));
  }

  release(shard: number, term: number, leftOut: readonly LeftOut[] = []): ReturnType<Leases['release']> {
    if (this.releaseFails) return Promise.reject(new Error('the server does not answer'));
    return Promise.resolve(this.write(shard, { owner: '', incarnation: '', leftOut: [...leftOut] }, term));
  }

  /** Tells what stands and then each change, in a later microtask, as a watch would. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    for (const [shard, entry] of this.entries) queueMicrotask(() => watcher(shard, entry));
    return () => this.watchers.delete(watcher);
  }

  /** What stands now, for a test to look at. */
  now(shard: number): LeaseView {
    return this.entries.get(shard) ?? { term: 0 };
  }

  private write(
    shard: number,
    { owner, incarnation, leftOut = [] }: Lease,
    expectedTerm: number,
  ): Awaited<ReturnType<Leases['take']>> {
    if (this.now(shard).term !== expectedTerm) return { kind: 'conflict' };
    const term = ++this.revision;
    const entry: LeaseView = {
      ...(owner === '' ? {} : { lease: { owner, incarnation } }),
      term,
      ...(leftOut.length === 0 ? {} : { leftOut }),
    };
    this.entries.set(shard, entry);
    for (const watcher of this.watchers) queueMicrotask(() => watcher(shard, entry));
    return { kind: 'taken', term };
  }
}
