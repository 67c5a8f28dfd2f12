import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoOf, StackError } from './errors';
import { freePort, LOOPBACK } from './port';
import { pollUntil } from './probe';
import { formCluster } from './redis-cluster';
import { redisCommand } from './redis-command';
import {
  prepareRedis,
  prepareSentinel,
  type RedisRole,
  type RedisServer,
  SENTINEL_MASTER,
} from './redis-server';

/** One server; a master, a replica and three sentinels; or three masters with a replica each. */
export type RedisTopology = 'single' | 'sentinel' | 'cluster';

export interface RedisGroupOptions {
  readonly topology: RedisTopology;
  /** Folder in which each server has one of its own. */
  readonly dir: string;
  readonly members: readonly RedisMember[];
  /** Which member of a Sentinel group begins as the master; the first by default. */
  readonly masterName?: string | undefined;
  readonly logOf?: (name: string) => string;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
}

export interface RedisMember {
  readonly name: string;
  readonly kind: 'redis' | 'sentinel';
  readonly port: number;
  /** Between the servers of a cluster; not used otherwise. */
  readonly busPort: number;
}

const FORM_TIMEOUT_MS = 60_000;
const SENTINELS = 3;

/** The servers of one Redis, which together have one URL. */
export class RedisGroup {
  /** As `FLEXPUSH_REDIS_URL` takes it. */
  readonly url: string;

  constructor(
    readonly topology: RedisTopology,
    /** Those that hold data. */
    readonly servers: readonly RedisServer[],
    readonly sentinels: readonly RedisServer[],
  ) {
    this.url = redisUrlOf(topology, [...servers, ...sentinels]);
  }

  /** To be called when the servers run, before the sentinels: makes them one. */
  async form(signal?: AbortSignal): Promise<void> {
    if (this.topology === 'cluster')
      await formCluster(this.servers, (what, isDone) => this.until(what, isDone, signal));
    if (this.topology === 'sentinel') {
      const isFollowed = async () => (await Promise.all(this.servers.map(isLinked))).every(Boolean);
      await this.until('the replica follows the master', isFollowed, signal);
    }
  }

  /** To be called when the sentinels run: resolves when they know each other and the replica, and can fail over. */
  async formSentinels(signal?: AbortSignal): Promise<void> {
    const isWatched = async () =>
      (await Promise.all(this.sentinels.map((one) => knowsOthers(one, this.servers.length - 1)))).every(
        Boolean,
      );
    await this.until('the sentinels know each other and the replica', isWatched, signal);
  }

  /** The servers that take the writes now: one, or those of a cluster. */
  async masters(): Promise<RedisServer[]> {
    const ports = await redisMasters([...this.servers, ...this.sentinels]);
    return this.servers.filter(({ port }) => ports.includes(port));
  }

  /** Starts what was only prepared. Nothing is left running when it throws. */
  async start(): Promise<void> {
    try {
      await Promise.all(this.servers.map((server) => server.start()));
      await this.form();
      await Promise.all(this.sentinels.map((sentinel) => sentinel.start()));
      await this.formSentinels();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Sentinels go first, or they would see a death in the stop. */
  async stop(): Promise<void> {
    await Promise.all(this.sentinels.map((sentinel) => sentinel.stop()));
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  private async until(what: string, isDone: () => Promise<boolean>, signal?: AbortSignal): Promise<void> {
    // Who does not answer yet is asked again.
    const isDoneYet = () => isDone().catch(() => false);
    const formed = await pollUntil(isDoneYet, { timeoutMs: FORM_TIMEOUT_MS, ...(signal && { signal }) });
    if (formed || signal?.aborted === true) return;
    throw new StackError('not-ready', `redis: not within ${FORM_TIMEOUT_MS / 1_000} s: ${what}`, true);
  }
}

/** Writes the configurations and returns the servers, not started. */
export async function prepareRedisGroup(options: RedisGroupOptions): Promise<RedisGroup> {
  const { topology, members, logOf, dir, masterName, ...rest } = options;
  const data = members.filter(({ kind }) => kind === 'redis');
  const master = data.find(({ name }) => name === masterName) ?? data[0];
  if (master === undefined) throw new StackError('invalid-options', 'a Redis needs a server');
  const placeOf = (name: string) => ({
    ...rest,
    dir: join(resolve(dir), name),
    name,
    ...(logOf && { logFile: logOf(name) }),
  });
  const roleOf = ({ name, busPort }: RedisMember): RedisRole | undefined => {
    if (topology === 'cluster') return { kind: 'cluster', busPort };
    return name === master.name ? undefined : { kind: 'replica', masterPort: master.port };
  };
  const servers = await Promise.all(
    data.map((member) => prepareRedis({ ...placeOf(member.name), port: member.port, role: roleOf(member) })),
  );
  const sentinels = members
    .filter(({ kind }) => kind === 'sentinel')
    .map(({ name, port }) => prepareSentinel({ ...placeOf(name), port, masterPort: master.port }));
  return new RedisGroup(topology, servers, sentinels);
}

/** Names and kinds of the servers of a topology. */
export function redisNames(topology: RedisTopology): Pick<RedisMember, 'name' | 'kind'>[] {
  const several = (kind: RedisMember['kind'], count: number) =>
    Array.from({ length: count }, (_, n) => ({ name: `${kind}-${n + 1}`, kind }));
  switch (topology) {
    case 'single':
      return [{ name: 'redis', kind: 'redis' }];
    case 'sentinel':
      return [...several('redis', 2), ...several('sentinel', SENTINELS)];
    case 'cluster':
      return several('redis', 6);
    default:
      return topology satisfies never;
  }
}

/** Free ports for a group that no plan has given any. */
export async function freeRedisMembers(topology: RedisTopology): Promise<RedisMember[]> {
  return Promise.all(
    redisNames(topology).map(async (one) => ({ ...one, port: await freePort(), busPort: await freePort() })),
  );
}

/**
 * Ports of those servers that take the writes now. Sentinels know it, where there are some: a master that has died and come
 * back takes itself for one until they tell it otherwise.
 */
export async function redisMasters(
  servers: readonly { readonly kind: string; readonly port: number }[],
): Promise<number[]> {
  for (const { port } of servers.filter(({ kind }) => kind === 'sentinel')) {
    const address = await redisCommand(port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', SENTINEL_MASTER).catch(
      () => null,
    );
    if (Array.isArray(address)) return [Number(address[1])];
  }
  const data = servers.filter(({ kind }) => kind === 'redis');
  const roles = await Promise.all(data.map(({ port }) => redisCommand(port, 'ROLE').catch(() => null)));
  return data.filter((_, n) => roles[n]?.[0] === 'master').map(({ port }) => port);
}

/**
 * The port of the master that the sentinels of an earlier start of this folder ended with; undefined when there were none.
 * They write it into their configurations, and the one of the last failover knows best.
 */
export function lastMasterPort(dir: string): number | undefined {
  let newest: { epoch: number; port: number } | undefined;
  for (let n = 1; n <= SENTINELS; n++) {
    const text = readIfThere(join(dir, `sentinel-${n}`, 'sentinel.conf')) ?? '';
    const port = new RegExp(`^sentinel monitor ${SENTINEL_MASTER} \\S+ (\\d+)`, 'm').exec(text)?.[1];
    const epoch = Number(
      new RegExp(`^sentinel config-epoch ${SENTINEL_MASTER} (\\d+)`, 'm').exec(text)?.[1] ?? 0,
    );
    if (port !== undefined && (newest === undefined || epoch > newest.epoch))
      newest = { epoch, port: Number(port) };
  }
  return newest?.port;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The URL of servers on loopback, as `FLEXPUSH_REDIS_URL` takes it. */
export function redisUrlOf(
  topology: RedisTopology,
  members: readonly { readonly kind: string; readonly port: number }[],
): string {
  const hosts = (wanted: string) =>
    members
      .filter(({ kind }) => kind === wanted)
      .map(({ port }) => `${LOOPBACK}:${port}`)
      .join(',');
  switch (topology) {
    case 'single':
      return `redis://${hosts('redis')}`;
    case 'sentinel':
      return `redis+sentinel://${hosts('sentinel')}/${SENTINEL_MASTER}`;
    case 'cluster':
      return `redis+cluster://${hosts('redis')}`;
    default:
      return topology satisfies never;
  }
}

/** A master, or a replica that has caught up with one. */
async function isLinked({ port }: RedisServer): Promise<boolean> {
  const role = await redisCommand(port, 'ROLE');
  return role?.[0] === 'master' || role?.[3] === 'connected';
}

async function knowsOthers({ port }: RedisServer, replicas: number): Promise<boolean> {
  const fields = await redisCommand(port, 'SENTINEL', 'MASTER', SENTINEL_MASTER);
  if (!Array.isArray(fields)) return false;
  const valueOf = (name: string) => fields[fields.indexOf(name) + 1];
  return (
    valueOf('num-slaves') === String(replicas) && valueOf('num-other-sentinels') === String(SENTINELS - 1)
  );
}
