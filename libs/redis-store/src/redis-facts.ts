import { parseRedisUrl, type RedisAddress, type RedisHost } from '@flexpush/contracts';
import { Redis, type RedisOptions } from 'ioredis';
import { parseFields, parseInfo, parsePairs, type RedisInfo } from './redis-info';

/** What Redis says of itself, for those who judge it. Nothing in it changes the system. */
export interface RedisFacts {
  readonly topology: RedisTopology;
  /** The server, the master that the sentinels name, or the masters of the cluster that answered. */
  readonly masters: readonly RedisServerFacts[];
}

export type RedisTopology =
  | { readonly kind: 'single' }
  | {
      readonly kind: 'sentinel';
      /** Those of the URL. */
      readonly asked: number;
      readonly answering: number;
      /** As the sentinels know them, whether they answer or not. */
      readonly known: number;
      readonly quorum: number;
      readonly master: string;
      readonly isMasterDown: boolean;
    }
  | {
      readonly kind: 'cluster';
      readonly isOk: boolean;
      readonly slotsAssigned: number;
      readonly masters: readonly { readonly address: string; readonly replicas: number }[];
    };

export interface RedisServerFacts {
  readonly address: string;
  readonly version: string;
  readonly role: string;
  readonly isLoading: boolean;
  readonly pingMs: number;
  readonly usedBytes: number;
  /** undefined: unbounded. */
  readonly usedBytesMax?: number | undefined;
  readonly hostBytes?: number | undefined;
  readonly evictionPolicy: string;
  readonly evictedKeys: number;
  readonly appendOnly: boolean;
  /** False: Redis may be refusing writes because of it. */
  readonly isLastSaveOk: boolean;
  readonly replicas: readonly {
    readonly address: string;
    readonly isOnline: boolean;
    readonly behindBytes: number;
  }[];
  /** undefined: the server does not tell, as managed ones do not. */
  readonly config?: RedisConfigFacts | undefined;
}

export interface RedisConfigFacts {
  readonly appendFsync: string;
  /** '' means no snapshots. */
  readonly save: string;
  readonly minReplicasToWrite: number;
}

interface Login {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** Reads once, over connections of its own. Throws when nothing answers within the time-out. */
export async function readRedisFacts(url: string, options: { timeoutMs: number }): Promise<RedisFacts> {
  const address = parseRedisUrl(url);
  switch (address.kind) {
    case 'single':
    case 'socket': {
      const client = newClient(address.kind === 'single' ? address.url : address.path, options);
      const { hostname, host } =
        address.kind === 'single' ? new URL(address.url) : { hostname: '', host: '' };
      const shown = address.kind === 'single' ? host || hostname : address.path;
      return {
        topology: { kind: 'single' },
        masters: [await withRedis(client, (redis) => readServer(redis, shown))],
      };
    }
    case 'sentinel':
      return readSentinel(address, options);
    case 'cluster':
      return readCluster(address, options);
    default:
      return address satisfies never;
  }
}

async function readSentinel(
  address: Extract<RedisAddress, { kind: 'sentinel' }>,
  options: { timeoutMs: number },
): Promise<RedisFacts> {
  const answers = await Promise.allSettled(
    address.sentinels.map((host) =>
      withRedis(newClient(host, options), async (redis) =>
        parsePairs(await redis.call('SENTINEL', 'MASTER', address.masterName)),
      ),
    ),
  );
  const views = fulfilled(answers);
  const [view] = views;
  if (!view) throw new Error(`no sentinel tells of ${address.masterName}: ${firstReason(answers)}`);
  const master = { host: view.get('ip') ?? '', port: Number(view.get('port')) };
  const topology: RedisTopology = {
    kind: 'sentinel',
    asked: address.sentinels.length,
    answering: views.length,
    known: Math.max(...views.map((one) => Number(one.get('num-other-sentinels') ?? 0) + 1)),
    quorum: Number(view.get('quorum') ?? 0),
    master: shownHost(master),
    isMasterDown: views.some((one) => /_down|disconnected/.test(one.get('flags') ?? '')),
  };
  return { topology, masters: await readServers([master], address, options) };
}

async function readCluster(
  address: Extract<RedisAddress, { kind: 'cluster' }>,
  options: { timeoutMs: number },
): Promise<RedisFacts> {
  const answers = await Promise.allSettled(
    address.nodes.map((host) =>
      withRedis(newClient(host, options, address), async (redis) => ({
        info: parseInfo(String(await redis.call('CLUSTER', 'INFO'))),
        nodes: String(await redis.call('CLUSTER', 'NODES')),
      })),
    ),
  );
  const views = fulfilled(answers);
  const [view] = views;
  if (!view) throw new Error(firstReason(answers));
  const masters = clusterMasters(view.nodes);
  const topology: RedisTopology = {
    kind: 'cluster',
    isOk: views.every(({ info }) => info.get('cluster_state') === 'ok'),
    slotsAssigned: number(view.info, 'cluster_slots_assigned'),
    masters: masters.map(({ host, replicas }) => ({ address: shownHost(host), replicas })),
  };
  return {
    topology,
    masters: await readServers(
      masters.map(({ host }) => host),
      address,
      options,
    ),
  };
}

/** The masters that hold slots, with how many replicas that are not failing each has. */
function clusterMasters(nodes: string): { host: RedisHost; replicas: number }[] {
  const rows = nodes
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', place = '', flags = '', masterId = '', , , , link = '', ...slots] = line.split(' ');
      return { id, place, flags: flags.split(','), masterId, isLinked: link === 'connected', slots };
    });
  return rows
    .filter(({ flags, slots }) => flags.includes('master') && slots.length > 0)
    .map(({ id, place }) => {
      const [, host = '', port = ''] = /^(.*):(\d+)@/.exec(place) ?? [];
      const isFailing = (flags: string[]) => flags.some((flag) => /fail|handshake|noaddr/.test(flag));
      const replicas = rows.filter((row) => row.masterId === id && row.isLinked && !isFailing(row.flags));
      return { host: { host, port: Number(port) }, replicas: replicas.length };
    });
}

/** The servers that answer; the others are missing. */
async function readServers(
  hosts: readonly RedisHost[],
  login: Login,
  options: { timeoutMs: number },
): Promise<RedisServerFacts[]> {
  return fulfilled(
    await Promise.allSettled(
      hosts.map((host) =>
        withRedis(newClient(host, options, login), (redis) => readServer(redis, shownHost(host))),
      ),
    ),
  );
}

async function readServer(redis: Redis, address: string): Promise<RedisServerFacts> {
  const info = parseInfo(await redis.info());
  const config = await readConfig(redis);
  const sentAtMs = performance.now();
  // A server that loads its data refuses the ping, and that is known from INFO.
  await redis.ping().catch(() => undefined);
  const pingMs = performance.now() - sentAtMs;
  return {
    address,
    version: info.get('redis_version') ?? 'unknown',
    role: info.get('role') ?? 'unknown',
    isLoading: info.get('loading') === '1',
    pingMs,
    usedBytes: number(info, 'used_memory'),
    usedBytesMax: number(info, 'maxmemory') || undefined,
    hostBytes: number(info, 'total_system_memory') || undefined,
    evictionPolicy: info.get('maxmemory_policy') ?? 'unknown',
    evictedKeys: number(info, 'evicted_keys'),
    appendOnly: info.get('aof_enabled') === '1',
    isLastSaveOk: ['rdb_last_bgsave_status', 'aof_last_write_status'].every(
      (name) => (info.get(name) ?? 'ok') === 'ok',
    ),
    replicas: replicasOf(info),
    config,
  };
}

function replicasOf(info: RedisInfo): RedisServerFacts['replicas'] {
  const count = number(info, 'connected_slaves');
  return Array.from({ length: count }, (_, i) => parseFields(info.get(`slave${i}`) ?? '')).map((replica) => ({
    address: `${replica.get('ip') ?? '?'}:${replica.get('port') ?? '?'}`,
    isOnline: replica.get('state') === 'online',
    behindBytes: Math.max(0, number(info, 'master_repl_offset') - Number(replica.get('offset') ?? 0)),
  }));
}

async function readConfig(redis: Redis): Promise<RedisConfigFacts | undefined> {
  try {
    const config = new Map<string, string>();
    for (const name of ['appendfsync', 'save', 'min-replicas-to-write'])
      for (const [key, value] of parsePairs(await redis.call('CONFIG', 'GET', name))) config.set(key, value);
    const appendFsync = config.get('appendfsync');
    if (appendFsync === undefined) return undefined;
    return {
      appendFsync,
      save: config.get('save') ?? '',
      minReplicasToWrite: Number(config.get('min-replicas-to-write') ?? 0),
    };
  } catch {
    // Refused, as managed Redis does; what INFO tells has to do.
    return undefined;
  }
}

function number(info: RedisInfo, name: string): number {
  return Number(info.get(name) ?? 0);
}

function newClient(at: string | RedisHost, options: { timeoutMs: number }, login: Login = {}): Redis {
  const { timeoutMs } = options;
  const common: RedisOptions = {
    lazyConnect: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: () => null,
    ...(login.username === undefined ? {} : { username: login.username }),
    ...(login.password === undefined ? {} : { password: login.password }),
  };
  return typeof at === 'string' ? new Redis(at, common) : new Redis({ ...common, ...at });
}

/** Connects, asks, and closes whatever happens. */
async function withRedis<T>(redis: Redis, ask: (redis: Redis) => Promise<T>): Promise<T> {
  // What goes wrong comes back from the calls; unheard it would be printed as well.
  let lastError: Error | undefined;
  redis.on('error', (error: Error) => (lastError = error));
  try {
    await redis.connect();
    return await ask(redis);
  } catch (error) {
    throw lastError ?? error;
  } finally {
    redis.disconnect();
  }
}

function shownHost({ host, port }: RedisHost): string {
  return `${host}:${port}`;
}

function fulfilled<T>(results: readonly PromiseSettledResult<T>[]): T[] {
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

function firstReason(results: readonly PromiseSettledResult<unknown>[]): string {
  const failed = results.find((result) => result.status === 'rejected');
  const { message } = Object(failed?.reason) as { message?: unknown };
  return typeof message === 'string' ? message : 'nothing answers';
}
