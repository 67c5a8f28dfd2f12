import type { RedisServerFacts, RedisTopology } from '@flexpush/redis-store';
import type { DoctorFacts } from './facts';
import { bytes, counted, ok, percent, type Finding } from './finding';

const FULL_SHARE_WARNING = 0.8;
const FULL_SHARE_UNSAFE = 0.95;
/** Without a bound of its own, Redis may take the memory of its host. */
const HOST_SHARE_WARNING = 0.7;
const PING_SLOW_MS = 20;
const BEHIND_BYTES_MAX = 16 * 1_048_576;
const SENTINELS_WANTED = 3;
const CLUSTER_MASTERS_WANTED = 3;
const SLOTS = 16_384;
/** What our keys need: they carry no expiry, so the volatile policies have nothing to evict. */
const harmlessPolicies = ['noeviction', 'volatile-lru', 'volatile-lfu', 'volatile-random', 'volatile-ttl'];

const REBUILT = 'Nothing is lost: what Redis lacks is folded again from the log.';

export function judgeRedis({ redis }: DoctorFacts): Finding[] {
  if (redis.kind === 'not-asked')
    return [
      {
        id: 'redis.reachable',
        level: 'note',
        title: 'Redis was not looked at',
        meaning: 'Nothing here tells where the Redis of this system is.',
        advice: 'Name it with --redis <url> or FLEXPUSH_REDIS_URL, as session-actor has it.',
        value: null,
      },
    ];
  if (redis.kind === 'unreachable')
    return [
      {
        id: 'redis.reachable',
        level: 'unsafe',
        title: `Redis does not answer at ${redis.where}`,
        meaning: `Shards wait for it and fold nothing; the log keeps what comes meanwhile. It said: ${redis.reason}.`,
        advice: 'Start it, or name the right one with --redis <url>.',
        value: false,
      },
    ];
  const { topology, masters } = redis.facts;
  return [...judgeTopology(topology, masters), ...masters.flatMap((master) => judgeServer(master, topology))];
}

function judgeTopology(topology: RedisTopology, masters: readonly RedisServerFacts[]): Finding[] {
  switch (topology.kind) {
    case 'single':
      return [
        {
          id: 'redis.failover',
          level: 'unsafe',
          title: `One Redis without failover (${masters[0]?.address}, ${masters[0]?.version})`,
          meaning: `While it is away no event is folded and no push leaves. ${REBUILT}`,
          advice:
            'Run a replica and three Sentinels (redis+sentinel://...) or a Cluster with replicas (redis+cluster://...).',
          value: 'single',
        },
      ];
    case 'sentinel':
      return judgeSentinels(topology, masters);
    case 'cluster':
      return judgeCluster(topology, masters);
    default:
      return topology satisfies never;
  }
}

type Sentinels = Extract<RedisTopology, { kind: 'sentinel' }>;

function judgeSentinels(topology: Sentinels, masters: readonly RedisServerFacts[]): Finding[] {
  const { answering, known, quorum, master } = topology;
  const findings: Finding[] = [];
  if (topology.isMasterDown || masters.length === 0)
    findings.push({
      id: 'redis.master',
      level: 'unsafe',
      title: `The master ${master} is down`,
      meaning: `Shards wait until a replica has taken its place. ${REBUILT}`,
      advice: 'If it lasts for more than some seconds: see why the Sentinels do not fail over.',
      value: master,
    });
  const id = 'redis.sentinels';
  const needed = Math.max(quorum, Math.floor(known / 2) + 1);
  const title = `${answering} of ${counted(known, 'Sentinel')} answer, quorum ${quorum}`;
  if (answering < needed)
    findings.push({
      id,
      level: 'unsafe',
      title,
      meaning: `A failover needs ${needed} of them, so there is none.`,
      advice: 'Bring the Sentinels back, and name them all in FLEXPUSH_REDIS_URL.',
      value: answering,
    });
  else if (known < SENTINELS_WANTED)
    findings.push({
      id,
      level: 'unsafe',
      title,
      meaning: 'When a machine takes both a Sentinel and the master with it, too few are left to fail over.',
      advice: 'Run three Sentinels on three machines, with a quorum of 2.',
      value: known,
    });
  else if (answering < known || quorum < 2)
    findings.push({
      id,
      level: 'warning',
      title,
      meaning:
        quorum < 2
          ? 'One Sentinel alone may call a living master dead and move everything.'
          : 'Fewer failures than planned are left before there is no failover.',
      advice:
        quorum < 2
          ? 'Set the quorum to 2: SENTINEL SET <name> quorum 2.'
          : 'Bring the others back, and name them all in FLEXPUSH_REDIS_URL.',
      value: answering,
    });
  else findings.push(ok(id, answering, title));
  return [...findings, ...masters.map((one) => judgeReplicas(one))];
}

type ClusterTopology = Extract<RedisTopology, { kind: 'cluster' }>;

function judgeCluster(topology: ClusterTopology, masters: readonly RedisServerFacts[]): Finding[] {
  const { isOk, slotsAssigned } = topology;
  const id = 'redis.cluster';
  const count = topology.masters.length;
  const title = `Redis Cluster: ${counted(count, 'master')}, ${slotsAssigned} of ${SLOTS} slots`;
  const findings: Finding[] = [];
  if (!isOk || slotsAssigned < SLOTS || masters.length < count)
    findings.push({
      id,
      level: 'unsafe',
      title: `${title}, and it is not whole`,
      meaning: 'Shards whose slots nobody serves fold nothing until it is whole again.',
      advice: 'See "redis-cli --cluster check <host:port>".',
      value: isOk,
    });
  else if (count < CLUSTER_MASTERS_WANTED)
    findings.push({
      id,
      level: 'unsafe',
      title,
      meaning:
        'A failover needs the votes of more than half of the masters; with fewer than three there is none.',
      advice: 'Run at least three masters, each with a replica.',
      value: count,
    });
  else findings.push(ok(id, isOk, title));
  const lonely = topology.masters.filter(({ replicas }) => replicas === 0).map(({ address }) => address);
  findings.push(
    lonely.length === 0
      ? ok('redis.replicas', count, 'Every master has a replica')
      : {
          id: 'redis.replicas',
          level: 'unsafe',
          title: `No replica: ${lonely.join(', ')}`,
          meaning: `While such a master is away its shards fold nothing. ${REBUILT}`,
          advice: 'redis-cli --cluster add-node <new> <any> --cluster-slave --cluster-master-id <its id>',
          value: lonely.join(','),
        },
  );
  return findings;
}

function judgeReplicas({ address, replicas }: RedisServerFacts): Finding {
  const id = 'redis.replicas';
  const usable = replicas.filter(({ isOnline, behindBytes }) => isOnline && behindBytes <= BEHIND_BYTES_MAX);
  if (usable.length === 0)
    return {
      id,
      level: 'unsafe',
      title: `${address} has no replica that is up to date`,
      meaning: `There is nothing to fail over to. ${REBUILT}`,
      advice: 'Start a replica (replicaof <master>) and wait for "state=online" in INFO replication.',
      value: 0,
    };
  const behindBytes = Math.max(...usable.map((replica) => replica.behindBytes));
  return ok(
    id,
    usable.length,
    `${address} has ${counted(usable.length, 'replica')}, ${behindBytes === 0 ? 'none behind' : `at most ${bytes(behindBytes)} behind`}`,
  );
}

function judgeServer(server: RedisServerFacts, topology: RedisTopology): Finding[] {
  return [
    ...judgeRole(server),
    judgeEviction(server),
    judgeMemory(server),
    judgePersistence(server),
    ...judgeWrites(server, topology),
    judgePing(server),
  ];
}

function judgeRole({ address, role, isLoading }: RedisServerFacts): Finding[] {
  const findings: Finding[] = [];
  if (role !== 'master')
    findings.push({
      id: 'redis.role',
      level: 'unsafe',
      title: `${address} is a replica`,
      meaning: 'It refuses writes, so no commit gets through.',
      advice: 'Name the master, or the Sentinels, which know it: redis+sentinel://...',
      value: role,
    });
  if (isLoading)
    findings.push({
      id: 'redis.loading',
      level: 'warning',
      title: `${address} is loading its data`,
      meaning: 'Shards wait until it is done.',
      advice: 'Wait, and look again.',
      value: true,
    });
  return findings;
}

function judgeEviction({ address, evictionPolicy, evictedKeys }: RedisServerFacts): Finding {
  const id = 'redis.eviction';
  if (harmlessPolicies.includes(evictionPolicy))
    return ok(id, evictionPolicy, `${address} never evicts our keys (${evictionPolicy})`);
  return {
    id,
    level: 'unsafe',
    title: `${address} drops keys when its memory is full: maxmemory-policy ${evictionPolicy}`,
    meaning: `Chats, timers and unsent pushes vanish without a word, and nothing folds them again, because the checkpoint says that they are there.${evictedKeys > 0 ? ` ${counted(evictedKeys, 'key')} went since it started.` : ''}`,
    advice: `CONFIG SET maxmemory-policy noeviction, and in redis.conf.${evictedKeys > 0 ? ' Then empty it (FLUSHDB, where nothing else lies in it), so that everything is folded anew.' : ''}`,
    value: evictionPolicy,
  };
}

function judgeMemory({ address, usedBytes, usedBytesMax, hostBytes }: RedisServerFacts): Finding {
  const id = 'redis.memory';
  if (usedBytesMax !== undefined) {
    const share = usedBytes / usedBytesMax;
    const title = `${address} uses ${bytes(usedBytes)} of ${bytes(usedBytesMax)} (${percent(share)})`;
    if (share < FULL_SHARE_WARNING) return ok(id, usedBytes, title);
    return {
      id,
      level: share < FULL_SHARE_UNSAFE ? 'warning' : 'unsafe',
      title,
      meaning: 'A full Redis refuses commits, and every shard waits.',
      advice: 'Raise maxmemory, or move to a Cluster and spread the shards.',
      value: usedBytes,
    };
  }
  const share = hostBytes === undefined ? undefined : usedBytes / hostBytes;
  const shown = `${address} uses ${bytes(usedBytes)}${share === undefined ? '' : `, ${percent(share)} of its host,`} and has no maxmemory`;
  return {
    id,
    level: share !== undefined && share >= HOST_SHARE_WARNING ? 'warning' : 'note',
    title: shown,
    meaning: 'When the host runs out of memory, the kernel ends Redis, instead of Redis refusing commits.',
    advice: 'Set maxmemory to about 60 % of the host, since rewriting the append-only file takes memory too.',
    value: usedBytes,
  };
}

function judgePersistence({ address, appendOnly, config }: RedisServerFacts): Finding {
  const id = 'redis.persistence';
  const isSaved = config === undefined ? undefined : config.save !== '';
  if (!appendOnly)
    return {
      id,
      level: 'warning',
      title:
        isSaved === true
          ? `${address} keeps snapshots only, no append-only file`
          : `${address} keeps ${isSaved === undefined ? 'no append-only file' : 'nothing on disk'}`,
      meaning: `A restart forgets ${isSaved === true ? 'the last minutes' : 'everything'}, and pushes stop until it is folded again from the snapshots and the log.`,
      advice: 'CONFIG SET appendonly yes, and in redis.conf; appendfsync everysec is enough.',
      value: false,
    };
  const fsync = config?.appendFsync;
  if (fsync === undefined)
    return ok(id, true, `${address} keeps an append-only file (CONFIG is not permitted, so not how often)`);
  if (fsync === 'no')
    return {
      id,
      level: 'note',
      title: `${address} leaves its append-only file to the kernel: appendfsync no`,
      meaning: `A power cut forgets some 30 seconds. ${REBUILT}`,
      advice: 'CONFIG SET appendfsync everysec',
      value: fsync,
    };
  if (fsync === 'always')
    return {
      id,
      level: 'note',
      title: `${address} waits for the disk at each commit: appendfsync always`,
      meaning: 'It costs rate and buys nothing, since the log keeps what a second would lose.',
      advice: 'CONFIG SET appendfsync everysec',
      value: fsync,
    };
  return ok(
    id,
    fsync,
    `${address} keeps an append-only file; a power cut costs a second, which is folded again`,
  );
}

function judgeWrites(server: RedisServerFacts, topology: RedisTopology): Finding[] {
  const findings: Finding[] = [];
  if (!server.isLastSaveOk)
    findings.push({
      id: 'redis.writes',
      level: 'unsafe',
      title: `${server.address} could not write to its disk`,
      meaning: 'Redis refuses commits until it can, and every shard waits.',
      advice: 'Look into its log and at its disk; then BGSAVE or BGREWRITEAOF.',
      value: false,
    });
  if (topology.kind !== 'single' && server.config?.minReplicasToWrite === 0)
    findings.push({
      id: 'redis.min-replicas',
      level: 'note',
      title: `${server.address} takes writes without a replica: min-replicas-to-write 0`,
      meaning: `A master that is cut off goes on for some seconds, and a failover forgets what it took. ${REBUILT}`,
      advice: 'Leave it, or min-replicas-to-write 1, which stops a master that has lost its replica.',
      value: 0,
    });
  return findings;
}

function judgePing({ address, pingMs }: RedisServerFacts): Finding {
  const id = 'redis.ping';
  const value = Number(pingMs.toFixed(1));
  if (pingMs <= PING_SLOW_MS) return ok(id, value, `${address} answers in ${value} ms`);
  return {
    id,
    level: 'note',
    title: `${address} answers in ${value} ms`,
    meaning: 'Each batch of each shard waits so long for its commit; it was one look only.',
    advice: 'Look again; if it stays, put Redis nearer to the session-actors.',
    value,
  };
}
