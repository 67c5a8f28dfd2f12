import { startTestRedis, type TestRedis } from '@flexpush/testkit';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore, type Commit } from './state-store';
import { TimerStore } from './timer-store';

const SHARDS = 6;
const COMMITS = 400;
const checkpointAt = (n: number) => (n === 0 ? '' : `${n}:batch-${n}`);

function commitNumber(n: number): Commit {
  return {
    expectedCheckpoint: checkpointAt(n - 1),
    checkpoint: checkpointAt(n),
    options: '',
    sessions: [{ sessionId: 's', state: String(n), events: [[n, `event ${n}`]] }],
    timers: [[`resend:s${n}:u`, n]],
    outbox: [
      [`s:${n}`, 'job'],
      [`s:${n - 1}`, undefined],
    ],
    snapshots: [['s', n]],
  };
}

describe('a Redis that dies and comes back', () => {
  let server: TestRedis;
  let redis: RedisConnection;
  let store: StateStore;

  beforeEach(async () => {
    server = await startTestRedis({ appendOnly: true });
    redis = connectRedis({ url: server.socketPath });
    store = new StateStore(redis);
  });
  afterEach(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function crash(): Promise<void> {
    await server.server.kill();
    await server.server.start();
  }

  /**
   * Commits 1..COMMITS one after the other, as an owner does. A conflict is right only when Redis shows an older
   * checkpoint, because its last second was lost; the owner then goes on from there.
   */
  async function own(shard: number, onSaved: (n: number) => void): Promise<void> {
    for (let n = 1; n <= COMMITS; n++) {
      if ((await store.commit(shard, commitNumber(n))) === 'saved') {
        onSaved(n);
        continue;
      }
      const found = Number((await store.checkpoints([shard]))[0]?.split(':')[0] || 0);
      expect(found).toBeLessThan(n - 1);
      n = found;
    }
  }

  it('has every commit of every shard once, when it is killed in the middle of them', async () => {
    let crashes: Promise<void> = Promise.resolve();
    const onSaved = (shard: number, n: number) => {
      if (shard === 0 && n % 100 === 50) crashes = crashes.then(crash);
    };
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    await Promise.all(shards.map((shard) => own(shard, (n) => onSaved(shard, n))));
    await crashes;
    const events = Array.from({ length: COMMITS }, (_, i) => `event ${i + 1}`);
    for (const shard of shards) {
      expect(await store.checkpoints([shard])).toEqual([checkpointAt(COMMITS)]);
      expect(await store.loadSessions(shard, ['s'])).toEqual([String(COMMITS)]);
      expect(await store.loadTranscript(shard, 's', { first: 1, last: COMMITS })).toEqual(events);
      expect((await store.loadShard(shard)).outbox).toEqual({ [`s:${COMMITS}`]: 'job' });
    }
  });

  it('takes a commit that was called while it was away', async () => {
    await server.server.kill();
    const saved = store.commit(1, commitNumber(1));
    await server.server.start();
    expect(await saved).toBe('saved');
    expect(await store.checkpoints([1])).toEqual([checkpointAt(1)]);
  });

  it('finds the scripts again after a restart that forgot them', async () => {
    // With everysec a write may still wait for a sync of the disk when the server is killed.
    await redis.config('SET', 'appendfsync', 'always');
    await store.commit(1, commitNumber(1));
    await redis.script('FLUSH');
    expect(await store.commit(1, commitNumber(2))).toBe('saved');
    await crash();
    expect(await store.commit(1, commitNumber(3))).toBe('saved');
    const claim = await new TimerStore(redis).claimDue(1, { nowMs: 2, visibilityMs: 10, limit: 10 });
    expect(claim).toMatchObject({
      timers: [
        ['resend:s1:u', 1],
        ['resend:s2:u', 2],
      ],
    });
  });

  it('answers conflict when its data is gone, and writes nothing', async () => {
    await store.commit(1, commitNumber(1));
    await server.server.kill();
    rmSync(join(dirname(server.socketPath), 'appendonlydir'), { recursive: true });
    await server.server.start();
    expect(await store.commit(1, commitNumber(2))).toBe('conflict');
    expect(await redis.dbsize()).toBe(0);
  });

  it('answers conflict when its data was wiped while it ran', async () => {
    await store.commit(1, commitNumber(1));
    await redis.flushall();
    expect(await store.commit(1, commitNumber(2))).toBe('conflict');
    expect(await redis.dbsize()).toBe(0);
  });

  it('reports that it is away and back', async () => {
    const seen: string[] = [];
    let back: () => void = () => undefined;
    const watched = connectRedis({
      url: `unix://${server.socketPath}`,
      onEvent: (event) => {
        seen.push(event);
        if (event === 'ready' && seen.includes('close')) back();
      },
    });
    await watched.ping();
    const again = new Promise<void>((resolve) => (back = resolve));
    await crash();
    await again;
    watched.disconnect();
    expect(seen[0]).toBe('ready');
    expect(seen).toContain('close');
  });
});
