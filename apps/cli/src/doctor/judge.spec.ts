import type { NodeId } from '@flexpush/contracts';
import { flexpushStreams, type NatsFacts, type StreamFacts } from '@flexpush/nats-bus';
import type { RedisFacts, RedisServerFacts } from '@flexpush/redis-store';
import type { DoctorFacts, MonitoredServer, SystemFacts } from './facts';
import { bytes, duration, type Finding } from './finding';
import { judge } from './judge';
import { findingLines } from './report';

const NOW_MS = 1_800_000_000_000;
const GIB = 1_073_741_824;
const LOG = 'FLEXPUSH_LOG';
const SNAPSHOT = 'FLEXPUSH_SNAPSHOT';

const goodStream: StreamFacts = {
  storage: 'file',
  replicas: 3,
  discard: 'new',
  duplicateWindowMs: 120_000,
  ageMaxMs: 86_400_000,
  bytesMax: 2 * GIB,
  bytes: GIB / 2,
  messages: 100_000,
  firstAtMs: NOW_MS - 86_000_000,
  lastAtMs: NOW_MS,
  leader: 'n1',
  followers: [
    { name: 'n2', isCurrent: true },
    { name: 'n3', isCurrent: true },
  ],
};
const emptyStream: StreamFacts = {
  ...goodStream,
  ageMaxMs: undefined,
  bytes: 0,
  messages: 0,
  firstAtMs: undefined,
  lastAtMs: undefined,
};

const goodNats: NatsFacts = {
  server: 'n1',
  version: '2.11.0',
  maxPayloadBytes: 1_048_576,
  cluster: 'main',
  jetstream: { storageBytes: GIB, storageBytesMax: 10 * GIB },
  streams: flexpushStreams.map((name) => ({
    kind: 'there',
    name,
    stream: name === LOG ? goodStream : emptyStream,
  })),
  shardCount: 4,
};

const goodServer: MonitoredServer = {
  name: 'n1',
  version: '2.11.0',
  isSyncAlways: true,
  syncIntervalMs: 120_000,
  storageBytes: GIB,
  storageBytesMax: 10 * GIB,
};

const goodRedisServer: RedisServerFacts = {
  address: '10.0.0.1:6379',
  version: '7.0.15',
  role: 'master',
  isLoading: false,
  pingMs: 0.4,
  usedBytes: GIB,
  usedBytesMax: 4 * GIB,
  hostBytes: 8 * GIB,
  evictionPolicy: 'noeviction',
  evictedKeys: 0,
  appendOnly: true,
  isLastSaveOk: true,
  replicas: [{ address: '10.0.0.2:6379', isOnline: true, behindBytes: 100 }],
  config: { appendFsync: 'everysec', save: '', minReplicasToWrite: 1 },
};
const goodSentinel = {
  kind: 'sentinel',
  asked: 3,
  answering: 3,
  known: 3,
  quorum: 2,
  master: '10.0.0.1:6379',
  isMasterDown: false,
} as const;
const goodCluster = {
  kind: 'cluster',
  isOk: true,
  slotsAssigned: 16_384,
  masters: [1, 2, 3].map((n) => ({ address: `10.0.0.${n}:6379`, replicas: 1 })),
} as const;
const goodRedis: RedisFacts = { topology: goodSentinel, masters: [goodRedisServer] };

const peer = (nodeId: string, intervalMs = 250) => ({
  beat: { v: 1 as const, nodeId: nodeId as NodeId, incarnation: `${nodeId}-1`, state: 'up' as const },
  intervalMs,
});
const gmsNode = (nodeId: string, group = 'default') => ({
  beat: {
    ...{ v: 1 as const, nodeId: nodeId as NodeId, incarnation: '1', group, types: ['customhttp'] },
    ...{ queued: 0, inFlight: 0 },
    ...{ capacity: 1, state: 'ready' as const },
  },
  intervalMs: 1_000,
});
const goodSystem: SystemFacts = {
  listenedMs: 2_300,
  sessionActors: [peer('a1'), peer('a2')],
  resendTimers: [peer('t1', 500), peer('t2', 500)],
  gmsNodes: [gmsNode('g1'), gmsNode('g2')],
  registries: ['r1', 'r2'],
  isRegistryAnswering: true,
  leases: [0, 1, 2, 3].map((shard) => ({
    shard,
    owner: `a${(shard % 2) + 1}`,
    incarnation: `a${(shard % 2) + 1}-1`,
  })),
  shards: [0, 1, 2, 3].map((shard) => ({
    shard,
    fold: 'up-to-date' as const,
    earliestDueAtMs: NOW_MS + 5_000,
    unsettled: 3,
    isHeld: false,
  })),
};

interface Change {
  readonly nats?: Partial<NatsFacts>;
  readonly streams?: Readonly<Record<string, Partial<StreamFacts>>>;
  readonly every?: Partial<StreamFacts>;
  readonly redis?: Partial<RedisServerFacts>;
  readonly topology?: RedisFacts['topology'];
  readonly system?: Partial<SystemFacts>;
  readonly shard?: Partial<NonNullable<SystemFacts['shards']>[number]>;
  readonly facts?: Partial<DoctorFacts>;
}

/** A system fit for production, and what is otherwise in it. */
function facts(change: Change = {}): DoctorFacts {
  const { nats, streams = {}, every, redis, topology, system, shard } = change;
  const all = goodNats.streams.map((answer) =>
    answer.kind === 'there'
      ? { ...answer, stream: { ...answer.stream, ...every, ...streams[answer.name] } }
      : answer,
  );
  const [first, ...others] = goodSystem.shards ?? [];
  return {
    nowMs: NOW_MS,
    nats: { kind: 'reached', where: 'n1:4222', facts: { ...goodNats, streams: all, ...nats } },
    servers: { kind: 'told', servers: [goodServer] },
    mapping: { kind: 'agrees' },
    redis: {
      kind: 'reached',
      where: 's1:26379',
      facts: {
        topology: topology ?? goodRedis.topology,
        masters: goodRedis.masters.map((one) => ({ ...one, ...redis })),
      },
    },
    system: {
      ...goodSystem,
      ...(first && shard ? { shards: [{ ...first, ...shard }, ...others] } : {}),
      ...system,
    },
    ...change.facts,
  };
}

function without(name: string, kind: 'missing' | 'silent' = 'missing'): Partial<NatsFacts> {
  return { streams: goodNats.streams.map((answer) => (answer.name === name ? { kind, name } : answer)) };
}

function servers(...changes: Partial<MonitoredServer>[]): Partial<DoctorFacts> {
  return {
    servers: { kind: 'told', servers: changes.map((change) => ({ ...goodServer, ...change })) },
  };
}

/** What is not ok, as `level id`. */
function complaints(given: DoctorFacts): string[] {
  return judge(given, null)
    .findings.filter(({ level }) => level !== 'ok')
    .map(({ level, id }) => `${level} ${id}`);
}

function findingOf(given: DoctorFacts, id: string): Finding {
  const found = judge(given, null).findings.find((finding) => finding.id === id);
  if (!found) throw new Error(`no finding ${id}`);
  return found;
}

it('finds nothing to say against a system that is fit for production', () => {
  expect(complaints(facts())).toEqual([]);
  expect(judge(facts(), 'production')).toMatchObject({
    verdict: 'pass',
    profile: 'production',
    counts: { unsafe: 0 },
  });
});

const follower = (name: string, isCurrent: boolean) => ({ name, isCurrent });
const nats29 = { nats: { version: '2.9.10' } };

it.each<{ name: string; change: Change; says: string[] }>([
  { name: 'one NATS server', change: { nats: { cluster: undefined } }, says: ['unsafe nats.servers'] },
  {
    name: 'a payload below our messages',
    change: { nats: { maxPayloadBytes: 65_536 } },
    says: ['unsafe nats.max-payload'],
  },
  {
    name: 'a payload for ASCII only',
    change: { nats: { maxPayloadBytes: 524_288 } },
    says: ['warning nats.max-payload'],
  },
  {
    name: 'an account almost full',
    change: { nats: { jetstream: { storageBytes: 9 * GIB, storageBytesMax: 10 * GIB } } },
    says: ['warning nats.account-storage'],
  },
  {
    name: 'an account full',
    change: { nats: { jetstream: { storageBytes: 97, storageBytesMax: 100 } } },
    says: ['unsafe nats.account-storage'],
  },
  {
    name: 'a missing dead-letter stream',
    change: { nats: without('FLEXPUSH_DEAD_LETTER') },
    says: ['unsafe nats.streams'],
  },
  {
    name: 'a missing snapshot stream',
    change: { nats: without(SNAPSHOT) },
    says: ['unsafe nats.streams', 'unsafe flexpush.rebuild'],
  },
  {
    name: 'a stream without a leader',
    change: { nats: without('KV_flexpush-lease', 'silent') },
    says: ['unsafe nats.leaders'],
  },
  {
    name: 'a log in memory',
    change: { streams: { [LOG]: { storage: 'memory' } } },
    says: ['unsafe nats.storage'],
  },
  {
    name: 'one replica of the log',
    change: { streams: { [LOG]: { replicas: 1, followers: [], leader: 'n1' } } },
    says: ['unsafe nats.replicas'],
  },
  {
    name: 'two replicas',
    change: { every: { replicas: 2, followers: [follower('n2', true)] } },
    says: ['unsafe nats.replicas'],
  },
  {
    name: 'one replica of three behind',
    change: { streams: { [LOG]: { followers: [follower('n2', true), follower('n3', false)] } } },
    says: ['unsafe nats.followers'],
  },
  {
    name: 'one replica of five away',
    change: {
      streams: {
        [LOG]: {
          replicas: 5,
          followers: [
            follower('n2', true),
            follower('n3', true),
            follower('n4', true),
            follower('n5', false),
          ],
        },
      },
    },
    says: ['warning nats.followers'],
  },
  {
    name: 'no leader',
    change: { streams: { [LOG]: { leader: undefined } } },
    says: ['unsafe nats.followers'],
  },
  {
    name: 'the default sync interval',
    change: { facts: servers({ isSyncAlways: false }) },
    says: ['warning nats.sync-interval'],
  },
  {
    name: 'a short sync interval',
    change: { facts: servers({ isSyncAlways: false, syncIntervalMs: 2_000 }) },
    says: ['note nats.sync-interval'],
  },
  {
    name: 'a sync interval that one server does not tell',
    change: { facts: servers({}, { isSyncAlways: false, syncIntervalMs: undefined }) },
    says: ['warning nats.sync-interval'],
  },
  {
    name: 'a sync interval that is not visible',
    change: { facts: { servers: { kind: 'not-told' } } },
    says: ['warning nats.sync-interval'],
  },
  {
    name: 'a server whose disk is full',
    change: { facts: servers({ storageBytes: 99, storageBytesMax: 100 }) },
    says: ['unsafe nats.server-storage'],
  },
  {
    name: 'a log that forgets the oldest',
    change: { streams: { [LOG]: { discard: 'old' } } },
    says: ['unsafe nats.discard'],
  },
  {
    name: 'a tiny duplicate window',
    change: { streams: { [LOG]: { duplicateWindowMs: 100 } } },
    says: ['warning nats.duplicate-window'],
  },
  {
    name: 'a short log',
    change: { streams: { [LOG]: { ageMaxMs: 60_000 } } },
    says: ['warning nats.log-age'],
  },
  {
    name: 'a log without bound',
    change: { streams: { [LOG]: { bytesMax: undefined } } },
    says: ['warning nats.log-room'],
  },
  {
    name: 'a log almost full',
    change: { streams: { [LOG]: { bytes: 1.7 * GIB } } },
    says: ['warning nats.log-room'],
  },
  {
    name: 'a full log',
    change: { streams: { [LOG]: { bytes: 1.99 * GIB } } },
    says: ['unsafe nats.log-room'],
  },
  {
    name: 'a log that fills before age frees it',
    change: { streams: { [LOG]: { firstAtMs: NOW_MS - 3_600_000 } } },
    says: ['warning nats.log-room'],
  },
  {
    name: 'a log for small messages',
    change: { streams: { [LOG]: { messageBytesMax: 1_000 } } },
    says: ['unsafe nats.message-bytes'],
  },
  {
    name: 'snapshots that expire',
    change: { streams: { [SNAPSHOT]: { ageMaxMs: 1_000_000 } } },
    says: ['unsafe nats.snapshot-age'],
  },
  {
    name: 'snapshots without room',
    change: { streams: { [SNAPSHOT]: { bytes: 1.99 * GIB, messages: 9 } } },
    says: ['unsafe nats.snapshot-room'],
  },
  { name: 'no mapping', change: { facts: { mapping: { kind: 'absent' } } }, says: ['warning nats.mapping'] },
  {
    name: 'a wrong mapping',
    change: { facts: { mapping: { kind: 'wrong', reason: 'x' } } },
    says: ['unsafe nats.mapping'],
  },
  {
    name: 'a log that takes nothing',
    change: { facts: { mapping: { kind: 'refused' } } },
    says: ['unsafe nats.mapping'],
  },
  { name: 'one Redis', change: { topology: { kind: 'single' } }, says: ['unsafe redis.failover'] },
  {
    name: 'a master that is down',
    change: { topology: { ...goodSentinel, isMasterDown: true } },
    says: ['unsafe redis.master'],
  },
  {
    name: 'too few Sentinels for a failover',
    change: { topology: { ...goodSentinel, answering: 1 } },
    says: ['unsafe redis.sentinels'],
  },
  {
    name: 'a quorum that cannot be met',
    change: { topology: { ...goodSentinel, quorum: 4 } },
    says: ['unsafe redis.sentinels'],
  },
  {
    name: 'two Sentinels',
    change: { topology: { ...goodSentinel, known: 2, answering: 2 } },
    says: ['unsafe redis.sentinels'],
  },
  {
    name: 'a Sentinel away',
    change: { topology: { ...goodSentinel, answering: 2 } },
    says: ['warning redis.sentinels'],
  },
  {
    name: 'a quorum of one',
    change: { topology: { ...goodSentinel, quorum: 1 } },
    says: ['warning redis.sentinels'],
  },
  { name: 'a master without replica', change: { redis: { replicas: [] } }, says: ['unsafe redis.replicas'] },
  {
    name: 'a replica far behind',
    change: { redis: { replicas: [{ address: 'x', isOnline: true, behindBytes: GIB }] } },
    says: ['unsafe redis.replicas'],
  },
  {
    name: 'writes without a replica',
    change: { redis: { config: { appendFsync: 'everysec', save: '', minReplicasToWrite: 0 } } },
    says: ['note redis.min-replicas'],
  },
  {
    name: 'eviction of any key',
    change: { redis: { evictionPolicy: 'allkeys-lru' } },
    says: ['unsafe redis.eviction'],
  },
  { name: 'eviction of keys that expire', change: { redis: { evictionPolicy: 'volatile-ttl' } }, says: [] },
  { name: 'memory almost full', change: { redis: { usedBytes: 3.5 * GIB } }, says: ['warning redis.memory'] },
  { name: 'memory full', change: { redis: { usedBytes: 3.9 * GIB } }, says: ['unsafe redis.memory'] },
  { name: 'no bound of memory', change: { redis: { usedBytesMax: undefined } }, says: ['note redis.memory'] },
  {
    name: 'no bound of memory on a full host',
    change: { redis: { usedBytesMax: undefined, usedBytes: 7 * GIB } },
    says: ['warning redis.memory'],
  },
  { name: 'no persistence', change: { redis: { appendOnly: false } }, says: ['warning redis.persistence'] },
  {
    name: 'no fsync',
    change: { redis: { config: { appendFsync: 'no', save: '', minReplicasToWrite: 1 } } },
    says: ['note redis.persistence'],
  },
  {
    name: 'a fsync per commit',
    change: { redis: { config: { appendFsync: 'always', save: '', minReplicasToWrite: 1 } } },
    says: ['note redis.persistence'],
  },
  { name: 'a refused CONFIG', change: { redis: { config: undefined } }, says: [] },
  { name: 'a disk that fails', change: { redis: { isLastSaveOk: false } }, says: ['unsafe redis.writes'] },
  {
    name: 'a replica named as the server',
    change: { redis: { role: 'slave' } },
    says: ['unsafe redis.role'],
  },
  { name: 'a Redis that loads', change: { redis: { isLoading: true } }, says: ['warning redis.loading'] },
  { name: 'a slow Redis', change: { redis: { pingMs: 80 } }, says: ['note redis.ping'] },
  {
    name: 'a Redis that nobody named',
    change: { facts: { redis: { kind: 'not-asked' } } },
    says: ['note redis.reachable'],
  },
  { name: 'no shard count', change: { nats: { shardCount: undefined } }, says: ['unsafe flexpush.shards'] },
  {
    name: 'more session-actors than shards',
    change: { nats: { shardCount: 1 } },
    says: ['note flexpush.shards'],
  },
  {
    name: 'one session-actor',
    change: { system: { sessionActors: [peer('a1')] } },
    says: ['unsafe flexpush.session-actors', 'unsafe flexpush.leases'],
  },
  {
    name: 'one resend-timer',
    change: { system: { resendTimers: [peer('t1')] } },
    says: ['unsafe flexpush.resend-timers'],
  },
  {
    name: 'no resend-timer',
    change: { system: { resendTimers: [] } },
    says: ['unsafe flexpush.resend-timers'],
  },
  {
    name: 'one GMS node',
    change: { system: { gmsNodes: [gmsNode('g1')] } },
    says: ['unsafe flexpush.gms-nodes'],
  },
  {
    name: 'groups of one GMS node',
    change: { system: { gmsNodes: [gmsNode('g1', 'a'), gmsNode('g2', 'b')] } },
    says: ['note flexpush.gms-groups'],
  },
  { name: 'one registry', change: { system: { registries: ['r1'] } }, says: ['warning flexpush.registries'] },
  {
    name: 'no registry',
    change: { system: { registries: [], isRegistryAnswering: false } },
    says: ['unsafe flexpush.registries'],
  },
  {
    name: 'a registry that does not answer',
    change: { system: { isRegistryAnswering: false } },
    says: ['warning flexpush.registry-view'],
  },
  {
    name: 'slow heartbeats',
    change: { system: { sessionActors: [peer('a1', 900), peer('a2')] } },
    says: ['warning flexpush.heartbeats'],
  },
  {
    name: 'one beat only',
    change: { system: { resendTimers: [{ ...peer('t1'), intervalMs: undefined }, peer('t2')] } },
    says: [],
  },
  {
    name: 'a lease of a dead owner',
    change: { system: { leases: [{ shard: 0, owner: 'a9', incarnation: '1' }] } },
    says: ['unsafe flexpush.leases'],
  },
  {
    name: 'a lease of an earlier life',
    change: { system: { leases: [{ shard: 0, owner: 'a1', incarnation: 'a1-0' }] } },
    says: ['unsafe flexpush.leases'],
  },
  {
    name: 'a lease that nobody holds',
    change: { system: { leases: [{ shard: 0 }] } },
    says: ['unsafe flexpush.leases'],
  },
  { name: 'a shard behind', change: { shard: { fold: 'behind' } }, says: ['warning flexpush.fold'] },
  {
    name: 'a checkpoint of another log',
    change: { shard: { fold: 'unknown' } },
    says: ['warning flexpush.fold'],
  },
  {
    name: 'a shard that catches up',
    change: { shard: { isHeld: true, earliestDueAtMs: NOW_MS - 60_000 } },
    says: ['warning flexpush.fold'],
  },
  {
    name: 'timers overdue',
    change: { shard: { earliestDueAtMs: NOW_MS - 60_000 } },
    says: ['unsafe flexpush.timers'],
  },
  { name: 'a timer that is due', change: { shard: { earliestDueAtMs: NOW_MS - 300 } }, says: [] },
  {
    name: 'a shard full of unsettled pushes',
    change: { shard: { unsettled: 2_000 } },
    says: ['warning flexpush.unsettled'],
  },
  {
    name: 'dead letters',
    change: { streams: { FLEXPUSH_DEAD_LETTER: { messages: 2, lastAtMs: NOW_MS - 60_000 } } },
    says: ['note flexpush.dead-letters'],
  },
])('says what is wrong with $name, and nothing else', ({ change, says }) => {
  expect(complaints(facts(change))).toEqual(says);
});

describe('a Redis Cluster', () => {
  const masters = [1, 2, 3].map((n) => ({ ...goodRedisServer, address: `10.0.0.${n}:6379`, replicas: [] }));
  const cluster = (topology: object, answering = masters): DoctorFacts =>
    facts({
      facts: {
        redis: {
          kind: 'reached',
          where: 'c',
          facts: { topology: { ...goodCluster, ...topology }, masters: answering },
        },
      },
    });

  it.each([
    { name: 'is fine with a replica each', given: cluster({}), says: [] },
    { name: 'is broken', given: cluster({ isOk: false }), says: ['unsafe redis.cluster'] },
    { name: 'lacks slots', given: cluster({ slotsAssigned: 16_000 }), says: ['unsafe redis.cluster'] },
    {
      name: 'has a master that does not answer',
      given: cluster({}, masters.slice(1)),
      says: ['unsafe redis.cluster'],
    },
    {
      name: 'has two masters',
      given: cluster({ masters: goodCluster.masters.slice(1) }, masters.slice(1)),
      says: ['unsafe redis.cluster'],
    },
    {
      name: 'has a master without replica',
      given: cluster({ masters: goodCluster.masters.map((one, i) => ({ ...one, replicas: i })) }),
      says: ['unsafe redis.replicas'],
    },
  ])('$name', ({ given, says }) => expect(complaints(given)).toEqual(says));
});

describe('sync_interval in plain words', () => {
  const one = { every: { replicas: 1, followers: [] } };

  it.each<{ name: string; change: Change; title: string; meaning: RegExp; value: number | null }>([
    {
      name: 'one replica, told by the server',
      change: { ...one, facts: servers({ isSyncAlways: false, syncIntervalMs: 30_000 }) },
      title: 'One power cut can lose up to 30 seconds of acknowledged events: sync_interval',
      meaning: /^JetStream acknowledges before the disk has it: [^.]*\.$/,
      value: 30_000,
    },
    {
      name: 'one replica, not visible',
      change: { ...one, facts: { servers: { kind: 'not-told' } } },
      title: 'One power cut can lose up to 2 minutes of acknowledged events: sync_interval',
      meaning: /not visible .* default, 2 minutes, is assumed; --nats-monitor/,
      value: null,
    },
    {
      name: 'one replica, a server that has no other interval',
      change: { ...one, ...nats29, facts: { servers: { kind: 'not-told' } } },
      title: 'One power cut can lose up to 2 minutes of acknowledged events: sync_interval',
      meaning: /nats-server 2\.9\.10 has this interval and no other\.$/,
      value: 120_000,
    },
    {
      name: 'three replicas, the longest interval of the servers',
      change: { facts: servers({}, { isSyncAlways: false, syncIntervalMs: 60_000 }) },
      title:
        'A power cut of all servers at once can lose up to 1 minute of acknowledged events: sync_interval',
      meaning: /the others still have/,
      value: 60_000,
    },
    {
      name: 'a monitoring port that cannot be read',
      change: { facts: { servers: { kind: 'unreachable', where: 'http://n1:8222', reason: 'refused' } } },
      title:
        'A power cut of all servers at once can lose up to 2 minutes of acknowledged events: sync_interval',
      meaning: /http:\/\/n1:8222 could not be read \(refused\): the default, 2 minutes, is assumed/,
      value: null,
    },
  ])('$name', ({ change, title, meaning, value }) => {
    const finding = findingOf(facts(change), 'nats.sync-interval');
    expect(finding).toMatchObject({ title, value });
    expect(finding.meaning).toMatch(meaning);
  });
});

describe('the room in the log', () => {
  const title = (change: Partial<StreamFacts>) =>
    findingOf(facts({ streams: { [LOG]: change } }), 'nats.log-room').title;

  it('tells when it will be full, as it grows', () => {
    expect(title({ firstAtMs: NOW_MS - 3_600_000 })).toBe(
      'The log holds 512 MiB of 2 GiB (25 %), full in 3 hours as it grows',
    );
  });

  it.each([
    { name: 'age frees it before', change: {} },
    { name: 'it is too young to tell', change: { firstAtMs: NOW_MS - 1_000 } },
    { name: 'it is empty', change: { firstAtMs: undefined, bytes: 0 } },
  ])('tells nothing where $name', ({ change }) => expect(title(change)).not.toContain('full in'));
});

describe('the verdict', () => {
  const dead = { kind: 'unreachable', where: 'n1:4222', reason: 'CONNECTION_REFUSED' } as const;

  it('passes without a profile whatever is unsafe, and fails with one', () => {
    const given = facts({ topology: { kind: 'single' } });
    expect(judge(given, null)).toMatchObject({ verdict: 'pass', profile: null, counts: { unsafe: 1 } });
    expect(judge(given, 'production')).toMatchObject({ verdict: 'fail' });
  });

  it('passes production with warnings', () => {
    expect(judge(facts({ redis: { appendOnly: false } }), 'production').verdict).toBe('pass');
  });

  it('does not call a Redis safe that was not looked at', () => {
    expect(judge(facts({ facts: { redis: { kind: 'not-asked' } } }), 'production').verdict).toBe('fail');
  });

  it.each([
    { name: 'NATS', given: facts({ facts: { nats: dead, system: undefined } }), id: 'nats.reachable' },
    { name: 'Redis', given: facts({ facts: { redis: dead } }), id: 'redis.reachable' },
  ])('fails without a profile too when $name cannot be reached', ({ given, id }) => {
    expect(judge(given, null).verdict).toBe('fail');
    expect(complaints(given)).toEqual([`unsafe ${id}`]);
  });

  it('says so when JetStream does not answer, and judges no stream', () => {
    const given = facts({
      nats: { jetstream: undefined, streams: [], shardCount: undefined },
      facts: { mapping: undefined },
    });
    expect(complaints(given)).toEqual(['unsafe nats.jetstream', 'unsafe flexpush.shards']);
  });
});

it('gives every finding that is not ok a meaning and an advice', () => {
  const given = facts({
    nats: { cluster: undefined, maxPayloadBytes: 1 },
    every: {
      storage: 'memory',
      replicas: 1,
      discard: 'old',
      duplicateWindowMs: 1,
      ageMaxMs: 1,
      messageBytesMax: 1,
    },
    topology: { kind: 'single' },
    redis: {
      evictionPolicy: 'allkeys-lru',
      evictedKeys: 3,
      appendOnly: false,
      role: 'slave',
      isLastSaveOk: false,
    },
    system: { sessionActors: [], resendTimers: [], gmsNodes: [], registries: [] },
    shard: { fold: 'unknown', isHeld: true },
  });
  for (const finding of judge(given, null).findings) {
    expect(finding.title).not.toBe('');
    if (finding.level === 'ok') continue;
    expect(finding).toEqual({
      ...finding,
      meaning: expect.stringMatching(/\.$/),
      advice: expect.stringMatching(/./),
    });
  }
});

it('wraps a finding under its level, by words', () => {
  const finding: Finding = {
    ...{ id: 'nats.x', level: 'warning', title: 'one two three four five', value: null },
    ...{ meaning: 'six seven eight nine', advice: 'ten' },
  };
  expect(findingLines(finding, 25)).toEqual([
    '  warning  one two three',
    '           four five',
    '           six seven',
    '           eight nine',
    '           -> ten',
  ]);
});

it.each([
  [250, '250 ms'],
  [1_000, '1 second'],
  [90_000, '90 seconds'],
  [120_000, '2 minutes'],
  [3_600_000, '1 hour'],
  [5_400_000, '90 minutes'],
  [86_400_000, '1 day'],
  [100_000_000, '28 hours'],
])('tells %d ms as %s', (ms, text) => expect(duration(ms)).toBe(text));

it.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_536, '1.5 KiB'],
  [1_048_576, '1 MiB'],
  [2 * GIB, '2 GiB'],
])('tells %d bytes as %s', (count, text) => expect(bytes(count)).toBe(text));
