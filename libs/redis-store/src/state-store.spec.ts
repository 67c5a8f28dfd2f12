import { startTestRedis, type TestRedis } from '@flexpush/testkit';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keys } from './keys';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore, type Commit } from './state-store';

const NOTHING: Commit = {
  expectedCheckpoint: '',
  checkpoint: '',
  options: '',
  sessions: [],
  timers: [],
  outbox: [],
  snapshots: [],
};

function commitOf(fields: Partial<Commit>): Commit {
  return { ...NOTHING, ...fields };
}

describe('StateStore', () => {
  let server: TestRedis;
  let redis: RedisConnection;
  let store: StateStore;
  let shard = 0;

  beforeAll(async () => {
    server = await startTestRedis();
    redis = connectRedis({ url: server.socketPath });
    store = new StateStore(redis);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });
  // Each test has a shard of its own, so that none sees what another left.
  beforeEach(() => {
    shard += 1;
  });

  /** Everything that Redis holds of the shard. */
  async function dump(): Promise<Record<string, unknown>> {
    const found: Record<string, unknown> = {};
    for (const key of (await redis.keys(`{s${shard}}:*`)).sort()) {
      const type = await redis.type(key);
      if (type === 'string') found[key] = await redis.get(key);
      else if (type === 'hash') found[key] = await redis.hgetall(key);
      else found[key] = await redis.zrange(key, 0, -1, 'WITHSCORES');
    }
    return found;
  }

  const first = commitOf({
    checkpoint: 'c1:batch-1',
    options: '{"a":"1"}',
    sessions: [
      {
        sessionId: 's-1',
        state: '{"open":true}',
        events: [
          [1, '{"text":"one"}'],
          [2, '{"text":"zwei €"}'],
        ],
      },
      { sessionId: 's-2', state: '{"open":false}', events: [] },
    ],
    timers: [
      ['resend:s-1:u', 1_763_856_000_123],
      ['purge:s-2:', 1_763_856_000_001],
    ],
    outbox: [['s-1:u', '{"n":1}']],
  });

  it('knows nothing of a shard that was never committed', async () => {
    expect(await store.loadShard(shard)).toEqual({ checkpoint: '', options: '', outbox: {} });
    expect(await store.loadSessions(shard, ['s-1'])).toEqual([null]);
    expect(await store.loadTranscript(shard, 's-1', { first: 1, last: 2 })).toEqual([null, null]);
    expect(await store.checkpoints([shard])).toEqual(['']);
  });

  it('writes every kind of state and reads it back', async () => {
    expect(await store.commit(shard, first)).toBe('saved');
    expect(await store.loadShard(shard)).toEqual({
      checkpoint: 'c1:batch-1',
      options: '{"a":"1"}',
      outbox: { 's-1:u': '{"n":1}' },
    });
    expect(await store.loadSessions(shard, ['s-2', 'none', 's-1'])).toEqual([
      '{"open":false}',
      null,
      '{"open":true}',
    ]);
    expect(await store.loadTranscript(shard, 's-1', { first: 1, last: 3 })).toEqual([
      '{"text":"one"}',
      '{"text":"zwei €"}',
      null,
    ]);
    expect(await redis.zrange(keys.timers(shard), 0, -1, 'WITHSCORES')).toEqual([
      'purge:s-2:',
      '1763856000001',
      'resend:s-1:u',
      '1763856000123',
    ]);
  });

  it('reads no transcript for an empty range and no state for no session', async () => {
    expect(await store.loadTranscript(shard, 's-1', { first: 2, last: 1 })).toEqual([]);
    expect(await store.loadSessions(shard, [])).toEqual([]);
  });

  it('takes the same batch again without effect', async () => {
    await store.commit(shard, first);
    const before = await dump();
    expect(await store.commit(shard, first)).toBe('saved');
    expect(await dump()).toEqual(before);
  });

  it('does not let a late repeat of a batch undo what a later batch wrote', async () => {
    await store.commit(shard, first);
    const second = commitOf({
      expectedCheckpoint: 'c1:batch-1',
      checkpoint: 'c2:batch-2',
      sessions: [{ sessionId: 's-1', state: '{"open":false}', events: [[3, '{"text":"three"}']] }],
      timers: [['resend:s-1:u', undefined]],
      outbox: [['s-1:u', undefined]],
    });
    expect(await store.commit(shard, second)).toBe('saved');
    const before = await dump();
    expect(await store.commit(shard, first)).toBe('conflict');
    expect(await dump()).toEqual(before);
    expect(before[keys.timers(shard)]).toEqual(['purge:s-2:', '1763856000001']);
    expect(before[keys.outbox(shard)]).toBeUndefined();
    expect(before[keys.options(shard)]).toBe('{"a":"1"}');
  });

  it.each([
    { name: 'another owner has gone on', expectedCheckpoint: 'c0:batch-0' },
    { name: 'the owner believes that nothing is stored', expectedCheckpoint: '' },
  ])('writes nothing when $name', async ({ expectedCheckpoint }) => {
    await store.commit(shard, first);
    const before = await dump();
    const answer = await store.commit(
      shard,
      commitOf({
        expectedCheckpoint,
        checkpoint: 'c9:batch-9',
        options: '{}',
        sessions: [{ sessionId: 's-1', state: 'stale', events: [[1, 'stale']] }],
        timers: [['resend:s-1:u', 1]],
        outbox: [['s-1:u', 'stale']],
      }),
    );
    expect(answer).toBe('conflict');
    expect(await dump()).toEqual(before);
  });

  it('keeps when a session was last written beside the log, and forgets it with the session', async () => {
    await store.commit(
      shard,
      commitOf({
        checkpoint: 'c1',
        snapshots: [
          ['s-1', 100],
          ['s-2', 200],
          ['s-3', 300],
        ],
      }),
    );
    expect(await store.oldestSnapshots(shard, { beforeMs: 300, limit: 10 })).toEqual(['s-1', 's-2']);
    expect(await store.oldestSnapshots(shard, { beforeMs: 1_000, limit: 1 })).toEqual(['s-1']);
    await store.commit(
      shard,
      commitOf({ expectedCheckpoint: 'c1', checkpoint: 'c2', snapshots: [['s-1', undefined]] }),
    );
    // s-1 was purged meanwhile and stays gone.
    await store.noteSnapshots(shard, [
      ['s-1', 900],
      ['s-2', 900],
    ]);
    expect(await store.oldestSnapshots(shard, { beforeMs: 1_000, limit: 10 })).toEqual(['s-3', 's-2']);
  });

  it('writes nothing when the stored state is gone', async () => {
    const answer = await store.commit(
      shard,
      commitOf({ ...first, expectedCheckpoint: 'c1:batch-1', checkpoint: 'c2:batch-2' }),
    );
    expect(answer).toBe('conflict');
    expect(await dump()).toEqual({});
  });

  it('lets one of two owners commit a stretch', async () => {
    const other = connectRedis({ url: server.socketPath });
    for (let round = 0; round < 50; round++) {
      const expectedCheckpoint = round === 0 ? '' : (await store.checkpoints([shard]))[0];
      const answers = await Promise.all(
        [store, new StateStore(other)].map((owner, i) =>
          owner.commit(shard, commitOf({ expectedCheckpoint, checkpoint: `c${round}:owner-${i}` })),
        ),
      );
      expect([...answers].sort()).toEqual(['conflict', 'saved']);
      expect(await store.checkpoints([shard])).toEqual([`c${round}:owner-${answers.indexOf('saved')}`]);
    }
    other.disconnect();
  });

  it('deletes a session together with its transcript and no other', async () => {
    await store.commit(shard, first);
    await store.commit(
      shard,
      commitOf({
        expectedCheckpoint: 'c1:batch-1',
        checkpoint: 'c2:batch-2',
        sessions: [{ sessionId: 's-1', state: '', events: [] }],
      }),
    );
    expect(await redis.exists(keys.session(shard, 's-1'), keys.transcript(shard, 's-1'))).toBe(0);
    expect(await store.loadSessions(shard, ['s-2'])).toEqual(['{"open":false}']);
  });

  it('keeps shards apart', async () => {
    const other = shard + 1_000;
    await store.commit(shard, first);
    await store.commit(other, { ...first, checkpoint: 'other' });
    expect(await store.checkpoints([other, shard, 999_999])).toEqual(['other', 'c1:batch-1', '']);
  });

  it('shows from outside where shards stand: checkpoint, hold, and how far a catch-up has come', async () => {
    await store.commit(shard, first);
    expect(await store.standings([shard, 999_999])).toEqual([
      { checkpoint: 'c1:batch-1', isHeld: false },
      { checkpoint: '', isHeld: false },
    ]);
    await store.hold(shard, true);
    expect(await store.standings([shard])).toEqual([{ checkpoint: 'c1:batch-1', isHeld: true }]);
    await store.hold(shard, true, { term: 12, step: 3 });
    expect(await store.standings([shard])).toEqual([
      { checkpoint: 'c1:batch-1', isHeld: true, at: { term: 12, step: 3 } },
    ]);
    await store.hold(shard, false);
    expect((await store.standings([shard]))[0]?.isHeld).toBe(false);
  });

  it('tells the earliest timer of a shard, and how each timer is stored', async () => {
    const timers: [string, number][] = [
      ['ping:a:u', 1_790_000_000_500],
      ['resend:a:u', 1_790_000_000_250],
    ];
    await store.commit(shard, commitOf({ checkpoint: 'one', timers }));
    expect(await store.firstTimers([shard, 999_999])).toEqual([1_790_000_000_250, undefined]);
    expect(await store.timerScores(shard, ['ping:a:u', 'ping:b:u', 'resend:a:u'])).toEqual([
      1_790_000_000_500,
      undefined,
      1_790_000_000_250,
    ]);
    expect(await store.timerScores(shard, [])).toEqual([]);
  });

  it('tells every session of a shard, some at a time, while others come and go', async () => {
    const snapshots = Array.from({ length: 500 }, (_, i): [string, number] => [`s-${i}`, i]);
    await store.commit(shard, commitOf({ checkpoint: 'one', snapshots }));
    const seen = new Set<string>();
    let cursor = '';
    let calls = 0;
    do {
      const some = await store.someSessions(shard, { cursor, limit: 50 });
      for (const sessionId of some.sessionIds) seen.add(sessionId);
      cursor = some.cursor;
      const stored = calls++ === 0 ? 'one' : `more-${calls - 1}`;
      await store.commit(shard, {
        ...NOTHING,
        expectedCheckpoint: stored,
        checkpoint: `more-${calls}`,
        snapshots: [
          [`new-${calls}`, 1],
          [`s-${calls}`, undefined],
        ],
      });
    } while (cursor !== '');
    expect(calls).toBeGreaterThan(2);
    const lasting = snapshots.map(([id]) => id).filter((_, i) => i === 0 || i > calls);
    expect(lasting.filter((id) => !seen.has(id))).toEqual([]);
  });

  it('finds out whether a shard takes writes', async () => {
    await store.probeWrite(shard);
    expect(await redis.pttl(keys.writeProbe(shard))).toBeGreaterThan(0);
    await redis.config('SET', 'min-replicas-to-write', '1');
    try {
      await expect(store.probeWrite(shard)).rejects.toThrow('NOREPLICAS');
      expect((await store.standings([shard]))[0]?.isHeld).toBe(false);
    } finally {
      await redis.config('SET', 'min-replicas-to-write', '0');
    }
  });

  it('takes a batch of a thousand sessions with a hundred thousand events, timers and jobs', async () => {
    const sessions = Array.from({ length: 1_000 }, (_, s) => ({
      sessionId: `s-${s}`,
      state: JSON.stringify({ s }),
      events: Array.from({ length: 100 }, (__, e): [number, string] => [e + 1, `event ${e}`]),
    }));
    const timers = sessions.map(({ sessionId }, i): [string, number] => [`resend:${sessionId}:u`, i]);
    const outbox = sessions.map(({ sessionId }): [string, string] => [`${sessionId}:u`, 'job']);
    expect(await store.commit(shard, commitOf({ checkpoint: 'big', sessions, timers, outbox }))).toBe(
      'saved',
    );
    expect(await redis.zcard(keys.timers(shard))).toBe(1_000);
    expect(Object.keys((await store.loadShard(shard)).outbox)).toHaveLength(1_000);
    const states = await store.loadSessions(
      shard,
      sessions.map(({ sessionId }) => sessionId),
    );
    expect(states).toEqual(sessions.map(({ state }) => state));
    expect(await redis.hlen(keys.transcript(shard, 's-999'))).toBe(100);
  });
});

describe('Lua scripts', () => {
  const folder = join(__dirname, '..', 'lua');
  it.each(readdirSync(folder))('%s is short and says its keys, arguments and answer', (file) => {
    const lines = readFileSync(join(folder, file), 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(40);
    const header = lines.filter((line) => line.startsWith('--')).join('\n');
    for (const part of ['KEYS[1]', 'ARGV[1]', 'Returns']) expect(header).toContain(part);
  });
});
