import { keys } from './keys';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore, type Commit } from './state-store';
import { TimerStore } from './timer-store';
import { RedisServers, startCluster, startSentinels, until } from './topologies.fixture';

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

/** How much of the replication stream a server has written or taken. */
function offsetOf(info: string): string | undefined {
  return /master_repl_offset:(\d+)/.exec(info)?.[1];
}

describe('a Redis of several servers', () => {
  let servers: RedisServers;
  let redis: RedisConnection;
  let store: StateStore;

  async function open(url: string): Promise<void> {
    redis = connectRedis({ url });
    store = new StateStore(redis);
    await until('connected', async () => redis.status === 'ready');
  }
  beforeEach(() => {
    servers = new RedisServers();
  });
  afterEach(async () => {
    redis.disconnect();
    await servers.stop();
  });

  it('Sentinel: finds the new master by itself, and sees that it lacks the last writes', async () => {
    const { url, master, replica } = await startSentinels(servers);
    await open(url);
    expect(await store.commit(1, commit(0, 1))).toBe('saved');
    await until(
      'the replica has it',
      async () => (await servers.client(replica).get(keys.checkpoint(1))) === 'c1',
    );
    // The replica is cut off and cannot come back: what is acknowledged now is lost with the master.
    await servers.client(master).config('SET', 'requirepass', 'unknown to the replica');
    await servers.client(master).call('CLIENT', 'KILL', 'TYPE', 'replica');
    expect(await store.commit(1, commit(1, 2))).toBe('saved');
    servers.kill(master);
    // This commit is called while there is no master, and answered by the next one.
    expect(await store.commit(1, commit(2, 3))).toBe('conflict');
    expect(await store.checkpoints([1])).toEqual(['c1']);
    expect(await store.commit(1, commit(1, 4))).toBe('saved');
    expect(await servers.client(replica).get(keys.checkpoint(1))).toBe('c4');
  }, 60_000);

  it('Cluster: keeps every shard whole, wherever it lies, and goes on when a master dies', async () => {
    const { url, masters, replica } = await startCluster(servers);
    await open(url);
    for (const shard of SHARDS) expect(await store.commit(shard, commit(0, 1))).toBe('saved');
    for (const shard of SHARDS) expect(await store.commit(shard, commit(0, 9))).toBe('conflict');
    expect(await store.checkpoints(SHARDS)).toEqual(SHARDS.map(() => 'c1'));
    expect(await store.loadSessions(3, ['s', 'unknown', 't'])).toEqual(['state 1', null, 'state 1']);
    expect(await store.loadTranscript(3, 's', { first: 1, last: 1 })).toEqual(['event 1']);
    const claim = await new TimerStore(redis).claimDue(3, { nowMs: 5, visibilityMs: 1_000, limit: 10 });
    expect(claim).toMatchObject({ timers: [['resend:s:u', 1]] });
    const used = await Promise.all(masters.map((port) => servers.client(port).dbsize()));
    expect(used.every((size) => size > 0)).toBe(true);
    const first = servers.client(masters[0] as number);
    await until('the replica has it all', async () => {
      const [is, wants] = await Promise.all([servers.client(replica).info(), first.info()]);
      return offsetOf(is) === offsetOf(wants);
    });
    servers.kill(masters[0] as number);
    await until('the replica takes over', async () =>
      /role:master/.test(await servers.client(replica).info('replication')),
    );
    for (const shard of SHARDS) expect(await store.commit(shard, commit(1, 2))).toBe('saved');
    expect(await store.checkpoints(SHARDS)).toEqual(SHARDS.map(() => 'c2'));
  }, 60_000);
});
