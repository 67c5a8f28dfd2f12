import * as fc from 'fast-check';
import { ownerOf, shardsOwnedBy, weightedOwnerOf } from './rendezvous';

interface Weighted {
  id: string;
  weight: number;
}
const BY_WEIGHT = { id: (c: Weighted) => c.id, weight: (c: Weighted) => c.weight };
const weightedOwner = (key: string, candidates: Weighted[]) =>
  weightedOwnerOf(key, candidates, BY_WEIGHT)?.id;

const SHARDS = Array.from({ length: 64 }, (_, shard) => shard);
const nodeIds = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/), { minLength: 1, maxLength: 12 });

/** Sum of (seen - expected)^2 / expected. */
function chiSquare(seen: number[], expected: number[]): number {
  return seen.reduce((sum, count, i) => sum + (count - expected[i]!) ** 2 / expected[i]!, 0);
}

function counts(keys: number, owners: string[], choose: (i: number) => string | undefined): number[] {
  const seen = new Map<string, number>(owners.map((owner) => [owner, 0]));
  for (let i = 0; i < keys; i++) {
    const owner = choose(i);
    seen.set(owner!, (seen.get(owner!) ?? 0) + 1);
  }
  return owners.map((owner) => seen.get(owner)!);
}

describe('spread', () => {
  // The limits are the 99.99 % quantiles of chi-square with n - 1 degrees of freedom. The inputs are fixed.
  it.each([
    { name: 'numbered', nodes: ['node-1', 'node-2', 'node-3', 'node-4'], limit: 21.1 },
    { name: 'one letter apart', nodes: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'], limit: 33.7 },
    { name: 'pods', nodes: ['session-actor-7d9f-x2k4v', 'session-actor-7d9f-x2k4w'], limit: 15.1 },
  ])('is even for nodes that are $name', ({ nodes, limit }) => {
    const keys = 20_000;
    const seen = counts(keys, nodes, (shard) => ownerOf(shard, nodes));
    expect(
      chiSquare(
        seen,
        nodes.map(() => keys / nodes.length),
      ),
    ).toBeLessThan(limit);
  });

  it('follows the weights', () => {
    const nodes = [
      { id: 'small', weight: 1 },
      { id: 'middle', weight: 3 },
      { id: 'large', weight: 6 },
    ];
    const keys = 30_000;
    const seen = counts(
      keys,
      nodes.map(({ id }) => id),
      (i) => weightedOwner(`s${i}:u${i}`, nodes),
    );
    expect(
      chiSquare(
        seen,
        nodes.map(({ weight }) => (keys * weight) / 10),
      ),
    ).toBeLessThan(18.5);
  });

  it('leaves no node of a small cluster without one of 64 shards', () => {
    for (let size = 1; size <= 6; size++) {
      const nodes = Array.from({ length: size }, (_, i) => `session-actor-${i}`);
      for (const node of nodes) expect(shardsOwnedBy(node, nodes, 64).length).toBeGreaterThan(64 / size / 3);
    }
  });
});

describe('placement', () => {
  it('has no owner without nodes', () => {
    expect(ownerOf(3, [])).toBeUndefined();
    expect(shardsOwnedBy('a', [], 8)).toEqual([]);
  });

  it('never chooses a weight of zero or below, nor one that is no number', () => {
    const none = [0, -1, Number.NaN].map((weight, i) => ({ id: `n${i}`, weight }));
    expect(weightedOwner('key', none)).toBeUndefined();
    expect(weightedOwner('key', [...none, { id: 'one', weight: 1 }])).toBe('one');
  });

  it('keeps its answers from release to release: a mixed cluster must agree', () => {
    const nodes = ['actor-a', 'actor-b', 'actor-c'];
    const owners = Array.from({ length: 16 }, (_, shard) => ownerOf(shard, nodes)!.slice(-1)).join('');
    expect(owners).toMatchInlineSnapshot(`"babbcaccababacaa"`);
  });

  it('does not depend on the order of the nodes', () => {
    fc.assert(
      fc.property(nodeIds, fc.nat(63), (nodes, shard) => {
        expect(ownerOf(shard, [...nodes].reverse())).toBe(ownerOf(shard, nodes));
      }),
    );
  });

  it('moves only the shards of the node that leaves or comes', () => {
    fc.assert(
      fc.property(nodeIds, fc.nat(11), (nodes, index) => {
        const leaving = nodes[index % nodes.length]!;
        const rest = nodes.filter((node) => node !== leaving);
        const moved = SHARDS.filter((shard) => ownerOf(shard, rest) !== ownerOf(shard, nodes));
        expect(moved).toEqual(SHARDS.filter((shard) => ownerOf(shard, nodes) === leaving));
      }),
    );
  });

  it('moves keys only to a node whose weight grows', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(weights, fc.nat(5), fc.integer({ min: 1, max: 30 }), (list, index, more) => {
        const before = list.map((weight, i) => ({ id: `n${i}`, weight }));
        const grown = `n${index % list.length}`;
        const after = before.map((c) => (c.id === grown ? { ...c, weight: c.weight + more } : c));
        const moved = SHARDS.filter(
          (key) => weightedOwner(`k${key}`, after) !== weightedOwner(`k${key}`, before),
        );
        expect(moved.filter((key) => weightedOwner(`k${key}`, after) !== grown)).toEqual([]);
      }),
    );
  });

  it('gives every shard to exactly one of the nodes', () => {
    fc.assert(
      fc.property(nodeIds, (nodes) => {
        const all = nodes.flatMap((node) => shardsOwnedBy(node, nodes, 64)).sort((a, b) => a - b);
        expect(all).toEqual(SHARDS);
      }),
      { numRuns: 25 },
    );
  });
});
