import { startRedis, type RedisServer } from '@flexpush/stack';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Gives a peer a Redis of its own, configured as that of the product is; it is gone afterwards. */
export async function withPeerRedis<T>(task: (redis: RedisServer) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'flexpush-peer-'));
  try {
    const redis = await startRedis({ dir, name: 'peer-redis' });
    try {
      return await task(redis);
    } finally {
      await redis.stop();
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
