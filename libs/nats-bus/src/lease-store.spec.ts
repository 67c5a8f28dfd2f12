import { LEASE_BUCKET } from '@flexpush/contracts';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { connectBus, type NatsBus } from './bus';
import { LeaseStore, type LeaseEntry } from './lease-store';
import { ensureStreams } from './streams';

const A = { owner: 'actor-a', incarnation: 'a1' };
const B = { owner: 'actor-b', incarnation: 'b1' };

describe('LeaseStore', () => {
  let nats: TestNats;
  let buses: NatsBus[];
  let a: LeaseStore;
  let b: LeaseStore;
  let shard = 0;

  beforeAll(async () => {
    nats = await startTestNats();
    buses = await Promise.all(['a', 'b'].map((name) => connectBus({ url: nats.url, name })));
    await ensureStreams(buses[0] as NatsBus, {
      shardCount: 64,
      replicas: 1,
      logBytesMax: 1e7,
      logAgeMaxMs: 3_600_000,
    });
    a = await LeaseStore.open(buses[0] as NatsBus);
    b = await LeaseStore.open(buses[1] as NatsBus);
  });
  afterAll(async () => {
    await Promise.all(buses.map((bus) => bus.close()));
    await nats.stop();
  });
  beforeEach(() => {
    shard += 1;
  });

  async function take(store: LeaseStore, lease: typeof A, expectedTerm: number): Promise<number> {
    const result = await store.take(shard, lease, expectedTerm);
    if (result.kind !== 'taken') throw new Error('the lease was not taken');
    return result.term;
  }

  it('shows a lease that was never taken as free, at term 0', async () => {
    expect(await a.read(shard)).toEqual({ term: 0 });
  });

  it('is taken once and shows its owner to others', async () => {
    const term = await take(a, A, 0);
    expect(term).toBeGreaterThan(0);
    expect(await b.read(shard)).toEqual({ lease: A, term });
    expect(await b.take(shard, B, 0)).toEqual({ kind: 'conflict' });
    expect(await b.read(shard)).toEqual({ lease: A, term });
  });

  it('is taken by exactly one of two contenders, and terms only grow', async () => {
    let term = 0;
    for (let round = 0; round < 50; round++) {
      const results = await Promise.all([a.take(shard, A, term), b.take(shard, B, term)]);
      const taken = results.filter((result) => result.kind === 'taken');
      expect(taken).toHaveLength(1);
      const winner = results[0]?.kind === 'taken' ? A : B;
      const next = (taken[0] as { term: number }).term;
      expect(next).toBeGreaterThan(term);
      expect(await a.read(shard)).toEqual({ lease: winner, term: next });
      term = next;
    }
  });

  it('is taken by force from a dead owner, who can neither take nor release it afterwards', async () => {
    const old = await take(a, A, 0);
    const term = await take(b, B, old);
    expect(term).toBeGreaterThan(old);
    expect(await a.release(shard, old)).toEqual({ kind: 'conflict' });
    expect(await a.take(shard, A, old)).toEqual({ kind: 'conflict' });
    expect(await a.read(shard)).toEqual({ lease: B, term });
  });

  it('is free after its release, at a higher term', async () => {
    const held = await take(a, A, 0);
    const released = await a.release(shard, held);
    expect(released.kind).toBe('taken');
    const seen = await b.read(shard);
    expect(seen.lease).toBeUndefined();
    expect(seen.term).toBeGreaterThan(held);
    expect(await take(b, B, seen.term)).toBeGreaterThan(seen.term);
  });

  it('says who is left out of the shard, also when it is given back', async () => {
    const leftOut = [{ ...B, term: 7, times: 2 }];
    const taken = await a.take(shard, { ...A, leftOut }, 0);
    if (taken.kind !== 'taken') throw new Error('the lease was not taken');
    expect(await b.read(shard)).toEqual({ lease: A, term: taken.term, leftOut });
    await a.release(shard, taken.term, leftOut);
    const seen = await b.read(shard);
    expect([seen.lease, seen.leftOut]).toEqual([undefined, leftOut]);
    await take(b, B, seen.term);
    expect((await a.read(shard)).leftOut).toBeUndefined();
  });

  it.each([
    { name: 'deleted', write: (kv: { delete(key: string): Promise<void> }, key: string) => kv.delete(key) },
    {
      name: 'no lease at all',
      write: async (kv: { put(key: string, text: string): Promise<number> }, key: string) => {
        await kv.put(key, '{"owner":');
      },
    },
  ])('counts as free when its entry is $name, and can be taken', async ({ write }) => {
    await take(a, A, 0);
    const kv = await (buses[0] as NatsBus).connection.jetstream().views.kv(LEASE_BUCKET, { bindOnly: true });
    await write(kv, `shard.${shard}`);
    const seen = await b.read(shard);
    expect(seen.lease).toBeUndefined();
    expect(await take(b, B, seen.term)).toBeGreaterThan(seen.term);
  });

  it('tells every lease as it stands and then each change, after a crash of the server too', async () => {
    const held = await take(a, A, 0);
    const told = new Map<number, LeaseEntry>();
    let changed: () => void = () => undefined;
    const stop = await b.watch((of, entry) => {
      told.set(of, entry);
      changed();
    });
    expect(told.get(shard)).toEqual({ lease: A, term: held });
    const released = new Promise<void>((resolve) => (changed = resolve));
    const free = await a.release(shard, held);
    await released;
    expect(told.get(shard)).toEqual({ term: free.kind === 'taken' && free.term });
    await nats.server.kill();
    await nats.server.start();
    const startedAtMs = performance.now();
    await readAgain(a);
    const taken = new Promise<void>((resolve) => {
      changed = () => told.get(shard)?.lease && resolve();
    });
    const term = await take(a, B, (await a.read(shard)).term);
    await taken;
    expect(told.get(shard)).toEqual({ lease: B, term });
    // The client alone would need 15 s to see that its watch is lost.
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    stop();
  });

  describe('after the bucket was lost', () => {
    const settings = { shardCount: 64, replicas: 1, logBytesMax: 1e7, logAgeMaxMs: 3_600_000 };
    async function loseBucket(): Promise<void> {
      const bus = buses[0] as NatsBus;
      await (await bus.connection.jetstreamManager()).streams.delete(`KV_${LEASE_BUCKET}`);
      await ensureStreams(bus, settings);
    }

    it('a process that knows nothing of it takes a higher term than any before (I3)', async () => {
      const before = await take(a, A, 0);
      await loseBucket();
      const newcomer = await LeaseStore.open(buses[1] as NatsBus);
      expect(await newcomer.read(shard)).toEqual({ term: 0 });
      const after = await take(newcomer, B, 0);
      expect(after).toBeGreaterThan(before);
      // The owner from before the loss has nothing to hold on to.
      expect(await a.release(shard, before)).toEqual({ kind: 'conflict' });
      expect(await a.take(shard, A, before)).toEqual({ kind: 'conflict' });
    });

    it('terms grow also where the clock is behind, from the term that a node has told', async () => {
      const before = await take(a, A, 0);
      await loseBucket();
      const behind = await LeaseStore.open(buses[1] as NatsBus, () => Date.now() - 3_600_000);
      const low = await take(behind, B, 0);
      expect(low).toBeLessThan(before);
      behind.noteTerm(shard, before);
      expect(await take(behind, B, low)).toBeGreaterThan(before);
      // A term that no number can be above would end the shard for good.
      behind.noteTerm(shard, Number.MAX_SAFE_INTEGER);
      expect(await behind.read(shard)).toMatchObject({ lease: B });
      await take(behind, B, (await behind.read(shard)).term);
    });

    it('in a living bucket terms only grow, whatever the clocks say', async () => {
      const ahead = await LeaseStore.open(buses[1] as NatsBus, () => Date.now() + 3_600_000);
      const high = await take(ahead, B, 0);
      expect(await take(a, A, (await a.read(shard)).term)).toBe(high + 1);
    });

    it('the watch hears of it by itself and tells that the leases are gone', async () => {
      await take(a, A, 0);
      const completed: ReadonlyMap<number, LeaseEntry>[] = [];
      let completedAgain: () => void = () => undefined;
      const stop = await b.watch(
        () => undefined,
        (entries) => {
          completed.push(new Map(entries));
          if (completed.length > 1) completedAgain();
        },
      );
      expect(completed[0]?.has(shard)).toBe(true);
      const again = new Promise<void>((resolve) => (completedAgain = resolve));
      await loseBucket();
      await again;
      expect(completed[1]?.size).toBe(0);
      stop();
    });
  });

  it('keeps leases and terms through a crash of the server', async () => {
    const term = await take(a, A, 0);
    await nats.server.kill();
    await nats.server.start();
    await Promise.all(buses.map((bus) => bus.flush().catch(() => bus.flush())));
    expect(await readAgain(b)).toEqual({ lease: A, term });
  });

  /** JetStream answers a moment after the server does. */
  async function readAgain(store: LeaseStore): Promise<unknown> {
    for (let attempt = 0; attempt < 50; attempt++) {
      const entry = await store.read(shard).catch(() => undefined);
      if (entry) return entry;
    }
    throw new Error('no answer');
  }
});
