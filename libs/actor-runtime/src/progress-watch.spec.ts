import { ownerOf } from '@flexpush/membership';
import fc from 'fast-check';
import { Cluster, HEARTBEAT_MS, STUCK_AFTER_MS, type ClusterNode, type Wedge } from './testing/cluster';
import { create, join, message, sessionIn, SHARDS } from './testing/records';

const ALL = Array.from({ length: SHARDS }, (_, shard) => shard);
/** From "a replacement begins" to "it has folded": calls over the network, and the steps in which a test looks. */
const REPLACED_WITHIN_MS = 200;
const SHARD = 1;
const CHAT = sessionIn(SHARD);

async function clusterOf(...nodeIds: string[]): Promise<Cluster> {
  const cluster = new Cluster();
  for (const nodeId of nodeIds) cluster.start(nodeId);
  cluster.publish(SHARD, create(CHAT));
  cluster.publish(SHARD, join(CHAT));
  await cluster.clock.advance(1_000);
  return cluster;
}

/** The nodes in the order in which they come for the shard. */
function inOrder(cluster: Cluster, shard = SHARD): ClusterNode[] {
  const order: ClusterNode[] = [];
  const left = [...cluster.nodes.keys()];
  while (left.length > 0) {
    const next = ownerOf(shard, left) as string;
    order.push(cluster.nodes.get(next) as ClusterNode);
    left.splice(left.indexOf(next), 1);
  }
  return order;
}

function texts(cluster: Cluster, shard = SHARD, chat = CHAT): unknown[] {
  return [...(cluster.store.shard(shard).transcripts.get(chat)?.values() ?? [])]
    .map((json) => (JSON.parse(json) as { text?: string }).text)
    .filter((text) => text !== undefined);
}

function holder(cluster: Cluster, shard = SHARD): string | undefined {
  return cluster.leases.now(shard).lease?.owner;
}

/** How long it takes until it holds, looked at every 10 ms. */
async function msUntil(cluster: Cluster, limitMs: number, holds: () => boolean): Promise<number> {
  for (let ms = 0; ms <= limitMs; ms += 10) {
    if (holds()) return ms;
    await cluster.clock.advance(10);
  }
  throw new Error(`not within ${limitMs} ms`);
}

function total(
  cluster: Cluster,
  counter: 'shardsRestarted' | 'shardsTakenFromStuck' | 'shardsGivenAway',
): number {
  return [...cluster.nodes.values()].reduce((sum, { meter }) => sum + (meter.counts[counter] ?? 0), 0);
}

/** How often the log is asked for the end of a shard from now on. */
function countsAsked({ log }: Cluster): { count: number } {
  const lastSeqOf = log.lastSeqOf.bind(log);
  const asked = { count: 0 };
  log.lastSeqOf = (shard) => {
    asked.count++;
    return lastSeqOf(shard);
  };
  return asked;
}

const WEDGES: Wedge[] = ['reader', 'commit-lost'];

describe('an owner that beats and does not fold', () => {
  it.each(WEDGES)('takes its shard anew and goes on, when that helps: %s', async (wedge) => {
    const cluster = await clusterOf('a', 'b', 'c');
    const [owner] = inOrder(cluster) as [ClusterNode];
    owner.wedge(SHARD, wedge, 'present');
    cluster.publish(SHARD, message(CHAT, 'one'));
    cluster.publish(SHARD, message(CHAT, 'two'));
    const tookMs = await msUntil(cluster, STUCK_AFTER_MS, () => texts(cluster).length === 2);
    expect(tookMs).toBeLessThan(STUCK_AFTER_MS);
    await cluster.clock.advance(20_000);
    expect(texts(cluster)).toEqual(['one', 'two']);
    expect(holder(cluster)).toBe(owner.nodeId);
    expect([total(cluster, 'shardsRestarted'), total(cluster, 'shardsTakenFromStuck')]).toEqual([1, 0]);
    expect(owner.logger.of('shard.no-progress')).toMatchObject([{ shard: SHARD, tries: 1 }]);
    for (const { progress, ownership } of cluster.nodes.values())
      expect([progress.health(), ownership.health()]).toEqual([true, true]);
  });

  it.each([...WEDGES, 'acquire' as const])(
    'is replaced within 3 s, when that does not help: %s',
    async (wedge) => {
      const cluster = await clusterOf('a', 'b', 'c');
      const [owner, next] = inOrder(cluster) as [ClusterNode, ClusterNode];
      owner.wedge(SHARD, wedge);
      // One that wedges as it acquires is met at its first acquisition.
      if (wedge === 'acquire') owner.ownership.depose(SHARD, 'checkpoint-differs');
      cluster.publish(SHARD, message(CHAT, 'one'));
      const takenMs = await msUntil(cluster, 2 * STUCK_AFTER_MS, () => holder(cluster) === next.nodeId);
      expect(takenMs).toBeLessThanOrEqual(STUCK_AFTER_MS);
      await cluster.clock.advance(REPLACED_WITHIN_MS);
      expect(texts(cluster)).toEqual(['one']);
      cluster.publish(SHARD, message(CHAT, 'two'));
      await cluster.clock.advance(REPLACED_WITHIN_MS);
      expect(texts(cluster)).toEqual(['one', 'two']);
      expect(next.logger.of('shard.taken-from-stuck-owner')).toMatchObject([
        { shard: SHARD, from: owner.nodeId },
      ]);
      expect(owner.ownership.health()).toMatch(
        /^shards lost for lack of progress, not taken again yet: 1 \(\d+ s\)$/,
      );
      expect(next.ownership.health()).toBe(true);
    },
  );

  it('says in /readyz which shard stands still, before anybody has acted', async () => {
    const cluster = await clusterOf('a');
    const [only] = inOrder(cluster) as [ClusterNode];
    only.wedge(SHARD, 'reader');
    cluster.publish(SHARD, message(CHAT));
    await cluster.clock.advance(STUCK_AFTER_MS);
    expect(only.progress.health()).toBe('shards without progress: 1 (taken anew 1 times)');
    expect(only.progress.stuckCount()).toBe(1);
  });

  it('is not given the shard again for a while, and is after that', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    const [owner, next] = inOrder(cluster) as [ClusterNode, ClusterNode];
    owner.wedge(SHARD, 'reader');
    cluster.publish(SHARD, message(CHAT, 'one'));
    await cluster.clock.advance(STUCK_AFTER_MS + 100);
    owner.wedge(SHARD, undefined);
    const { term } = cluster.leases.now(SHARD);
    // A node that starts meanwhile knows it too, from the lease.
    cluster.start('d');
    await cluster.clock.advance(40_000);
    expect(holder(cluster)).not.toBe(owner.nodeId);
    const others = ['a', 'b', 'c', 'd'].filter((id) => id !== owner.nodeId);
    expect(holder(cluster)).toBe(ownerOf(SHARD, others));
    // Given up once, to the node that has joined, if it comes before.
    expect(cluster.leases.now(SHARD).term - term).toBe(holder(cluster) === 'd' ? 2 : 0);
    await cluster.clock.advance(70_000);
    expect(holder(cluster)).toBe(ownerOf(SHARD, ['a', 'b', 'c', 'd']));
    expect(owner.ownership.health()).toBe(true);
    expect(next.ownership.actor(SHARD)).toBeUndefined();
  });

  it('lets out what a commit without an answer has made true, within 3 s and a little', async () => {
    const cluster = await clusterOf('a', 'b');
    const [owner] = inOrder(cluster) as [ClusterNode];
    await cluster.clock.advance(5_000);
    const before = cluster.gms.ids().length;
    owner.wedge(SHARD, 'commit-unanswered', 'present');
    cluster.publish(SHARD, message(CHAT, 'one'));
    // Seen twice a second apart, and a second for the actor to end.
    await msUntil(cluster, STUCK_AFTER_MS + 2 * REPLACED_WITHIN_MS, () => cluster.gms.ids().length > before);
    expect(texts(cluster)).toEqual(['one']);
    await cluster.clock.advance(5_000);
    expect(cluster.gms.ids().length).toBe(before + 1);
  });

  it('is given the shard again when it is started anew', async () => {
    const cluster = await clusterOf('a', 'b');
    const [owner, next] = inOrder(cluster) as [ClusterNode, ClusterNode];
    owner.wedge(SHARD, 'reader');
    cluster.publish(SHARD, message(CHAT, 'one'));
    await cluster.clock.advance(STUCK_AFTER_MS + 100);
    expect(holder(cluster)).toBe(next.nodeId);
    owner.crash();
    cluster.start(owner.nodeId);
    await cluster.clock.advance(2_000);
    expect(holder(cluster)).toBe(owner.nodeId);
  });

  it('keeps the shard when it is alone, and goes on when it can, having tried ever more seldom', async () => {
    const cluster = await clusterOf('a');
    const [only] = inOrder(cluster) as [ClusterNode];
    only.wedge(SHARD, 'reader');
    cluster.publish(SHARD, message(CHAT, 'one'));
    await cluster.clock.advance(60_000);
    // 1.5 s, 3 s, 6 s, 12 s, 24 s and the looks between.
    expect(total(cluster, 'shardsRestarted')).toBe(5);
    only.wedge(SHARD, undefined);
    await cluster.clock.advance(60_000);
    expect(texts(cluster)).toEqual(['one']);
    expect(only.progress.health()).toBe(true);
    expect(holder(cluster)).toBe('a');
  });

  it('gives the shard away when the one that follows does not look', async () => {
    const cluster = await clusterOf('a', 'b');
    const [owner, next] = inOrder(cluster) as [ClusterNode, ClusterNode];
    next.progress.stop();
    owner.wedge(SHARD, 'reader');
    cluster.publish(SHARD, message(CHAT, 'one'));
    await msUntil(cluster, 3 * STUCK_AFTER_MS, () => texts(cluster).length === 1);
    expect([holder(cluster), total(cluster, 'shardsGivenAway')]).toEqual([next.nodeId, 1]);
    await cluster.clock.advance(20_000);
    expect(holder(cluster)).toBe(next.nodeId);
  });

  it('nobody waits for its actor: a shard that moves elsewhere moves, and a node can leave', async () => {
    const cluster = await clusterOf('a', 'b');
    const [owner] = inOrder(cluster) as [ClusterNode];
    owner.progress.stop();
    owner.wedge(SHARD, 'commit-lost');
    cluster.publish(SHARD, message(CHAT, 'one'));
    await cluster.clock.advance(100);
    const left = owner.leave();
    await cluster.clock.advance(6_000);
    await left;
    expect(owner.logger.of('shard.abandoned')).toMatchObject([{ shard: SHARD }]);
    expect(texts(cluster)).toEqual(['one']);
  });
});

describe('a record that wedges every fold', () => {
  it('does not wander for ever, never leaves the shard without an owner, and ends when it can be folded', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    const order = inOrder(cluster);
    for (const one of order) one.wedge(SHARD, 'commit-lost');
    cluster.publish(SHARD, message(CHAT, 'poison'));
    const other = ALL.find((shard) => shard !== SHARD) as number;
    let unownedMs = 0;
    for (let ms = 0; ms < 40_000; ms += 100) {
      await cluster.clock.advance(100);
      unownedMs = holder(cluster) === undefined ? unownedMs + 100 : 0;
      expect(unownedMs).toBeLessThanOrEqual(HEARTBEAT_MS);
    }
    // Each of the others had it once; then it stays with the last.
    expect(total(cluster, 'shardsTakenFromStuck')).toBe(order.length - 1);
    expect(holder(cluster)).toBe(order.at(-1)?.nodeId);
    // The other shards have gone on.
    cluster.publish(other, create(sessionIn(other)));
    cluster.publish(other, join(sessionIn(other)));
    cluster.publish(other, message(sessionIn(other), 'fine'));
    await cluster.clock.advance(200);
    expect(texts(cluster, other, sessionIn(other))).toEqual(['fine']);
    for (const one of order) one.wedge(SHARD, undefined);
    await cluster.clock.advance(60_000);
    expect(texts(cluster)).toEqual(['poison']);
  });
});

describe('what is slow is not stuck', () => {
  /** Nobody took anything: the leases are as they were. */
  async function undisturbed(cluster: Cluster, trouble: () => Promise<void>): Promise<void> {
    const before = ALL.map((shard) => cluster.leases.now(shard));
    await trouble();
    expect(ALL.map((shard) => cluster.leases.now(shard))).toEqual(before);
    expect(
      ['shardsRestarted', 'shardsTakenFromStuck', 'shardsGivenAway'].map((name) =>
        total(cluster, name as never),
      ),
    ).toEqual([0, 0, 0]);
  }

  it('Redis is away', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    await undisturbed(cluster, async () => {
      let back: () => void = () => undefined;
      cluster.store.away = new Promise((resolve) => (back = resolve));
      for (const shard of ALL) cluster.publish(shard, message(sessionIn(shard), 'one'));
      await cluster.clock.advance(30_000);
      for (const { progress } of cluster.nodes.values())
        expect(progress.sight()).toMatch(/has not answered promptly/);
      cluster.store.away = undefined;
      back();
      await cluster.clock.advance(6_000);
    });
    expect(texts(cluster)).toEqual(['one']);
    for (const { progress } of cluster.nodes.values()) expect(progress.sight()).toBe(true);
  });

  it('NATS has no leader', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    const { log } = cluster;
    const { state, lastSeqOf } = log;
    await undisturbed(cluster, async () => {
      log.state = () => Promise.reject(new Error('no leader'));
      log.lastSeqOf = () => Promise.reject(new Error('no leader'));
      for (const one of cluster.nodes.values()) for (const shard of ALL) one.wedge(shard, 'reader');
      cluster.publish(SHARD, message(CHAT, 'one'));
      await cluster.clock.advance(20_000);
    });
    Object.assign(log, { state, lastSeqOf });
    for (const one of cluster.nodes.values()) for (const shard of ALL) one.wedge(shard, undefined);
    await cluster.clock.advance(STUCK_AFTER_MS);
    expect(texts(cluster)).toEqual(['one']);
  });

  it('answers take longer than a second', async () => {
    const cluster = await clusterOf('a', 'b');
    const { store } = cluster;
    const standings = store.standings.bind(store);
    await undisturbed(cluster, async () => {
      store.standings = async (shards) => {
        await new Promise<void>((resolve) => cluster.clock.after(1_200, resolve));
        return standings(shards);
      };
      for (const one of cluster.nodes.values()) for (const shard of ALL) one.wedge(shard, 'reader');
      cluster.publish(SHARD, message(CHAT, 'one'));
      await cluster.clock.advance(20_000);
    });
  });

  it('Redis only reads: nobody takes a shard from another', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    const owners = ALL.map((shard) => holder(cluster, shard));
    cluster.store.refusesWrites = true;
    for (const shard of ALL) cluster.publish(shard, message(sessionIn(shard), 'one'));
    await cluster.clock.advance(30_000);
    expect(ALL.map((shard) => holder(cluster, shard))).toEqual(owners);
    expect(total(cluster, 'shardsRestarted')).toBe(0);
    cluster.store.refusesWrites = false;
    await cluster.clock.advance(5_000);
    expect(texts(cluster)).toEqual(['one']);
    expect(ALL.map((shard) => holder(cluster, shard))).toEqual(owners);
  });

  it('a receiver is down: the shard stands at the bound of unsettled notifications', async () => {
    const cluster = await clusterOf('a', 'b');
    // Each chat has a trigger that no node takes; the bound of the tests is 50.
    cluster.gms.always('gms-a', { status: 'busy', retryAfterMs: 1_000 });
    const chats = Array.from({ length: 60 }, (_, i) => sessionIn(SHARD, i + 1));
    await undisturbed(cluster, async () => {
      for (const chat of chats) {
        cluster.publish(SHARD, create(chat));
        cluster.publish(SHARD, join(chat));
      }
      cluster.publish(SHARD, message(CHAT, 'one'));
      await cluster.clock.advance(30_000);
      expect(texts(cluster)).toEqual([]);
    });
    cluster.gms.always('gms-a', undefined);
    await cluster.clock.advance(10_000);
    expect(texts(cluster)).toEqual(['one']);
  });

  it('nothing is to be done: the log is not asked about shards while it does not go on', async () => {
    const cluster = await clusterOf('a', 'b');
    const asked = countsAsked(cluster);
    await cluster.clock.advance(2_000);
    asked.count = 0;
    await undisturbed(cluster, () => cluster.clock.advance(60_000));
    expect(asked.count).toBe(0);
  });

  it('all of them move: the log is not asked about them', async () => {
    const cluster = await clusterOf('a', 'b');
    for (const shard of ALL.filter((one) => one !== SHARD)) {
      cluster.publish(shard, create(sessionIn(shard)));
      cluster.publish(shard, join(sessionIn(shard)));
    }
    const goOn = async () => {
      for (const shard of ALL) cluster.publish(shard, message(sessionIn(shard), 'more'));
      await cluster.clock.advance(100);
    };
    for (let n = 0; n < 10; n++) await goOn();
    const asked = countsAsked(cluster);
    await undisturbed(cluster, async () => {
      for (let n = 0; n < 50; n++) await goOn();
    });
    expect(asked.count).toBe(0);
  });
});

type Trouble =
  | { kind: 'wedge'; node: string; shard: number; wedge: Wedge; actors: 'all' | 'present' }
  | { kind: 'heal'; node: string; shard: number }
  | { kind: 'crash' | 'start' | 'leave'; node: string }
  | { kind: 'publish'; shard: number }
  | { kind: 'wait'; ms: number };

const nodeId = fc.constantFrom('a', 'b', 'c');
const shardId = fc.nat(SHARDS - 1);
const trouble: fc.Arbitrary<Trouble> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wedge' as const),
      node: nodeId,
      shard: shardId,
      wedge: fc.constantFrom<Wedge>('reader', 'commit-lost', 'commit-unanswered', 'acquire'),
      actors: fc.constantFrom('all' as const, 'present' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('heal' as const), node: nodeId, shard: shardId }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('crash' as const, 'start' as const, 'leave' as const),
      node: nodeId,
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('publish' as const), shard: shardId }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.oneof(fc.nat(400), fc.nat(5_000)) }),
  },
);

async function perform(cluster: Cluster, one: Trouble, sent: string[][]): Promise<void> {
  if (one.kind === 'wait') return cluster.clock.advance(one.ms);
  if (one.kind === 'publish') {
    const texts = sent[one.shard] as string[];
    texts.push(`text ${texts.length}`);
    return cluster.publish(one.shard, message(sessionIn(one.shard), texts.at(-1)));
  }
  const node = cluster.nodes.get(one.node);
  const lives = node !== undefined && node.state !== 'dead';
  if (one.kind === 'start' && !lives) cluster.start(one.node);
  if (!lives) return;
  if (one.kind === 'wedge') node.wedge(one.shard, one.wedge, one.actors);
  if (one.kind === 'heal') node.wedge(one.shard, undefined);
  if (one.kind === 'crash') node.crash();
  if (one.kind === 'leave') void node.leave();
}

describe('any wedges, crashes and stops', () => {
  it('when one node is well, every record is folded once and in order, and every shard has one owner', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(trouble, { minLength: 5, maxLength: 30, size: 'max' }),
        fc.integer({ min: 1, max: 1e6 }),
        async (troubles, seed) => {
          const cluster = new Cluster(seed);
          for (const id of ['a', 'b', 'c']) cluster.start(id);
          const sent = ALL.map((): string[] => []);
          for (const shard of ALL) {
            cluster.publish(shard, create(sessionIn(shard)));
            cluster.publish(shard, join(sessionIn(shard)));
          }
          for (const one of troubles) await perform(cluster, one, sent);
          // This one is not wedged; the others stay as they are.
          cluster.start('well');
          await cluster.clock.advance(20_000);
          for (const shard of ALL) {
            expect(texts(cluster, shard, sessionIn(shard))).toEqual(sent[shard]);
            expect(cluster.store.shard(shard).held).toBe(false);
            expect(cluster.store.shard(shard).outbox.size).toBe(0);
            const froms = cluster.store.saved
              .filter((saved) => saved.shard === shard)
              .map(({ from }) => from);
            expect(new Set(froms).size).toBe(froms.length);
          }
          expect(cluster.owners().map((owners) => owners.length)).toEqual(ALL.map(() => 1));
        },
      ),
      { numRuns: 30 },
    );
  }, 120_000);
});
