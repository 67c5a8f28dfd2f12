import { ownerOf } from '@flexpush/membership';
import { shardsFor } from './shard-count';
import { shardsOfBusiest } from './shard-spread';

const PLACEMENTS = 100;

/** How many shards the busiest of so many nodes has, in placements that differ by the names of the nodes. */
function placed(nodes: number, shards: number): number[] {
  return Array.from({ length: PLACEMENTS }, (_, placement) => {
    const names = Array.from({ length: nodes }, (_unused, n) => `session-actor-${placement}-${n}`);
    const counts = new Map<string, number>();
    for (let shard = 0; shard < shards; shard++) {
      const owner = ownerOf(shard, names) ?? '';
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    return Math.max(...counts.values());
  });
}

it.each([
  { nodes: 2, shards: 16 },
  { nodes: 3, shards: 32 },
  { nodes: 10, shards: 160 },
  { nodes: 20, shards: 80 },
])(
  '$shards shards on $nodes nodes: the busiest seldom has more than is planned for, and often nearly',
  (at) => {
    const planned = shardsOfBusiest(at.nodes, at.shards);
    const seen = placed(at.nodes, at.shards);
    expect(seen.filter((most) => most > planned).length / PLACEMENTS).toBeLessThanOrEqual(0.13);
    expect(seen.filter((most) => most >= planned - 1).length / PLACEMENTS).toBeGreaterThanOrEqual(0.05);
  },
);

it('one node has all, and no node has less than its part', () => {
  expect(shardsOfBusiest(1, 64)).toBe(64);
  for (const nodes of [2, 5, 40, 256, 1_000])
    for (const shards of [16, 1_024, 4_096]) {
      expect(shardsOfBusiest(nodes, shards)).toBeGreaterThanOrEqual(Math.ceil(shards / nodes));
      expect(shardsOfBusiest(nodes, shards)).toBeLessThanOrEqual(shards);
    }
});

it.each([
  { nodes: 1, shards: 16 },
  { nodes: 2, shards: 16 },
  { nodes: 3, shards: 32 },
  { nodes: 65, shards: 1_024 },
  { nodes: 256, shards: 1_024 },
  { nodes: 257, shards: 2_048 },
])('$nodes nodes are advised to have $shards shards', ({ nodes, shards }) => {
  expect(shardsFor(nodes)).toBe(shards);
});
