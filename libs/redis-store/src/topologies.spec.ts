import {
  redisCommand,
  startTestRedisGroup,
  type RedisGroup,
  type RedisServer,
  type TestGroup,
} from '@flexpush/testkit';
import { keys } from './keys';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore, type Commit } from './state-store';
import { TimerStore } from './timer-store';

const SHARDS = Array.from({ length: 16 }, (_, shard) => shard);

function commit(from: number, to: number): Commit {
  return {
    expectedCheckpoint: from === 0 ? '' : `c${from}`,
    checkpoint: `c${to}`,
    options: '{"revision":1}',
    sessions: [
      { sessionId: 's', state: `state ${to}`, events: [[to, `event ${to}`]] },
      { sessionId: 't', state: `state ${to}`, events: [] },
    ],
    timers: [['resend:s:u', to]],
    outbox: [['s:u', `job ${to}`]],
    snapshots: [['s', to]],
  };
}

const POLL_MS = 50;
const WAIT_MS = 20_000;
/** Each has its own moment at which the failover finds it. */
const CLIENTS = 16;

/** Resolves when the condition holds; one that throws does not hold yet. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > endMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const ask = async ({ port }: RedisServer, ...words: string[]) => String(await redisCommand(port, ...words));

/** How much of the replication stream a server has written or taken. */
async function offsetOf(server: RedisServer): Promise<string | undefined> {
  return /master_repl_offset:(\d+)/.exec(await ask(server, 'INFO', 'replication'))?.[1];
}

describe('a Redis of several servers', () => {
  let servers: TestGroup<RedisGroup>;
  let clients: RedisConnection[];
  let store: StateStore;

  async function open(topology: 'sentinel' | 'cluster', count = 1): Promise<void> {
    servers = await startTestRedisGroup(topology);
    clients = Array.from({ length: count }, () => connectRedis({ url: servers.url }));
    store = new StateStore(clients[0] as RedisConnection);
    await until('connected', async () => clients.every(({ status }) => status === 'ready'));
  }
  afterEach(async () => {
    for (const client of clients) client.disconnect();
    await servers.stop();
  });

  it('Sentinel: everyone finds the new master, and sees that it lacks the last writes', async () => {
    await open('sentinel', CLIENTS);
    const [master, replica] = servers.group.servers as [RedisServer, RedisServer];
    expect(await store.commit(1, commit(0, 1))).toBe('saved');
    await until('the replica has it', async () => (await ask(replica, 'GET', keys.checkpoint(1))) === 'c1');
    // The replica is cut off and cannot come back: what is acknowledged now is lost with the master.
    await ask(master, 'CONFIG', 'SET', 'requirepass', 'unknown-to-the-replica');
    await ask(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
    await ask(replica, 'CLIENT', 'KILL', 'TYPE', 'master');
    expect(await store.commit(1, commit(1, 2))).toBe('saved');
    await master.kill();
    // This commit is called while there is no master, and answered by the next one.
    expect(await store.commit(1, commit(2, 3))).toBe('conflict');
    expect(await store.checkpoints([1])).toEqual(['c1']);
    expect(await store.commit(1, commit(1, 4))).toBe('saved');
    expect(await ask(replica, 'GET', keys.checkpoint(1))).toBe('c4');
    const seen = clients.map((client) => new StateStore(client).checkpoints([1]));
    expect(await Promise.all(seen)).toEqual(clients.map(() => ['c4']));
  }, 60_000);

  it('Cluster: keeps every shard whole, wherever it lies, and goes on when a master dies', async () => {
    await open('cluster');
    for (const shard of SHARDS) expect(await store.commit(shard, commit(0, 1))).toBe('saved');
    for (const shard of SHARDS) expect(await store.commit(shard, commit(0, 9))).toBe('conflict');
    expect(await store.checkpoints(SHARDS)).toEqual(SHARDS.map(() => 'c1'));
    expect(await store.loadSessions(3, ['s', 'unknown', 't'])).toEqual(['state 1', null, 'state 1']);
    expect(await store.loadTranscript(3, 's', { first: 1, last: 1 })).toEqual(['event 1']);
    const timers = new TimerStore(clients[0] as RedisConnection);
    const claim = await timers.claimDue(3, { nowMs: 5, visibilityMs: 1_000, limit: 10 });
    expect(claim).toMatchObject({ timers: [['resend:s:u', 1]] });
    const masters = await servers.group.masters();
    const used = await Promise.all(masters.map((server) => ask(server, 'DBSIZE')));
    expect(used.map((size) => Number(size) > 0)).toEqual([true, true, true]);
    const [first, replica] = [servers.group.servers[0], servers.group.servers[3]] as [
      RedisServer,
      RedisServer,
    ];
    await until('the replica has it all', async () => (await offsetOf(replica)) === (await offsetOf(first)));
    await first.kill();
    await until('the replica takes over', async () => (await ask(replica, 'ROLE')).startsWith('master'));
    for (const shard of SHARDS) expect(await store.commit(shard, commit(1, 2))).toBe('saved');
    expect(await store.checkpoints(SHARDS)).toEqual(SHARDS.map(() => 'c2'));
  }, 60_000);
});
