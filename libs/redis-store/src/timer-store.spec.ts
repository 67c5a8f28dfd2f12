import { startTestRedis, type TestRedis } from '@flexpush/testkit';
import { keys } from './keys';
import { connectRedis, type RedisConnection } from './redis';
import { StateStore } from './state-store';
import { TimerStore } from './timer-store';

const NOW_MS = 1_763_856_000_123;
const CLAIM = { nowMs: NOW_MS, visibilityMs: 30_000, limit: 100 };

describe('TimerStore', () => {
  let server: TestRedis;
  let redis: RedisConnection;
  let timers: TimerStore;
  let shard = 0;

  beforeAll(async () => {
    server = await startTestRedis();
    redis = connectRedis({ url: server.socketPath });
    timers = new TimerStore(redis);
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });
  // Each test has a shard of its own, so that none sees what another left.
  beforeEach(() => {
    shard += 1;
  });

  async function arm(due: Record<string, number>): Promise<void> {
    await redis.zadd(
      keys.timers(shard),
      ...Object.entries(due).flatMap(([member, dueAtMs]) => [dueAtMs, member]),
    );
  }

  async function scores(): Promise<Record<string, number>> {
    const flat = await redis.zrange(keys.timers(shard), 0, -1, 'WITHSCORES');
    const found: Record<string, number> = {};
    for (let i = 0; i < flat.length; i += 2) found[flat[i] as string] = Number(flat[i + 1]);
    return found;
  }

  it('finds nothing in a shard without timers', async () => {
    expect(await timers.claimDue(shard, CLAIM)).toEqual({
      kind: 'claimed',
      timers: [],
      nextDueAtMs: undefined,
    });
  });

  it('claims nothing before the shard is folded to a place that is named', async () => {
    await arm({ 'resend:s1:u1': NOW_MS });
    await redis.set(keys.checkpoint(shard), '2026-11-27T00:00:00Z|41|1790000000000|1790000000000|a.1.7');
    expect(await timers.claimDue(shard, { ...CLAIM, foldedTo: 42 })).toEqual({ kind: 'behind' });
    expect(await scores()).toEqual({ 'resend:s1:u1': NOW_MS });
    expect(await timers.claimDue(shard, { ...CLAIM, foldedTo: 41 })).toMatchObject({ kind: 'claimed' });
  });

  it('asks for no place where there is no checkpoint, or none that can be read', async () => {
    for (const checkpoint of ['', 'rubbish', 'a|b|c']) {
      await arm({ 'resend:s1:u1': NOW_MS });
      await redis.set(keys.checkpoint(shard), checkpoint);
      const claim = await timers.claimDue(shard, { ...CLAIM, foldedTo: 42 });
      expect(claim).toMatchObject({ kind: 'claimed', timers: [['resend:s1:u1', NOW_MS]] });
    }
  });

  it('claims what is due, the earliest first, with the score it had, and says when the next is due', async () => {
    await arm({
      'resend:s1:u1': NOW_MS - 1,
      'ping:s2:u1': NOW_MS - 60_000,
      'purge:s3:': NOW_MS,
      'resend:s4:u1': NOW_MS + 1,
    });
    expect(await timers.claimDue(shard, CLAIM)).toEqual({
      kind: 'claimed',
      timers: [
        ['ping:s2:u1', NOW_MS - 60_000],
        ['resend:s1:u1', NOW_MS - 1],
        ['purge:s3:', NOW_MS],
      ],
      nextDueAtMs: NOW_MS + 1,
    });
  });

  it('moves claimed timers behind the visibility time and removes none', async () => {
    await arm({ 'resend:s1:u1': NOW_MS - 1, 'resend:s2:u1': NOW_MS + 50_000 });
    const first = await timers.claimDue(shard, CLAIM);
    expect(first).toMatchObject({ nextDueAtMs: NOW_MS + 30_000 });
    expect(await scores()).toEqual({ 'resend:s1:u1': NOW_MS + 30_000, 'resend:s2:u1': NOW_MS + 50_000 });
    // Until the visibility time is over a second claim finds nothing; then the same timer comes again.
    expect(await timers.claimDue(shard, { ...CLAIM, nowMs: NOW_MS + 29_999 })).toMatchObject({ timers: [] });
    expect(await timers.claimDue(shard, { ...CLAIM, nowMs: NOW_MS + 30_000 })).toMatchObject({
      timers: [['resend:s1:u1', NOW_MS + 30_000]],
    });
  });

  it('claims at most the limit and says that more is due', async () => {
    const due = Object.fromEntries(
      Array.from({ length: 250 }, (_, i) => [`resend:s${i}:u`, NOW_MS - 1_000 + i]),
    );
    await arm(due);
    const sizes: number[] = [];
    const claimed: [string, number][] = [];
    for (let round = 0; round < 4; round++) {
      const claim = await timers.claimDue(shard, CLAIM);
      if (claim.kind !== 'claimed') throw new Error('held');
      sizes.push(claim.timers.length);
      claimed.push(...claim.timers);
      if (round === 0) expect(claim.nextDueAtMs).toBe(NOW_MS - 900);
    }
    expect(sizes).toEqual([100, 100, 50, 0]);
    expect(Object.fromEntries(claimed)).toEqual(due);
  });

  it('gives each timer to one of two services that claim at the same time', async () => {
    await arm(Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`resend:s${i}:u`, NOW_MS - 1])));
    const other = connectRedis({ url: server.socketPath });
    const claims = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        new TimerStore(i % 2 === 0 ? redis : other).claimDue(shard, { ...CLAIM, limit: 60 }),
      ),
    );
    other.disconnect();
    const members = claims.flatMap((claim) =>
      claim.kind === 'claimed' ? claim.timers.map(([member]) => member) : [],
    );
    expect(members).toHaveLength(400);
    expect(new Set(members).size).toBe(400);
  });

  it('claims nothing while the owner catches up, and goes on behind it', async () => {
    const store = new StateStore(redis);
    await arm({ 'resend:s1:u1': NOW_MS - 1 });
    await store.hold(shard, true);
    expect(await timers.claimDue(shard, CLAIM)).toEqual({ kind: 'held' });
    expect(await scores()).toEqual({ 'resend:s1:u1': NOW_MS - 1 });
    await store.hold(shard, false);
    expect(await timers.claimDue(shard, CLAIM)).toMatchObject({ timers: [['resend:s1:u1', NOW_MS - 1]] });
  });
});
