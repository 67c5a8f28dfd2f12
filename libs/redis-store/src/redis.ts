import { Redis } from 'ioredis';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { coalesceWrites } from './coalesced-writes';

type ScriptArguments = readonly (string | number)[];

/**
 * The client with our scripts. Script calls take the number of keys first, as EVAL does; keys and arguments are lists,
 * because a large batch has more of them than a call may have parameters.
 */
export interface RedisConnection extends Redis {
  commitBatch(keyCount: number, keys: readonly string[], values: ScriptArguments): Promise<string>;
  claimDue(keyCount: number, keys: readonly string[], values: ScriptArguments): Promise<string[]>;
}

function script(name: string): string {
  return readFileSync(join(__dirname, '..', 'lua', `${name}.lua`), 'utf8');
}

/**
 * Connects to `redis://host:port`, or to a unix socket as `unix:///path`. Commands wait while Redis is away and are
 * sent again after a reconnect; every script of ours is harmless when repeated.
 */
export function connectRedis(options: {
  url: string;
  onEvent?: (event: string, error?: Error) => void;
}): RedisConnection {
  const target = options.url.startsWith('unix://') ? options.url.slice('unix://'.length) : options.url;
  const redis = new Redis(target, {
    enableAutoPipelining: false,
    maxRetriesPerRequest: null,
    connectTimeout: 5_000,
    retryStrategy: (times) => Math.min(50 * times, 1_000),
  });
  redis.on('connect', () => coalesceWrites(redis.stream as Duplex));
  redis.on('error', (error: Error) => options.onEvent?.('error', error));
  redis.on('ready', () => options.onEvent?.('ready'));
  redis.on('close', () => options.onEvent?.('close'));
  redis.defineCommand('commitBatch', { lua: script('commit_batch') });
  redis.defineCommand('claimDue', { lua: script('claim_due') });
  return redis as RedisConnection;
}
