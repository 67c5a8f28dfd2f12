/**
 * Rendezvous hashing (highest random weight): every node gets a score for a key, the highest owns it. All processes
 * that see the same nodes agree without talking, and a node that comes or goes moves only its own keys. A ring with
 * virtual points was rejected: it needs state, and spreads less evenly at the few nodes we have.
 */

/** Keys and node ids are mixed in two 32-bit lanes; together they give 53 bits, so ties do not occur in practice. */
const LANE_A_SEED = 0xdeadbeef;
const LANE_B_SEED = 0x41c6ce57;
const LANE_A_PRIME = 2654435761;
const LANE_B_PRIME = 1597334677;
const TWO_POW_53 = 2 ** 53;

function mixLane(seed: number, prime: number, text: string): number {
  let lane = seed;
  for (let i = 0; i < text.length; i++) lane = Math.imul(lane ^ text.charCodeAt(i), prime);
  // The separator keeps ("ab", "c") and ("a", "bc") apart.
  return Math.imul(lane ^ 0xffff, prime);
}

function finish(lane: number, other: number): number {
  return Math.imul(lane ^ (lane >>> 16), 2246822507) ^ Math.imul(other ^ (other >>> 13), 3266489909);
}

/** A hash of key and candidate, spread evenly over 0 <= x < 1. */
function keyedScore(key: { laneA: number; laneB: number }, candidate: string): number {
  const a = mixLane(key.laneA, LANE_A_PRIME, candidate);
  const b = mixLane(key.laneB, LANE_B_PRIME, candidate);
  const mixedA = finish(a, b);
  const mixedB = finish(b, mixedA);
  return (4_294_967_296 * (2_097_151 & mixedB) + (mixedA >>> 0)) / TWO_POW_53;
}

/**
 * The candidate with the highest score for `key`. A candidate of weight 2 gets twice the keys of one of weight 1, and
 * a change of one weight moves keys only from or to that candidate. Weights below or at 0 are never chosen. Undefined
 * when there is no candidate. The order of the candidates does not matter.
 */
export function weightedOwnerOf<C>(
  key: string,
  candidates: Iterable<C>,
  read: { id: (candidate: C) => string; weight: (candidate: C) => number },
): C | undefined {
  const lanes = {
    laneA: mixLane(LANE_A_SEED, LANE_A_PRIME, key),
    laneB: mixLane(LANE_B_SEED, LANE_B_PRIME, key),
  };
  let best: { candidate: C; id: string; score: number } | undefined;
  for (const candidate of candidates) {
    const weight = read.weight(candidate);
    if (!(weight > 0)) continue;
    const id = read.id(candidate);
    // -w / ln(u) orders candidates so that each wins in proportion to its weight; u = 0 yields the score 0.
    const score = weight / -Math.log(keyedScore(lanes, id));
    // Equal scores are decided by the id, so that the answer never depends on the order of the list.
    if (best === undefined || score > best.score || (score === best.score && id < best.id))
      best = { candidate, id, score };
  }
  return best?.candidate;
}

const BY_NODE_ID = { id: (nodeId: string) => nodeId, weight: () => 1 };

/** Which of the nodes owns a shard; undefined when there is none. */
export function ownerOf(shard: number, nodeIds: Iterable<string>): string | undefined {
  return weightedOwnerOf(`shard:${shard}`, nodeIds, BY_NODE_ID);
}

/** The shards, out of 0 to shardCount - 1, that `nodeId` owns among `nodeIds`. */
export function shardsOwnedBy(nodeId: string, nodeIds: readonly string[], shardCount: number): number[] {
  const owned: number[] = [];
  for (let shard = 0; shard < shardCount; shard++) if (ownerOf(shard, nodeIds) === nodeId) owned.push(shard);
  return owned;
}
