import type { NatsBus } from '@flexpush/nats-bus';
import { LeaseStore } from '@flexpush/nats-bus';

/** Which session-actor owns which shards now, by node id. */
export async function shardsByOwner(bus: NatsBus, shardCount: number): Promise<Map<string, Set<number>>> {
  const store = await LeaseStore.open(bus);
  const owners = new Map<string, Set<number>>();
  const shards = Array.from({ length: shardCount }, (_, shard) => shard);
  await Promise.all(
    shards.map(async (shard) => {
      const { lease } = await store.read(shard);
      if (!lease) return;
      const owned = owners.get(lease.owner) ?? new Set();
      owners.set(lease.owner, owned.add(shard));
    }),
  );
  return owners;
}
