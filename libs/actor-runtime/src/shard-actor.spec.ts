import { SESSION_VERSION } from '@flexpush/session';
import { create, fired, join, message, options, refresh, sessionIn } from './testing/records';
import { newWorld, SHARD, World } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const CHAT = sessionIn(SHARD);
const MIRA = `${CHAT}:mira`;
const REPLY = { replyTo: 'api-1' };

/** A chat with an agent: one trigger, unconfirmed. */
function publishChat(world: World, subscription = {}): void {
  world.publish(create(CHAT, subscription, REPLY), join(CHAT));
}

/** What the fold decides: all that is stored but the checkpoint's batch id and the soft association. */
function folded(world: World) {
  const { sessions, ...stored } = world.store.shard(SHARD);
  const states = [...sessions].map(([id, json]) => [id, { ...(JSON.parse(json) as object), n: undefined }]);
  return { ...stored, transcripts: new Map(stored.transcripts), checkpoint: '', sessions: states };
}

describe('ShardActor', () => {
  describe('commit before effect (I2)', () => {
    it('answers and dispatches only when the commit is saved', async () => {
      const world = newWorld();
      const process = await world.process().start();
      const open = world.store.gateNext();
      publishChat(world);
      await turn();
      expect([world.replies.sent, world.gms.accepted]).toEqual([[], []]);
      open();
      await turn();
      expect(world.replies.sent).toMatchObject([
        { callerId: 'api-1', alias: '101', reply: { outcome: 'ok' } },
      ]);
      expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
      await process.actor.stop();
    });

    it('a crash between commit and effect: the next owner dispatches', async () => {
      const world = newWorld();
      const first = await world.process().start();
      publishChat(world);
      // The commit is stored, its answer never comes.
      world.store.commitFaults.push('lost-after');
      await turn();
      first.crash();
      expect([world.gms.ids(), world.store.shard(SHARD).outbox.size]).toEqual([[], 1]);
      await world.process().start();
      expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
    });

    it('a crash before the commit: the next owner folds the same', async () => {
      const [crashed, whole] = [newWorld(), newWorld()];
      const records = [create(CHAT), join(CHAT), message(CHAT)];
      for (const world of [crashed, whole]) {
        const first = await world.process().start();
        if (world === crashed) {
          world.store.commitFaults.push('lost-before');
          world.publish(...records);
          await turn();
          first.crash();
          await world.process().start();
        } else world.publish(...records);
        await turn();
      }
      const [a, b] = [crashed.store.shard(SHARD), whole.store.shard(SHARD)];
      expect({ ...a, checkpoint: '' }).toEqual({ ...b, checkpoint: '' });
      expect(a.sessions.size).toBe(1);
    });

    it('sends a batch again when Redis gave no answer, and stores it once', async () => {
      const world = newWorld();
      await world.process().start();
      world.store.commitFaults.push('lost-after', 'lost-before');
      publishChat(world);
      await turn();
      expect(world.gms.ids()).toEqual([]);
      await world.clock.advance(400);
      expect(world.store.saved).toHaveLength(2);
      const sent = world.store.sent.slice(1).map(({ commit }) => commit.checkpoint);
      expect(new Set(sent).size).toBe(1);
      expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
    });

    it('ends when Redis gives no answer for too long, and the next owner goes on', async () => {
      const world = newWorld();
      const first = await world.process().start();
      world.store.commitFaults.push(...Array<'lost-after'>(5).fill('lost-after'));
      publishChat(world);
      await world.clock.advance(5_000);
      expect(await first.ended).toBe('failed');
      expect(world.log.openReaders).toBe(0);
      await world.process().start();
      expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
    });
  });

  describe('single writer (I3)', () => {
    it('a conflict drops the batch, its effects, and the shard', async () => {
      const world = newWorld();
      const old = await world.process().start();
      const open = world.store.gateNext();
      publishChat(world);
      await turn();
      // Meanwhile another has taken over and folds the same records.
      const next = await world.process().start();
      const accepted = world.gms.accepted.length;
      expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
      open();
      expect(await old.ended).toBe('conflict');
      expect(world.gms.accepted).toHaveLength(accepted);
      expect(old.dispatcher.counts()).toEqual({ shards: 0, unsettled: 0, waiting: 0 });
      expect(next.meter.counts.commitConflicts).toBeUndefined();
      const stretches = world.store.saved.map(({ from }) => from);
      expect(new Set(stretches).size).toBe(stretches.length);
    });

    it('a deposed owner is told so by the GMS node', async () => {
      const world = newWorld();
      const old = await world.process().start();
      await world.process().start();
      // The old one still commits first, as a zombie may; its push is refused by its term.
      old.actor.lastCheckpoint();
      publishChat(world);
      await turn();
      expect(world.gms.accepted.map(({ term }) => term).every((term) => term === 2)).toBe(true);
      expect(old.deposed).toEqual([SHARD]);
    });
  });

  describe('barrier and catch-up', () => {
    it('dispatches nothing that a later record has confirmed', async () => {
      const world = newWorld();
      publishChat(world);
      for (let i = 0; i < 10; i++) world.publish(message(CHAT));
      world.publish(refresh(CHAT));
      await world.process({ shard: { recordsPerBatch: 1 } }).start();
      expect(world.gms.requests).toEqual([]);
    });

    it('dispatches the outbox as folded at the barrier, the announced term first', async () => {
      const world = newWorld();
      publishChat(world);
      world.publish(message(CHAT));
      await world.process({ shard: { recordsPerBatch: 1 } }).start();
      expect(world.gms.accepted).toMatchObject([{ term: 1, job: { id: `${MIRA}:2` } }]);
      expect(world.gms.announced).toEqual([{ shard: SHARD, term: 1 }]);
    });

    it('has deposed at the GMS nodes whoever sent before, when it answers a confirm on its way to the barrier (I5)', async () => {
      const world = newWorld();
      publishChat(world);
      world.publish(refresh(CHAT, REPLY));
      world.publish(message(CHAT));
      const announced: unknown[] = [];
      const { actor } = world.process({ shard: { recordsPerBatch: 1 } });
      world.replies.reply = () => announced.push([actor.isCaughtUp(), ...world.gms.announced]);
      await Promise.race([actor.run(), turn()]);
      // The chat's creation is answered, too.
      const before = [false, { shard: SHARD, term: 1 }];
      expect(announced).toEqual([before, before]);
    });

    it('answers only records that somebody may still wait for', async () => {
      const world = newWorld();
      publishChat(world);
      await world.clock.advance(30_000);
      const late = refresh(CHAT, REPLY);
      world.publish(late);
      await world.process().start();
      expect(world.replies.ids()).toEqual([late.id]);
    });

    it('holds the timers until it is caught up, also across a crash in between', async () => {
      const world = newWorld();
      publishChat(world);
      const first = world.process();
      const open = world.store.gateNext();
      await first.start();
      expect(world.store.shard(SHARD).held).toBe(true);
      first.crash();
      open();
      await turn();
      expect(world.store.shard(SHARD).held).toBe(true);
      await world.process().start();
      expect(world.store.shard(SHARD).held).toBe(false);
    });

    it('goes on in the log where the last owner stopped', async () => {
      const world = newWorld();
      const first = await world.process().start();
      publishChat(world);
      await turn();
      expect(await first.actor.stop()).toBe('stopped');
      world.publish(message(CHAT));
      const next = await world.process().start();
      expect(next.meter.counts.recordsFolded).toBe(1);
      expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(3);
    });

    it('keeps time from running backwards over a takeover', async () => {
      const world = newWorld();
      const first = await world.process().start();
      publishChat(world);
      const aheadAtMs = world.clock.nowMs() + 5_000;
      world.log.publish(SHARD, JSON.stringify(message(CHAT)), { isPublic: true, atMs: aheadAtMs });
      world.log.publish(SHARD, JSON.stringify(options(2)));
      await turn();
      await first.actor.stop();
      await world.process().start();
      world.publish(message(CHAT));
      await turn();
      const last = world.store.shard(SHARD).transcripts.get(CHAT)?.get(4) ?? '{}';
      expect(JSON.parse(last)).toMatchObject({ utcTime: aheadAtMs });
    });
  });

  describe('refused records', () => {
    it('are dead letters before the commit passes them, and stop nothing', async () => {
      const world = newWorld();
      await world.process().start();
      const passed: number[] = [];
      world.letters.onRefuse = ({ seq }) =>
        passed.push(Number(world.store.shard(SHARD).checkpoint.split('|')[1]) - seq);
      publishChat(world);
      world.log.publish(SHARD, 'not json', { isPublic: true });
      world.publish(message(CHAT));
      await turn();
      expect(world.letters.letters).toMatchObject([{ seq: 4, index: 0, reason: 'not-json' }]);
      expect(passed.every((ahead) => ahead < 0)).toBe(true);
      expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(3);
    });

    it('keep the shard waiting while they cannot be stored', async () => {
      const world = newWorld();
      world.letters.failures = 1;
      const first = await world.process().start();
      world.log.publish(SHARD, 'not json', { isPublic: true });
      publishChat(world);
      await turn();
      expect(await first.ended).toBe('failed');
      expect(world.store.shard(SHARD).sessions.size).toBe(0);
      await world.process().start();
      expect(world.letters.letters).toHaveLength(1);
      expect(world.store.shard(SHARD).sessions.size).toBe(1);
    });

    it('are skipped by a replay, even if it would take them', async () => {
      const world = newWorld();
      const [unknown] = [message(CHAT)];
      world.publish(unknown);
      publishChat(world);
      const first = await world.process().start();
      await first.actor.stop();
      const before = folded(world);
      // Redis is lost, and the letter was for a record that a newer release would take.
      world.store.restore(new Map());
      await world.process().start();
      expect(world.letters.letters).toHaveLength(1);
      expect(folded(world)).toEqual(before);
    });

    it('are good records when Redis was wiped beneath their owner: nothing is noted, and the next one folds them', async () => {
      const world = newWorld();
      const first = await world.process().start();
      publishChat(world);
      await turn();
      world.store.wipe();
      world.publish(message(CHAT, 'still here'));
      await turn();
      expect(await first.ended).toBe('conflict');
      expect(world.letters.letters).toEqual([]);
      await world.process().start();
      expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(3);
    });

    it('are not noted either when the wipe comes while the letter is stored', async () => {
      const world = newWorld();
      publishChat(world);
      const first = await world.process({ shard: { sessionsCachedMax: 0 } }).start();
      world.letters.onRefuse = () => world.store.wipe();
      world.publish(message(sessionIn(SHARD, 1), 'of nobody'));
      await turn();
      expect(await first.ended).toBe('conflict');
      expect(await world.letters.skips(SHARD)).toEqual(new Set());
    });
  });

  describe('a log or a store that has lost something (DESIGN section 5)', () => {
    /** Four messages one minute apart, folded and committed. */
    async function fourMessages(world: World): Promise<void> {
      const first = await world.process().start();
      publishChat(world, { resend: false });
      for (let i = 1; i <= 4; i++) {
        await world.clock.advance(60_000);
        world.publish(message(CHAT, `text ${i}`));
      }
      await turn();
      await first.actor.stop();
    }
    const texts = (world: World) =>
      [...(world.store.shard(SHARD).transcripts.get(CHAT)?.values() ?? [])]
        .map((json) => (JSON.parse(json) as { text?: string }).text)
        .filter((text) => text !== undefined);

    it('Redis shows an older checkpoint: replays from there to the same state', async () => {
      const world = newWorld();
      const copy = world.store.copy();
      await fourMessages(world);
      const after = folded(world);
      world.store.restore(copy);
      await world.process().start();
      expect(folded(world)).toEqual(after);
    });

    it('Redis is empty: rebuilds the same state from the log', async () => {
      const world = newWorld();
      await fourMessages(world);
      const after = folded(world);
      world.store.restore(new Map());
      await world.process().start();
      expect(folded(world)).toEqual(after);
    });

    it('the log is shorter: new records of known sessions are folded, old ones not again', async () => {
      const world = newWorld();
      await fourMessages(world);
      world.log.truncate(4);
      const next = await world.process().start();
      await world.clock.advance(1_000);
      world.publish(message(CHAT, 'after'));
      await turn();
      expect(texts(world)).toEqual(['text 1', 'text 2', 'text 3', 'text 4', 'after']);
      expect(next.logger.of('log.truncated')).toHaveLength(1);
    });

    it('the log is shorter and has grown beyond the checkpoint since', async () => {
      const world = newWorld();
      await fourMessages(world);
      world.log.truncate(4);
      await world.clock.advance(1_000);
      for (let i = 5; i <= 9; i++) world.publish(message(CHAT, `text ${i}`));
      await world.process().start();
      expect(texts(world)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `text ${i}`));
    });

    it('a second takeover after that finds nothing wrong any more', async () => {
      const world = newWorld();
      await fourMessages(world);
      world.log.truncate(4);
      const second = await world.process().start();
      await second.actor.stop();
      const third = await world.process().start();
      world.publish(message(CHAT, 'after'));
      await turn();
      await third.actor.stop();
      const fourth = await world.process().start();
      expect(fourth.logger.of('log.truncated')).toEqual([]);
      expect(texts(world)).toEqual(['text 1', 'text 2', 'text 3', 'text 4', 'after']);
    });

    it('the log was recreated: goes on with the sessions, from its beginning', async () => {
      const world = newWorld();
      await fourMessages(world);
      world.log.recreate('2026-11-24T00:00:00Z');
      const next = await world.process().start();
      world.publish(message(CHAT, 'after'));
      await turn();
      expect(next.logger.of('log.recreated')).toHaveLength(1);
      expect(texts(world).at(-1)).toBe('after');
    });

    it('the log has expired beyond the checkpoint: says so and goes on', async () => {
      const world = newWorld();
      await fourMessages(world);
      world.publish(message(CHAT, 'lost'));
      world.publish(message(CHAT, 'after'));
      world.log.expire(9);
      const next = await world.process().start();
      expect(next.logger.of('log.expired-behind-checkpoint')).toHaveLength(1);
      expect(texts(world).at(-1)).toBe('after');
    });
  });

  describe('bounds (I9)', () => {
    it('reads no further while too much is unsettled', async () => {
      const world = newWorld();
      const process = await world
        .process({ dispatcher: { unsettledPerShardMax: 2 }, shard: { recordsPerBatch: 1 } })
        .start();
      publishChat(world);
      const others = [1, 2, 3, 4].map((i) => sessionIn(SHARD, i));
      for (const other of others) world.publish(create(other), join(other));
      await turn();
      expect(process.dispatcher.counts().unsettled).toBe(2);
      expect(process.actor.status().waiting).toBeGreaterThan(0);
      const outcomes = Object.fromEntries(world.gms.ids().map((id) => [id, 'delivered' as const]));
      process.dispatcher.takeResults(world.gms.results('gms-a', SHARD, outcomes));
      await turn();
      expect(process.dispatcher.counts().unsettled).toBe(2);
      expect(world.gms.ids()).toHaveLength(4);
    });

    it('commits no more records at once than a batch may have, however they are packed', async () => {
      const world = newWorld();
      publishChat(world);
      for (let i = 0; i < 10; i++) world.publish(...Array.from({ length: 5 }, () => message(CHAT)));
      for (let i = 0; i < 4; i++)
        world.publish(
          fired(...Array.from({ length: 6 }, (_, at): [string, number] => [`ping:x${i}${at}:u`, 1])),
        );
      await world.process({ shard: { recordsPerBatch: 8 } }).start();
      expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(52);
      for (const { commit } of world.store.sent) {
        const events = commit.sessions.reduce((sum, session) => sum + session.events.length, 0);
        // A message is never split, so a batch may pass its bound by one message.
        expect(events).toBeLessThanOrEqual(8 + 5);
        expect(commit.timers.length).toBeLessThanOrEqual(8 + 6);
      }
    });

    it('keeps no more sessions in memory than it may', async () => {
      const world = newWorld();
      const process = await world.process({ shard: { sessionsCachedMax: 3 } }).start();
      for (let i = 0; i < 20; i++) {
        world.publish(create(sessionIn(SHARD, i)), join(sessionIn(SHARD, i)));
        await turn();
      }
      expect(process.actor.status().sessions).toBeLessThanOrEqual(3);
      await process.actor.stop();
      const next = await world.process({ shard: { sessionsCachedMax: 3 } }).start();
      expect(next.actor.status().sessions).toBeLessThanOrEqual(3);
      expect(world.gms.ids()).toHaveLength(40);
    });
  });

  describe('stop resolves', () => {
    it('while reading', async () => {
      const process = await newWorld().process().start();
      expect(await process.actor.stop()).toBe('stopped');
    });

    it('while it waits for room', async () => {
      const world = newWorld();
      const process = await world.process({ dispatcher: { unsettledPerShardMax: 1 } }).start();
      publishChat(world);
      await turn();
      expect(await process.actor.stop()).toBe('stopped');
    });

    it('while it passes the barrier with more in the outbox than there is room for', async () => {
      const world = newWorld();
      publishChat(world);
      const first = await world.process().start();
      first.crash();
      const next = world.process({ dispatcher: { unsettledPerShardMax: 1 } });
      const held = new Promise<void>((resolve) => {
        const hold = world.store.hold.bind(world.store);
        world.store.hold = (shard, on) => {
          if (!on) {
            void next.actor.stop();
            resolve();
          }
          return hold(shard, on);
        };
      });
      await next.start();
      await held;
      expect(await next.ended).toBe('stopped');
    });

    it('while it acquires', async () => {
      const world = newWorld();
      const open = world.store.gateNext();
      const process = await world.process().start();
      const stopped = process.actor.stop();
      open();
      expect(await stopped).toBe('stopped');
      expect(world.log.openReaders).toBe(0);
    });

    it('while it commits: the batch in hand is finished and let out', async () => {
      const world = newWorld();
      const process = await world.process().start();
      const open = world.store.gateNext();
      publishChat(world);
      await turn();
      const stopped = process.actor.stop();
      world.publish(message(CHAT));
      open();
      expect(await stopped).toBe('stopped');
      expect(world.replies.sent).toHaveLength(1);
      expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(2);
    });
  });

  it('abandoned while it commits, it lets nothing out when the answer comes after all (S8)', async () => {
    const world = newWorld();
    const old = await world.process().start();
    const open = world.store.gateNext();
    publishChat(world);
    await turn();
    old.actor.abandon();
    open();
    expect(await old.ended).toBe('stopped');
    expect(world.store.shard(SHARD).transcripts.get(CHAT)?.size).toBe(2);
    expect([world.replies.sent, world.gms.ids(), world.log.openReaders]).toEqual([[], [], 0]);
    // The next one does.
    await world.process().start();
    expect(world.gms.ids()).toEqual([`${MIRA}:1`]);
  });

  it('abandoned while it acquires, it takes nothing from the one that runs the shard by then (S8)', async () => {
    const world = newWorld();
    publishChat(world);
    const process = world.process();
    const open = world.store.gateNext();
    await process.start();
    process.actor.abandon();
    const added: number[] = [];
    const addShard = process.dispatcher.addShard.bind(process.dispatcher);
    process.dispatcher.addShard = (...args) => {
      added.push(args[1]);
      addShard(...args);
    };
    open();
    expect(await process.ended).toBe('stopped');
    expect([added, world.log.openReaders]).toEqual([[], 0]);
  });

  it('stops also when it is told to in the middle of an audit', async () => {
    const world = newWorld();
    const process = await world.process().start();
    void process.actor.audit();
    // The audit has begun, and its reads are under way.
    await Promise.resolve();
    await Promise.resolve();
    expect(await process.actor.stop()).toBe('stopped');
  });

  it('tells how far it is while it passes over what is folded, because no checkpoint shows that', async () => {
    const world = newWorld();
    const first = await world.process().start();
    publishChat(world);
    for (let i = 0; i < 5; i++) world.publish(message(CHAT, `text ${i}`));
    await world.clock.advance(60_000);
    const last = world.publish(message(CHAT, 'lost'));
    await turn();
    await first.actor.stop();
    world.log.truncate(last - 1);
    const told: unknown[] = [];
    const hold = world.store.hold.bind(world.store);
    world.store.hold = (shard, on, at) => {
      told.push(at ?? on);
      return hold(shard, on, at);
    };
    const second = await world.process().start();
    expect(told).toEqual([true, { term: second.actor.term, step: 1 }, false]);
  });

  describe('progress', () => {
    it('an idle shard is not stuck, however long', async () => {
      const world = newWorld();
      const process = await world.process().start();
      await world.clock.advance(3_600_000);
      const open = world.store.gateNext();
      publishChat(world);
      await turn();
      expect(process.actor.isStuck(3_000)).toBe(false);
      await world.clock.advance(3_001);
      expect(process.actor.isStuck(3_000)).toBe(true);
      open();
      await turn();
      expect(process.actor.isStuck(3_000)).toBe(false);
    });
  });

  it('fires a resend through the log, at its time, until it is confirmed (I4, I5)', async () => {
    const world = newWorld();
    await world.process().start();
    publishChat(world);
    await turn();
    await world.clock.advance(14_999);
    expect(world.fireDue()).toEqual([]);
    await world.clock.advance(1);
    expect(world.fireDue()).toEqual(['resend']);
    await turn();
    expect(world.gms.ids()).toEqual([`${MIRA}:1`, `${MIRA}:2`]);
    world.publish(refresh(CHAT));
    await world.clock.advance(15_000);
    expect(world.fireDue()).toEqual([]);
    expect(world.gms.withdrawals).toEqual([{ nodeId: 'gms-a', subscription: MIRA, n: 2 }]);
  });

  it('answers with events that are no longer in memory', async () => {
    const world = newWorld();
    await world.process().start();
    publishChat(world);
    for (let i = 1; i <= 30; i++) world.publish(message(CHAT, `text ${i}`));
    world.publish(refresh(CHAT, { ...REPLY, transcriptPosition: 2 }));
    await turn();
    const answer = world.replies.sent.at(-1);
    expect(answer?.messages.map(({ index }) => index)).toEqual(Array.from({ length: 31 }, (_, i) => i + 2));
    expect(answer?.reply.nextPosition).toBe(33);
  });

  it('refuses a shard with state of a newer release', async () => {
    const world = newWorld();
    world.store.shard(SHARD).sessions.set(CHAT, JSON.stringify({ q: [0, 0], s: [SESSION_VERSION + 1] }));
    const process = await world.process().start();
    world.publish(message(CHAT));
    expect(await process.ended).toBe('failed');
    expect(JSON.stringify(process.logger.of('shard.failed').map(({ err }) => String(err)))).toContain(
      'update this node',
    );
  });

  it('stores the association with the session, and takes it from there', async () => {
    const world = newWorld();
    const first = await world.process().start();
    publishChat(world);
    await turn();
    world.publish(message(CHAT));
    await turn();
    await first.actor.stop();
    expect(world.store.shard(SHARD).sessions.get(CHAT)).toContain('"n":{"mira":"gms-a"}');
  });
});
