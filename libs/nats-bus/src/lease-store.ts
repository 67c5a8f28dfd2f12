import { parseJson, LEASE_BUCKET, leaseSchema, type Lease } from '@flexpush/contracts';
import type { KV, KvEntry } from 'nats';
import { BucketWatch } from './bucket-watch';
import type { NatsBus } from './bus';
import { isWrongRevision } from './streams';

/** A shard's lease as stored. `term` is the entry's revision; `lease` is absent when nobody holds it. */
export interface LeaseEntry {
  lease?: Lease;
  term: number;
}

export type TakeResult = { kind: 'taken'; term: number } | { kind: 'conflict' };

/** Leases in a KV bucket, by compare-and-set on the revision. They do not expire (DESIGN section 10). */
export class LeaseStore {
  private constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
  ) {}

  static async open(bus: NatsBus): Promise<LeaseStore> {
    return new LeaseStore(bus, await bus.connection.jetstream().views.kv(LEASE_BUCKET, { bindOnly: true }));
  }

  async read(shard: number): Promise<LeaseEntry> {
    const entry = await this.kv.get(key(shard));
    return entry ? toLease(entry) : { term: 0 };
  }

  /** Takes the lease if its revision still is `expectedTerm` (0: it was never taken). */
  async take(shard: number, lease: Lease, expectedTerm: number): Promise<TakeResult> {
    return this.write(shard, JSON.stringify(lease), expectedTerm);
  }

  /** Gives the lease back; 'conflict' when another has taken it meanwhile. */
  async release(shard: number, term: number): Promise<TakeResult> {
    return this.write(shard, JSON.stringify({ owner: '', incarnation: '' }), term);
  }

  /** Tells every lease as it stands and then each change, an old one again at times; returns how to stop. */
  async watch(handler: (shard: number, entry: LeaseEntry) => void): Promise<() => void> {
    const watch = await BucketWatch.open(this.bus, this.kv, (entry) => {
      const shard = Number(entry.key.slice('shard.'.length));
      if (Number.isInteger(shard)) handler(shard, toLease(entry));
    });
    return () => watch.stop();
  }

  private async write(shard: number, value: string, expectedTerm: number): Promise<TakeResult> {
    try {
      // Not `update`: it refuses the revision 0, which stands for an entry that was never written.
      return {
        kind: 'taken',
        term: await this.kv.put(key(shard), value, { previousSeq: expectedTerm }),
      };
    } catch (error) {
      if (isWrongRevision(error)) return { kind: 'conflict' };
      throw error;
    }
  }
}

function key(shard: number): string {
  return `shard.${shard}`;
}

function toLease(entry: KvEntry): LeaseEntry {
  const parsed = entry.operation === 'PUT' ? leaseSchema.safeParse(parseJson(entry.string())) : undefined;
  return parsed?.success && parsed.data.owner !== ''
    ? { lease: parsed.data, term: entry.revision }
    : { term: entry.revision };
}
