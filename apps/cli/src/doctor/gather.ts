import { parseCheckpoint } from '@flexpush/actor-runtime';
import { LOG_STREAM, parseNatsUrl, parseRedisUrl, subjects, type RedisAddress } from '@flexpush/contracts';
import {
  connectBus,
  LeaseStore,
  readMapping,
  readNatsFacts,
  ShardLog,
  type NatsBus,
} from '@flexpush/nats-bus';
import {
  connectRedis,
  readRedisFacts,
  readShardFacts,
  type RedisFacts,
  type ShardFacts,
} from '@flexpush/redis-store';
import { within } from '../within';
import type { DoctorFacts, LeaseFact, Reached, ShardFact, SystemFacts } from './facts';
import { listen } from './listen';
import { readServers } from './servers';

export interface Places {
  readonly natsUrl: string;
  readonly monitorUrls: readonly string[];
  readonly redisUrl?: string | undefined;
}

const CONNECT_TIMEOUT_MS = 3_000;
const ANSWER_TIMEOUT_MS = 3_000;
/** Of a whole step, which may ask many times. */
const STEP_TIMEOUT_MS = 8_000;
/** Two heartbeats of a GMS node, which are a second apart, and some. */
const LISTEN_MS = 2_300;
/** Shards whose place in the log is compared; each costs three requests. */
const SHARDS_LOOKED_MAX = 256;

/** Looks at everything once. What does not answer in time is missing from the facts; nothing is waited for without end. */
export async function gather(places: Places): Promise<DoctorFacts> {
  const [nats, redis] = await Promise.all([connectNats(places.natsUrl), readRedis(places.redisUrl)]);
  if (nats.kind === 'unreachable') return { nowMs: Date.now(), nats, servers: { kind: 'not-told' }, redis };
  const bus = nats.facts;
  try {
    const seen = await within(STEP_TIMEOUT_MS, readNatsFacts(bus, { timeoutMs: ANSWER_TIMEOUT_MS }));
    if (!seen) {
      const reason = `nothing more within ${STEP_TIMEOUT_MS / 1_000} s of the connection`;
      return {
        nowMs: Date.now(),
        nats: { kind: 'unreachable', where: nats.where, reason },
        servers: { kind: 'not-told' },
        redis,
      };
    }
    const hasLog = seen.streams.some(({ name, kind }) => name === LOG_STREAM && kind === 'there');
    const shardCount = hasLog ? seen.shardCount : undefined;
    const redisUrl = redis.kind === 'reached' ? places.redisUrl : undefined;
    const [servers, mapping, system] = await Promise.all([
      readServers(bus, places.monitorUrls),
      shardCount === undefined ? undefined : within(STEP_TIMEOUT_MS, readMapping(bus, shardCount)),
      lookAtSystem(bus, shardCount, redisUrl),
    ]);
    const facts = { kind: 'reached', where: nats.where, facts: seen } as const;
    return { nowMs: Date.now(), nats: facts, servers, mapping, redis, system };
  } finally {
    await within(ANSWER_TIMEOUT_MS, bus.close());
  }
}

/** Hosts only: a URL may hold a password, and what is found may be shown to others. */
export function natsPlace(url: string): string {
  return parseNatsUrl(url).servers.join(',');
}

function redisPlace(url: string): string {
  const address = redisAddress(url);
  const hosts = (list: readonly { host: string; port: number }[]) =>
    list.map(({ host, port }) => `${host}:${port}`).join(',');
  switch (address.kind) {
    case 'single':
      return new URL(address.url).host;
    case 'socket':
      return address.path;
    case 'sentinel':
      return `${hosts(address.sentinels)} (${address.masterName})`;
    case 'cluster':
      return hosts(address.nodes);
    default:
      return address satisfies never;
  }
}

function redisAddress(url: string): RedisAddress {
  try {
    return parseRedisUrl(url);
  } catch (error) {
    throw new Error(`the Redis URL ${reasonOf(error)}`, { cause: error });
  }
}

async function connectNats(url: string): Promise<Reached<NatsBus>> {
  const where = natsPlace(url);
  try {
    const options = { url, name: 'flexpush-doctor', firstConnectTimeoutMs: CONNECT_TIMEOUT_MS };
    return { kind: 'reached', where, facts: await connectBus(options) };
  } catch (error) {
    return { kind: 'unreachable', where, reason: reasonOf(error) };
  }
}

async function readRedis(url: string | undefined): Promise<Reached<RedisFacts> | { kind: 'not-asked' }> {
  if (url === undefined) return { kind: 'not-asked' };
  const where = redisPlace(url);
  try {
    const facts = await within(STEP_TIMEOUT_MS, readRedisFacts(url, { timeoutMs: ANSWER_TIMEOUT_MS }));
    if (facts) return { kind: 'reached', where, facts };
    return { kind: 'unreachable', where, reason: `not all answered within ${STEP_TIMEOUT_MS / 1_000} s` };
  } catch (error) {
    return { kind: 'unreachable', where, reason: reasonOf(error) };
  }
}

async function lookAtSystem(
  bus: NatsBus,
  shardCount: number | undefined,
  redisUrl: string | undefined,
): Promise<SystemFacts> {
  const shards = Array.from({ length: Math.min(shardCount ?? 0, SHARDS_LOOKED_MAX) }, (_, shard) => shard);
  const answer = bus.request(subjects.registryView, '', { timeoutMs: LISTEN_MS });
  const [heard, ends] = await Promise.all([
    listen(bus, LISTEN_MS),
    shards.length === 0 ? undefined : within(STEP_TIMEOUT_MS, readEnds(bus, shards)),
  ]);
  // Only now, so that a lease that moved meanwhile is told with its new owner, and what came last had time to be folded.
  const [leases, stored] = await Promise.all([
    shardCount === undefined ? undefined : within(STEP_TIMEOUT_MS, readLeases(bus, shardCount)),
    ends && redisUrl !== undefined ? readShards(redisUrl, shards) : undefined,
  ]);
  return {
    ...heard,
    isRegistryAnswering: (await answer).kind === 'answer',
    leases,
    shards: ends && stored?.map((one) => shardFactOf(one, ends)),
  };
}

interface LogEnds {
  readonly createdAt: string;
  readonly lastSeqs: readonly number[];
}

/** Where each shard of the log ends now. */
async function readEnds(bus: NatsBus, shards: readonly number[]): Promise<LogEnds> {
  const log = await ShardLog.open(bus);
  const { createdAt } = await log.state();
  return { createdAt, lastSeqs: await Promise.all(shards.map((shard) => log.lastSeqOf(shard))) };
}

async function readLeases(bus: NatsBus, shardCount: number): Promise<LeaseFact[]> {
  const store = await LeaseStore.open(bus);
  return Promise.all(
    Array.from({ length: shardCount }, async (_, shard) => ({ shard, ...(await store.read(shard)).lease })),
  );
}

async function readShards(url: string, shards: readonly number[]): Promise<ShardFacts[] | undefined> {
  const redis = connectRedis({ url });
  try {
    return await within(STEP_TIMEOUT_MS, readShardFacts(redis, shards));
  } finally {
    redis.disconnect();
  }
}

function shardFactOf(stored: ShardFacts, ends: LogEnds): ShardFact {
  const { shard, earliestDueAtMs, unsettled, isHeld } = stored;
  const lastSeq = ends.lastSeqs[shard] ?? 0;
  const checkpoint = parseCheckpoint(stored.checkpoint);
  const foldedTo = checkpoint?.seq ?? 0;
  const isOtherLog = checkpoint !== undefined && checkpoint.createdAt !== ends.createdAt;
  const fold = isOtherLog ? 'unknown' : foldedTo < lastSeq ? 'behind' : 'up-to-date';
  return { shard, fold, earliestDueAtMs, unsettled, isHeld };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message === '' ? error.name : error.message;
}
