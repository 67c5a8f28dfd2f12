import fc from 'fast-check';
import { ownerOf } from '@flexpush/membership';
import { Cluster, DEAD_AFTER_MS, HEARTBEAT_MS } from './testing/cluster';
import type { CommitFault } from './testing/memory-store';
import { create, join, message, options, sessionIn, SHARDS } from './testing/records';

const ALL = Array.from({ length: SHARDS }, (_, shard) => shard);
const BEATS = (count: number) => count * HEARTBEAT_MS;

/** Who owns each shard when exactly these nodes live. */
function placement(...nodeIds: string[]): string[][] {
  return ALL.map((shard) => [ownerOf(shard, nodeIds) as string]);
}

async function clusterOf(...nodeIds: string[]): Promise<Cluster> {
  const cluster = new Cluster();
  for (const nodeId of nodeIds) cluster.start(nodeId);
  await cluster.clock.advance(BEATS(4));
  return cluster;
}

function node(cluster: Cluster, nodeId: string) {
  const found = cluster.nodes.get(nodeId);
  if (!found) throw new Error(`no node ${nodeId}`);
  return found;
}

/** A shard that `nodeId` owns when exactly `nodeIds` live. */
function shardOfNode(nodeId: string, ...nodeIds: string[]): number {
  return ALL.find((shard) => ownerOf(shard, nodeIds) === nodeId) as number;
}

function texts(cluster: Cluster, shard: number, sessionId: string): unknown[] {
  return [...(cluster.store.shard(shard).transcripts.get(sessionId)?.values() ?? [])]
    .map((json) => (JSON.parse(json) as { text?: string }).text)
    .filter((text) => text !== undefined);
}

describe('Ownership', () => {
  it('one node takes everything, and is ready then', async () => {
    const cluster = new Cluster();
    const only = cluster.start('a');
    expect(only.ownership.health()).toBe('listening for peers');
    await cluster.clock.advance(BEATS(4));
    expect(cluster.owners()).toEqual(placement('a'));
    expect(only.ownership.health()).toBe(true);
  });

  it('nodes that start together share the shards, each owned once, without a conflict', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    expect(cluster.owners()).toEqual(placement('a', 'b', 'c'));
    for (const { meter } of cluster.nodes.values()) expect(meter.counts.commitConflicts).toBeUndefined();
  });

  it('a node that joins gets its share, each shard when its batch is finished', async () => {
    const cluster = await clusterOf('a');
    cluster.start('b');
    await cluster.clock.advance(BEATS(5));
    expect(cluster.owners()).toEqual(placement('a', 'b'));
    for (const shard of ALL) expect(cluster.leases.now(shard).lease?.owner).toBe(ownerOf(shard, ['a', 'b']));
  });

  it('a node that joins leaves no shard without an owner for longer than the handover takes', async () => {
    const cluster = await clusterOf('a');
    cluster.start('b');
    let unownedMs = 0;
    let worstMs = 0;
    for (let ms = 0; ms < BEATS(5); ms += 5) {
      await cluster.clock.advance(5);
      unownedMs = cluster.owners().some((owners) => owners.length === 0) ? unownedMs + 5 : 0;
      worstMs = Math.max(worstMs, unownedMs);
    }
    expect(cluster.owners()).toEqual(placement('a', 'b'));
    expect(worstMs).toBeLessThan(HEARTBEAT_MS / 2);
  });

  it('the first of many to start does not take what the others will run', async () => {
    const cluster = new Cluster();
    cluster.start('a');
    await cluster.clock.advance(100);
    cluster.start('b');
    await cluster.clock.advance(BEATS(5));
    expect(cluster.owners()).toEqual(placement('a', 'b'));
    // Taken once each: nobody had to give one up again.
    for (const shard of ALL) expect(cluster.leases.now(shard).term).toBeLessThanOrEqual(ALL.length);
  });

  it('a node that leaves gives its shards away, and no time-out is waited for', async () => {
    const cluster = await clusterOf('a', 'b');
    const left = node(cluster, 'b').leave();
    // Its word that it leaves may be overtaken by its beat before; the next one tells.
    await cluster.clock.advance(BEATS(1) + 150);
    await left;
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a node that leaves runs its shards until peers have caught up with those before them (O9)', async () => {
    const cluster = new Cluster(1, 16);
    const [{ ownership, meter }, b] = [cluster.start('a'), cluster.start('b')];
    await cluster.clock.advance(BEATS(4));
    const own = cluster.owners().filter(([owner]) => owner === 'a').length;
    // The peer lives, and is too busy to take any.
    await b.freeze(true);
    void ownership.stop();
    await cluster.clock.advance(100);
    const before = meter.counts.recordsFolded ?? 0;
    for (let shard = 0; shard < 16; shard++) cluster.publish(shard, options(2));
    await cluster.clock.advance(100);
    expect((meter.counts.recordsFolded ?? 0) - before).toBe(own - 2);
    // Until the peer is dead, or has been waited for long enough.
    await cluster.clock.advance(5_000);
    expect(ownership.actors()).toHaveLength(0);
  });

  it('a node that leaves waits for peers that take shards and do not catch up, but not for ever (O9)', async () => {
    const cluster = new Cluster(1, 32);
    const [{ ownership }, b] = [cluster.start('a'), cluster.start('b')];
    await cluster.clock.advance(BEATS(4));
    for (let shard = 0; shard < 32; shard++) b.wedge(shard, 'acquire');
    const own = ownership.actors().length;
    expect(own).toBeGreaterThan(12);
    void ownership.stop();
    await cluster.clock.advance(900);
    expect(ownership.actors()).toHaveLength(own - 2);
    await cluster.clock.advance(3_000);
    expect(ownership.actors()).toHaveLength(own - 8);
    await cluster.clock.advance(2_000);
    expect(ownership.actors()).toHaveLength(0);
  });

  it('a peer that may be dead is looked at within half a beat', async () => {
    const cluster = new Cluster();
    cluster.start('a');
    await cluster.clock.advance(200);
    const b = cluster.start('b');
    await cluster.clock.advance(BEATS(4) + 10);
    b.crash();
    // It beat just before, is suspect one and a half beats later, and the next whole look comes more than half a beat after.
    await cluster.clock.advance(BEATS(1.5) + 100);
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a node that leaves while it takes shards leaves no lease behind', async () => {
    const cluster = await clusterOf('a');
    const joining = cluster.start('b');
    // Between the request for the leases and the answers.
    await cluster.clock.advance(BEATS(2) + 8);
    const left = joining.leave();
    await cluster.clock.advance(BEATS(2));
    await left;
    for (const shard of ALL) expect(cluster.leases.now(shard).lease?.owner).not.toBe('b');
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a crash is noticed after one missed beat, because nobody responds', async () => {
    const cluster = await clusterOf('a', 'b');
    node(cluster, 'b').crash();
    await cluster.clock.advance(BEATS(3));
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a silent node is dead after the dead time-out, not much later', async () => {
    const cluster = await clusterOf('a', 'b');
    await node(cluster, 'b').freeze(true);
    await cluster.clock.advance(DEAD_AFTER_MS - HEARTBEAT_MS);
    expect(cluster.owners()).not.toEqual(placement('a'));
    // One beat until the silence began, one until it is looked at, one for a last probe.
    await cluster.clock.advance(BEATS(4));
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('an owner that was never heard and does not answer is given the dead time-out', async () => {
    const cluster = new Cluster();
    const mute = cluster.start('mute');
    await cluster.clock.advance(BEATS(4));
    await mute.freeze(true);
    cluster.start('a');
    await cluster.clock.advance(DEAD_AFTER_MS - HEARTBEAT_MS);
    expect(cluster.leases.now(0).lease?.owner).toBe('mute');
    await cluster.clock.advance(DEAD_AFTER_MS + BEATS(4));
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a node that is not heard by one other but answers keeps its shards', async () => {
    const cluster = await clusterOf('a', 'b');
    cluster.cut.add('b>a');
    // The probe takes another way.
    cluster.probe = () => Promise.resolve('alive');
    await cluster.clock.advance(10 * DEAD_AFTER_MS);
    for (const shard of ALL) expect(cluster.leases.now(shard).lease?.owner).toBe(ownerOf(shard, ['a', 'b']));
  });

  describe('a zombie (I3)', () => {
    it('finds its shards taken when it wakes, commits nothing, and its pushes have an old term', async () => {
      const cluster = await clusterOf('a', 'b');
      const shard = shardOfNode('b', 'a', 'b');
      const chat = sessionIn(shard);
      cluster.publish(shard, create(chat));
      cluster.publish(shard, join(chat));
      await cluster.clock.advance(100);
      const zombie = node(cluster, 'b');
      const term = zombie.ownership.actor(shard)?.term;
      await zombie.freeze(true);
      await cluster.clock.advance(DEAD_AFTER_MS + BEATS(4));
      const commits = cluster.store.saved.length;
      cluster.publish(shard, message(chat, 'while it slept'));
      await cluster.clock.advance(100);
      await zombie.freeze(false);
      await cluster.clock.advance(BEATS(10));
      expect(cluster.owners()).toEqual(placement('a', 'b'));
      expect(texts(cluster, shard, chat)).toEqual(['while it slept']);
      // Under the term that it had before it slept, nothing.
      const late = cluster.store.saved.slice(commits).map(({ to }) => to.split('|')[4]);
      expect(late.filter((batchId) => batchId?.startsWith(`b.2.${term}.`))).toEqual([]);
      expect(zombie.logger.of('shard.deposed')).not.toEqual([]);
    });

    it('does not push before it has heard its own beats again', async () => {
      const cluster = await clusterOf('a');
      const paused: boolean[] = [];
      const only = node(cluster, 'a');
      const pause = only.dispatcher.pause.bind(only.dispatcher);
      only.dispatcher.pause = (now) => {
        paused.push(now);
        pause(now);
      };
      cluster.cut.add('a>a');
      await cluster.clock.advance(BEATS(2));
      expect(paused.at(-1)).toBe(false);
      await cluster.clock.advance(BEATS(3));
      expect(paused.at(-1)).toBe(true);
      cluster.cut.clear();
      await cluster.clock.advance(BEATS(2));
      expect(paused.at(-1)).toBe(false);
    });
  });

  describe('leases that nobody runs (O6)', () => {
    it('of an actor that failed just as its shard moved away', async () => {
      const cluster = await clusterOf('a');
      const shard = shardOfNode('b', 'a', 'b');
      cluster.start('b');
      await cluster.clock.advance(BEATS(1) + 10);
      cluster.store.commitFaults.push(...Array<'lost-before'>(5).fill('lost-before'));
      cluster.publish(shard, create(sessionIn(shard)));
      await cluster.clock.advance(BEATS(20));
      expect(cluster.owners()).toEqual(placement('a', 'b'));
    });

    it('of an actor that was deposed for its checkpoint just as its shard moved away', async () => {
      const cluster = await clusterOf('a');
      const shard = shardOfNode('b', 'a', 'b');
      node(cluster, 'a').ownership.depose(shard, 'checkpoint-differs');
      cluster.start('b');
      await cluster.clock.advance(BEATS(10));
      expect(cluster.owners()).toEqual(placement('a', 'b'));
    });

    it('when the release got no answer', async () => {
      const cluster = await clusterOf('a');
      cluster.leases.releaseFails = true;
      cluster.start('b');
      await cluster.clock.advance(BEATS(8));
      cluster.leases.releaseFails = false;
      await cluster.clock.advance(BEATS(4));
      expect(cluster.owners()).toEqual(placement('a', 'b'));
    });

    it('of an earlier incarnation, when the node is back before anybody missed it', async () => {
      const cluster = await clusterOf('a');
      node(cluster, 'a').crash();
      // Its last beat has arrived before the first of the next incarnation.
      await cluster.clock.advance(10);
      cluster.start('a');
      cluster.start('b');
      await cluster.clock.advance(BEATS(8));
      expect(cluster.owners()).toEqual(placement('a', 'b'));
    });
  });

  it('a shard whose actor fails is tried again, but not in a hurry', async () => {
    const cluster = new Cluster();
    const log = cluster.log;
    let failing = true;
    const lastSeqOf = log.lastSeqOf.bind(log);
    let calls = 0;
    log.lastSeqOf = (shard) => {
      calls++;
      return failing ? Promise.reject(new Error('the stream does not answer')) : lastSeqOf(shard);
    };
    cluster.start('a');
    await cluster.clock.advance(10_000);
    expect(calls).toBeLessThanOrEqual(SHARDS * 11);
    failing = false;
    await cluster.clock.advance(2_000);
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('a lease that changes hands while it is taken is not run', async () => {
    const cluster = new Cluster();
    const { leases } = cluster;
    const take = leases.take.bind(leases);
    let isFirst = true;
    leases.take = async (shard, lease, expectedTerm) => {
      const taken = await take(shard, lease, expectedTerm);
      if (isFirst && taken.kind === 'taken') {
        isFirst = false;
        await take(shard, { owner: 'thief', incarnation: 'x' }, taken.term);
        await new Promise<void>((resolve) => cluster.clock.after(5, resolve));
      }
      return taken;
    };
    const only = cluster.start('a');
    await cluster.clock.advance(BEATS(3) - 100);
    const stolen = ALL.filter((shard) => leases.now(shard).lease?.owner === 'thief');
    expect(stolen.filter((shard) => only.ownership.actor(shard))).toEqual([]);
    await cluster.clock.advance(BEATS(6));
    // Nobody responds for the thief.
    expect(cluster.owners()).toEqual(placement('a'));
  });

  it('hands over in the middle of traffic without a gap or a repeat (I1, I2)', async () => {
    const cluster = await clusterOf('a');
    const chats = ALL.map((shard) => sessionIn(shard));
    ALL.forEach((shard) => {
      cluster.publish(shard, create(chats[shard] as string));
      cluster.publish(shard, join(chats[shard] as string));
    });
    const sent: string[] = [];
    for (let i = 0; i < 100; i++) {
      if (i === 20) cluster.start('b');
      if (i === 50) cluster.start('c');
      if (i === 70) node(cluster, 'b').crash();
      if (i === 85) void node(cluster, 'a').leave();
      sent.push(`text ${i}`);
      for (const shard of ALL) cluster.publish(shard, message(chats[shard] as string, `text ${i}`));
      await cluster.clock.advance(37);
    }
    await cluster.clock.advance(5_000);
    expect(cluster.owners()).toEqual(placement('c'));
    for (const shard of ALL) expect(texts(cluster, shard, chats[shard] as string)).toEqual(sent);
  });
});

type Step =
  | { kind: 'start' | 'leave' | 'crash' | 'freeze' | 'thaw'; node: string }
  | { kind: 'cut' | 'heal'; node: string; other: string }
  | { kind: 'publish'; shard: number }
  /** Redis loses the next so many commits, or their answers; five in a row end an actor. */
  | { kind: 'fault'; fault: CommitFault; count: number }
  /** The lease bucket answers no release, or does again. */
  | { kind: 'releases'; fail: boolean }
  | { kind: 'wait'; ms: number };

const nodeId = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('start' as const), node: nodeId }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), node: nodeId }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), node: nodeId }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('freeze' as const, 'thaw' as const), node: nodeId }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('cut' as const, 'heal' as const),
      node: nodeId,
      other: nodeId,
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('publish' as const), shard: fc.nat(SHARDS - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      fault: fc.constantFrom('lost-before' as const, 'lost-after' as const),
      count: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('releases' as const), fail: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(20), fc.nat(400), fc.nat(3_000)),
    }),
  },
);

async function perform(cluster: Cluster, one: Step, sent: string[][]): Promise<void> {
  if (one.kind === 'wait') return cluster.clock.advance(one.ms);
  if (one.kind === 'publish') {
    const texts = sent[one.shard] as string[];
    texts.push(`text ${texts.length}`);
    return cluster.publish(one.shard, message(sessionIn(one.shard), texts.at(-1)));
  }
  if (one.kind === 'releases') {
    cluster.leases.releaseFails = one.fail;
    return;
  }
  if (one.kind === 'fault') {
    cluster.store.commitFaults.push(...Array<CommitFault>(one.count).fill(one.fault));
    return;
  }
  const found = cluster.nodes.get(one.node);
  const lives = found !== undefined && found.state !== 'dead';
  if (one.kind === 'start' && !lives) cluster.start(one.node);
  if (one.kind === 'cut') cluster.cut.add(`${one.node}>${one.other}`);
  if (one.kind === 'heal') cluster.cut.delete(`${one.node}>${one.other}`);
  if (!lives) return;
  if (one.kind === 'leave') void found.leave();
  if (one.kind === 'crash') found.crash();
  if (one.kind === 'freeze' || one.kind === 'thaw') await found.freeze(one.kind === 'freeze');
}

describe('Ownership under any schedule', () => {
  it('folds every record once, in order, and each shard ends up owned once, by the right node', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
        fc.integer({ min: 1, max: 1e6 }),
        async (steps, seed) => {
          const cluster = new Cluster(seed);
          const sent = ALL.map((): string[] => []);
          for (const shard of ALL) {
            cluster.publish(shard, create(sessionIn(shard)));
            cluster.publish(shard, join(sessionIn(shard)));
          }
          for (const one of steps) await perform(cluster, one, sent);
          cluster.cut.clear();
          cluster.leases.releaseFails = false;
          cluster.store.commitFaults.length = 0;
          for (const one of cluster.nodes.values()) await one.freeze(false);
          // Who was told to leave ends first; somebody must be there.
          await cluster.clock.advance(BEATS(2));
          while ([...cluster.nodes.values()].some(({ isLeaving }) => isLeaving))
            await cluster.clock.advance(BEATS(1));
          if (cluster.nodes.get('a')?.state !== 'running') cluster.start('a');
          await cluster.clock.advance(12_000);
          const living = [...cluster.nodes.values()].filter(({ state }) => state === 'running');
          // Who could not release a shard, so that it was taken as from a stuck one, says so for a minute.
          if (living.some((one) => one.ownership.health() !== true)) await cluster.clock.advance(60_000);
          expect(cluster.owners()).toEqual(placement(...living.map((one) => one.nodeId)));
          for (const one of living) expect(one.ownership.health()).toBe(true);
          for (const shard of ALL) {
            expect(texts(cluster, shard, sessionIn(shard))).toEqual(sent[shard]);
            const { transcripts, outbox, held } = cluster.store.shard(shard);
            expect([...(transcripts.get(sessionIn(shard))?.keys() ?? [])]).toEqual(
              Array.from({ length: 2 + (sent[shard]?.length ?? 0) }, (_, i) => i + 1),
            );
            // Whatever was committed has been pushed, and its result folded (I6).
            expect([outbox.size, held]).toEqual([0, false]);
            const froms = cluster.store.saved.filter((one) => one.shard === shard).map(({ from }) => from);
            expect(new Set(froms).size).toBe(froms.length);
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);
});
