import { DEFAULT_SHARDS } from '@flexpush/stack';
import { CHOICES } from './plan-costs';
import { powerOfTwoFrom } from './shard-spread';

/**
 * Shards that spread well over so many nodes: sixteen for each but the first, as two do with eight each, and as a power of
 * two; but no fewer than the default, and no more than the highest number that is advised unless nodes had less than four.
 */
export function shardsFor(nodes: number): number {
  const { shardsPerActor, shardsPerActorMin, shardsMax } = CHOICES;
  const advised = Math.min(shardsMax, powerOfTwoFrom((nodes - 1) * shardsPerActor));
  return Math.max(DEFAULT_SHARDS, advised, powerOfTwoFrom(nodes * shardsPerActorMin));
}
