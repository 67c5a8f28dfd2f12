import { parseRedisUrl, type RedisAddress } from '@flexpush/contracts';
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { coalesceWrites } from './coalesced-writes';

type ScriptArguments = readonly (string | number)[];

/**
 * The client with our scripts. Script calls take the number of keys first, as EVAL does; keys and arguments are lists,
 * because a large batch has more of them than a call may have parameters.
 */
export type RedisConnection = (Redis | Cluster) & {
  commitBatch(keyCount: number, keys: readonly string[], values: ScriptArguments): Promise<string>;
  claimDue(keyCount: number, keys: readonly string[], values: ScriptArguments): Promise<string[]>;
};

/** A server that takes commands and answers none, as a frozen one does, is left after so long. */
const SOCKET_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Redirections are followed, and a cluster that is failing over is asked again, for some ten seconds; then the caller is told. */
const CLUSTER_REDIRECTIONS_MAX = 100;
const CLUSTER_RETRY_MS = 100;

function script(name: string): string {
  return readFileSync(join(__dirname, '..', 'lua', `${name}.lua`), 'utf8');
}

/**
 * Connects to one server, to the master that sentinels name, or to a cluster (`parseRedisUrl`). Commands wait while Redis
 * is away and are sent again after a reconnect; every script of ours is harmless when repeated.
 */
export function connectRedis(options: {
  url: string;
  onEvent?: (event: string, error?: Error) => void;
}): RedisConnection {
  const redis = createClient(parseRedisUrl(options.url));
  redis.on('error', (error: Error) => options.onEvent?.('error', error));
  redis.on('ready', () => options.onEvent?.('ready'));
  redis.on('close', () => options.onEvent?.('close'));
  redis.defineCommand('commitBatch', { lua: script('commit_batch') });
  redis.defineCommand('claimDue', { lua: script('claim_due') });
  return redis as RedisConnection;
}

function createClient(address: RedisAddress): Redis | Cluster {
  switch (address.kind) {
    case 'single':
      return coalescing(new Redis(address.url, common));
    case 'socket':
      return coalescing(new Redis(address.path, common));
    case 'sentinel': {
      const { sentinels, masterName: name, db, username, password } = address;
      return coalescing(
        new Redis({
          ...common,
          sentinels,
          name,
          db,
          ...(username === undefined ? {} : { username }),
          ...(password === undefined ? {} : { password }),
          // Not by `failoverDetector`: one that hears of a failover while the client looks for the new master ends the
          // client for good, in silence (ioredis 5.11). A dead, demoted or frozen master is noticed by its connection.
          failoverDetector: false,
          sentinelRetryStrategy: backOff,
        }),
      );
    }
    case 'cluster':
      return createCluster(address);
    default:
      return address satisfies never;
  }
}

function createCluster(address: Extract<RedisAddress, { kind: 'cluster' }>): Cluster {
  const { nodes, username, password } = address;
  const options: ClusterOptions = {
    clusterRetryStrategy: backOff,
    maxRedirections: CLUSTER_REDIRECTIONS_MAX,
    retryDelayOnFailover: CLUSTER_RETRY_MS,
    retryDelayOnClusterDown: CLUSTER_RETRY_MS,
    retryDelayOnTryAgain: CLUSTER_RETRY_MS,
    slotsRefreshTimeout: 2_000,
    slotsRefreshInterval: 5_000,
    redisOptions: {
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SOCKET_TIMEOUT_MS,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    },
  };
  const cluster = new Cluster(nodes, options);
  cluster.on('+node', (node: Redis) => coalescing(node));
  return cluster;
}

function backOff(times: number): number {
  return Math.min(50 * times, 1_000);
}

const common: RedisOptions = {
  enableAutoPipelining: false,
  maxRetriesPerRequest: null,
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: SOCKET_TIMEOUT_MS,
  retryStrategy: backOff,
  // A master that has become a replica refuses writes: leave it, find the new one, and send the command again.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
};

function coalescing(redis: Redis): Redis {
  redis.on('connect', () => coalesceWrites(redis.stream as Duplex));
  return redis;
}
