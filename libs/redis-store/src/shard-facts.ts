import { keys } from './keys';
import type { RedisConnection } from './redis';

/** A shard as Redis has it, cheaply told. */
export interface ShardFacts {
  readonly shard: number;
  /** '' when nothing is stored. */
  readonly checkpoint: string;
  /** Due time of the earliest timer, epoch ms. */
  readonly earliestDueAtMs?: number | undefined;
  readonly unsettled: number;
  /** True while its owner catches up. */
  readonly isHeld: boolean;
}

/** Reads the shards as they stand. It waits for Redis as every command does, so the caller bounds it. */
export async function readShardFacts(
  redis: RedisConnection,
  shards: readonly number[],
): Promise<ShardFacts[]> {
  return Promise.all(
    shards.map(async (shard) => {
      const [checkpoint, earliest, unsettled, held] = await Promise.all([
        redis.get(keys.checkpoint(shard)),
        redis.zrange(keys.timers(shard), 0, 0, 'WITHSCORES'),
        redis.hlen(keys.outbox(shard)),
        redis.exists(keys.hold(shard)),
      ]);
      const [, score] = earliest;
      return {
        shard,
        checkpoint: checkpoint ?? '',
        earliestDueAtMs: score === undefined ? undefined : Number(score),
        unsettled,
        isHeld: held === 1,
      };
    }),
  );
}
