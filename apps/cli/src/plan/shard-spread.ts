/** In one of so many placements a node may have more than is planned for. */
const UNLUCKY = 0.1;

/** Answers known already, by nodes and shards; a search asks for the same ones again and again. */
const known = new Map<number, number>();
const KNOWN_MAX = 100_000;
const SHARDS_MAX = 1 << 16;

/**
 * Shards of the node that has most, when rendezvous spreads so many of them over so many nodes: not exceeded in nine of
 * ten placements. Which shards are whose follows from the names of the nodes, so it is luck: of ten nodes with sixteen
 * shards each, the busiest may have 25.
 */
export function shardsOfBusiest(nodes: number, shards: number): number {
  if (nodes <= 1) return shards;
  const key = nodes * SHARDS_MAX + shards;
  const before = known.get(key);
  if (before !== undefined) return before;
  const most = quantileOfBusiest(nodes, shards);
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(key, most);
  return most;
}

/** Each node's number is binomial; the chances of all to exceed it are added, which errs on the safe side. */
function quantileOfBusiest(nodes: number, shards: number): number {
  const chance = 1 / nodes;
  const logOdds = Math.log(chance / (1 - chance));
  const logChances = [shards * Math.log(1 - chance)];
  for (let i = 0; i < shards; i++)
    logChances.push((logChances[i] ?? 0) + Math.log((shards - i) / (i + 1)) + logOdds);
  let above = 0;
  for (let most = shards; most > 0; most--) {
    above += Math.exp(logChances[most] ?? 0);
    if (nodes * above > UNLUCKY) return most;
  }
  return 0;
}

/** The same as a part of all. */
export function busiestShare(nodes: number, shards: number): number {
  return shardsOfBusiest(nodes, shards) / shards;
}

export function powerOfTwoFrom(least: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, least)));
}
