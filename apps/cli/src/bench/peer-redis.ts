import { startRedis, type RedisServer } from '@flexpush/stack';
import { makeTemporaryFolder, removeTemporaryFolder } from '../temporary-folder';

/** Gives a peer a Redis of its own, configured as that of the product is; it is gone afterwards. */
export async function withPeerRedis<T>(task: (redis: RedisServer) => Promise<T>): Promise<T> {
  const dir = makeTemporaryFolder('flexpush-peer-');
  try {
    const redis = await startRedis({ dir, name: 'peer-redis' });
    try {
      return await task(redis);
    } finally {
      await redis.stop();
    }
  } finally {
    removeTemporaryFolder(dir);
  }
}
