import { LEASE_BUCKET, parseJson, storedLeaseSchema, type Lease, type LeftOut } from '@flexpush/contracts';
import type { KV, KvEntry } from 'nats';
import { BucketWatch } from './bucket-watch';
import type { NatsBus } from './bus';
import { isWrongRevision } from './streams';

/** A shard's lease as stored; `lease` is absent when nobody holds it. */
export interface LeaseEntry {
  lease?: Pick<Lease, 'owner' | 'incarnation'>;
  term: number;
  /** Nodes that lost the shard because they made no progress with it; kept when the lease is given back. */
  leftOut?: LeftOut[];
}

export type TakeResult = { kind: 'taken'; term: number } | { kind: 'conflict' };

/**
 * Leases in a KV bucket, by compare-and-set on the revision. They do not expire (DESIGN section 10).
 *
 * L1. The term of a take is above the one it replaces, by compare-and-set and by no clock.
 * L2. It is also not below the present time in ms, nor below any term that this process has heard of. Revisions start
 *     low again when the bucket is lost, and GMS nodes would refuse the new owners as if they were old ones; the time
 *     does not, so they are obeyed at once, and owners from before the loss are not (I3). Where clocks disagree, a node
 *     tells the higher term that it knows (`noteTerm`), and the next take is above that.
 */
export class LeaseStore {
  /** What was last read, written or told, so that a take need not read again. */
  private readonly known = new Map<number, { term: number; revision: number }>();
  private readonly highest = new Map<number, number>();

  private constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
    private readonly nowMs: () => number,
  ) {}

  static async open(bus: NatsBus, nowMs: () => number = Date.now): Promise<LeaseStore> {
    const kv = await bus.connection.jetstream().views.kv(LEASE_BUCKET, { bindOnly: true });
    return new LeaseStore(bus, kv, nowMs);
  }

  async read(shard: number): Promise<LeaseEntry> {
    const entry = await this.kv.get(key(shard));
    const stored = entry ? toLease(entry) : { term: 0 };
    this.known.set(shard, { term: stored.term, revision: entry?.revision ?? 0 });
    this.noteTerm(shard, stored.term);
    return stored;
  }

  /** Takes the lease if its term still is `expectedTerm` (0: it was never taken). */
  async take(shard: number, lease: Lease, expectedTerm: number): Promise<TakeResult> {
    return this.write(shard, lease, expectedTerm);
  }

  /** Gives the lease back; 'conflict' when another has taken it meanwhile. */
  async release(shard: number, term: number, leftOut: readonly LeftOut[] = []): Promise<TakeResult> {
    return this.write(shard, { owner: '', incarnation: '', leftOut: [...leftOut] }, term);
  }

  /** Someone knows this term (L2). */
  noteTerm(shard: number, term: number): void {
    if (Number.isSafeInteger(term + 1)) this.highest.set(shard, Math.max(term, this.highest.get(shard) ?? 0));
  }

  /**
   * Tells every lease as it stands and then each change, an old one again at times; returns how to stop. `onComplete`
   * hears all of them as they stand, at first and each time that the bucket was out of sight or is another one.
   */
  async watch(
    handler: (shard: number, entry: LeaseEntry) => void,
    onComplete: (entries: ReadonlyMap<number, LeaseEntry>) => void = () => undefined,
  ): Promise<() => void> {
    const entries = new Map<number, LeaseEntry>();
    const watch = await BucketWatch.open(this.bus, this.kv, {
      entry: (entry) => {
        const shard = shardOfKey(entry.key);
        if (!Number.isInteger(shard)) return;
        const told = toLease(entry);
        entries.set(shard, told);
        const { revision } = entry;
        if (revision > (this.known.get(shard)?.revision ?? 0))
          this.known.set(shard, { term: told.term, revision });
        this.noteTerm(shard, told.term);
        handler(shard, told);
      },
      complete: (keys) => {
        for (const shard of entries.keys()) if (!keys.has(key(shard))) entries.delete(shard);
        onComplete(entries);
      },
    });
    return () => watch.stop();
  }

  private async write(shard: number, lease: Lease, expectedTerm: number): Promise<TakeResult> {
    if (this.known.get(shard)?.term !== expectedTerm) await this.read(shard);
    const known = this.known.get(shard);
    if (known?.term !== expectedTerm) return { kind: 'conflict' };
    const term = Math.max(this.nowMs(), (this.highest.get(shard) ?? 0) + 1, known.term + 1);
    this.known.delete(shard);
    try {
      // Not `update`: it refuses the revision 0, which stands for an entry that was never written.
      const revision = await this.kv.put(key(shard), JSON.stringify({ ...lease, term }), {
        previousSeq: known.revision,
      });
      this.known.set(shard, { term, revision });
      this.noteTerm(shard, term);
      return { kind: 'taken', term };
    } catch (error) {
      if (isWrongRevision(error)) return { kind: 'conflict' };
      throw error;
    }
  }
}

function key(shard: number): string {
  return `shard.${shard}`;
}

function shardOfKey(text: string): number {
  return Number(text.slice('shard.'.length));
}

/** An entry without a term was deleted, or written by something else; its revision stands in. */
function toLease(entry: KvEntry): LeaseEntry {
  const parsed =
    entry.operation === 'PUT' ? storedLeaseSchema.safeParse(parseJson(entry.string())) : undefined;
  if (!parsed?.success) return { term: entry.revision };
  const { owner, incarnation, term = entry.revision, leftOut = [] } = parsed.data;
  return {
    ...(owner === '' ? {} : { lease: { owner, incarnation } }),
    term,
    ...(leftOut.length === 0 ? {} : { leftOut }),
  };
}
