import type { LogRecord } from '@flexpush/contracts';
import * as fc from 'fast-check';
import type { OptionHistory } from './ports';
import { withChanges } from './snapshots';
import { create, end, join, message, options, refresh, sessionIn } from './testing/records';
import { newWorld, SHARD, type World } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const LOG_AGE_MS = 3_600_000;
const MINUTE_MS = 60_000;
const chat = (i: number) => sessionIn(SHARD, i);

/**
 * What a session, its customer and its schedule are: all that a rebuild has to bring back (I8). What is unsettled of a
 * session that is purged already has nobody who waits for it.
 */
function known(world: World) {
  const { sessions, transcripts, timers, outbox, options: folded } = world.store.shard(SHARD);
  return {
    sessions: Object.fromEntries(
      [...sessions].map(([id, json]) => [id, (JSON.parse(json) as { s: object }).s]),
    ),
    transcripts: new Map([...transcripts].map(([id, events]) => [id, new Map(events)])),
    timers: new Map([...timers].sort()),
    outbox: new Map([...outbox].filter(([key]) => sessions.has(key.split(':')[0] ?? '')).sort()),
    options: folded,
  };
}

/** Time passes: timers fire as they fall due, and what is older than the log's age leaves it. */
async function pass(world: World, minutes: number): Promise<void> {
  for (let i = 0; i < minutes; i++) {
    await world.clock.advance(MINUTE_MS);
    world.fireDue();
    await turn();
  }
  world.log.expireBefore(world.clock.nowMs() - LOG_AGE_MS);
}

function agingWorld(): World {
  const world = newWorld();
  world.log.ageMaxMs = LOG_AGE_MS;
  return world;
}

describe('snapshots', () => {
  it('bring back a session whose records have left the log, with its unsettled notifications', async () => {
    const world = agingWorld();
    const first = await world.process().start();
    world.publish(create(chat(0), { resend: false }), join(chat(0)));
    await turn();
    await pass(world, 59);
    world.publish(message(chat(1), 'an unknown chat'));
    await pass(world, 30);
    const before = known(world);
    expect([Object.keys(before.sessions), before.outbox.size]).toEqual([[chat(0)], 2]);
    await first.actor.stop();
    world.store.restore(new Map());
    const second = await world.process().start();
    expect(known(world)).toEqual(before);
    expect(second.meter.counts.snapshotsRestored).toBe(1);
  });

  it('of a deposed owner do not replace newer ones', async () => {
    const world = agingWorld();
    const snapshot = {
      sessionId: chat(0),
      createdAt: world.log.createdAt,
      seq: 9,
      atMs: 1,
      state: 'new',
      events: [],
      outbox: [],
    };
    expect(await world.snapshots.write(SHARD, snapshot)).toBe('stored');
    expect(await world.snapshots.write(SHARD, { ...snapshot, seq: 8, state: 'old' })).toBe('older');
  });

  it('are written again when their stream was lost and made anew', async () => {
    const world = agingWorld();
    const process = await world.process().start();
    world.publish(create(chat(0)), join(chat(0)));
    await pass(world, 61);
    const written = [...(world.snapshots.sessions.get(SHARD)?.keys() ?? [])];
    expect(written).toEqual([chat(0)]);
    world.snapshots.sessions.clear();
    world.snapshots.createdMs = world.clock.nowMs();
    await pass(world, 1);
    expect([...(world.snapshots.sessions.get(SHARD)?.keys() ?? [])]).toEqual(written);
    const again = world.snapshots.sessions.get(SHARD)?.get(chat(0));
    await pass(world, 5);
    // Once, and not with every look.
    expect(world.snapshots.sessions.get(SHARD)?.get(chat(0))).toBe(again);
    await process.actor.stop();
  });

  it('go with their session', async () => {
    const world = agingWorld();
    await world.process().start();
    world.publish(create(chat(0)), join(chat(0)));
    await pass(world, 40);
    expect(world.snapshots.sessions.get(SHARD)?.size).toBe(1);
    world.publish(refresh(chat(0), { transcriptPosition: 1 }), end(chat(0)));
    await pass(world, 10);
    world.publish(refresh(chat(0), { transcriptPosition: 1 }));
    await pass(world, 120);
    expect([world.store.shard(SHARD).sessions.size, world.snapshots.sessions.get(SHARD)?.size]).toEqual([
      0, 0,
    ]);
  });

  it('a replay begins with the options that were in force before the log begins', async () => {
    const world = agingWorld();
    const first = await world.process().start();
    world.publish(options(2, { 'settings/flex-push-resend-delay': '77' }));
    await pass(world, 61);
    // Created under the old delay, and still in the log when the new one is long in force.
    world.publish(create(chat(0)), join(chat(0)), refresh(chat(0), { transcriptPosition: 1 }));
    world.publish(options(3, { 'settings/flex-push-on-join': 'false' }));
    await pass(world, 20);
    const before = known(world);
    await first.actor.stop();
    world.store.restore(new Map());
    await world.process().start();
    expect(known(world)).toEqual(before);
    expect(JSON.stringify(before.sessions)).toContain('["device",');
  });

  it('stand in for a log that was recreated, once it and Redis are both gone', async () => {
    const world = agingWorld();
    const first = await world.process().start();
    world.publish(create(chat(0)), join(chat(0)), message(chat(0), 'old'));
    await turn();
    await first.actor.stop();
    world.log.recreate('2026-11-25T00:00:00Z');
    const second = await world.process().start();
    world.publish(message(chat(0), 'new'));
    await turn();
    const before = known(world);
    await second.actor.stop();
    world.store.restore(new Map());
    await world.process().start();
    expect(known(world)).toEqual(before);
    expect(before.transcripts.get(chat(0))?.size).toBe(4);
  });

  it('a restore that dies half way is begun again', async () => {
    const world = agingWorld();
    const first = await world.process().start();
    for (let i = 0; i < 3; i++) world.publish(create(chat(i)), join(chat(i)));
    await pass(world, 90);
    const before = known(world);
    expect(Object.keys(before.sessions)).toHaveLength(3);
    await first.actor.stop();
    world.store.restore(new Map());
    // The first session is restored, then Redis does not answer.
    const { commit } = world.store;
    let commits = 0;
    world.store.commit = (shard, content) =>
      ++commits === 2 ? Promise.reject(new Error('away')) : commit.call(world.store, shard, content);
    const second = await world.process().start();
    expect(await second.ended).toBe('failed');
    expect(Object.keys(known(world).sessions)).toHaveLength(1);
    await world.process().start();
    expect(known(world)).toEqual(before);
  });

  it('wiped at any moment, log and snapshots bring the same back (I8)', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('say' as const), chat: fc.nat(3) }),
      fc.record({ kind: fc.constant('refresh' as const), chat: fc.nat(3) }),
      fc.record({ kind: fc.constant('end' as const), chat: fc.nat(3) }),
      fc.record({ kind: fc.constant('wait' as const), minutes: fc.integer({ min: 1, max: 45 }) }),
      fc.record({ kind: fc.constant('options' as const), delay: fc.integer({ min: 10, max: 60 }) }),
      fc.record({ kind: fc.constant('wipe' as const) }),
    );
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      const world = agingWorld();
      let process = await world.process().start();
      let revision = 1;
      const created = new Set<number>();
      const records: Record<'say' | 'refresh' | 'end', (id: string) => LogRecord> = {
        say: (id) => message(id, 'text'),
        refresh: (id) => refresh(id, { transcriptPosition: 1 }),
        end,
      };
      for (const one of [...steps, { kind: 'wipe' as const }]) {
        if (one.kind === 'wait') await pass(world, one.minutes);
        else if (one.kind === 'options')
          world.publish(options(++revision, { 'settings/flex-push-resend-delay': String(one.delay) }));
        else if (one.kind === 'wipe') {
          await turn();
          await process.actor.stop();
          const before = known(world);
          world.store.restore(new Map());
          process = await world.process().start();
          expect(known(world)).toEqual(before);
        } else {
          if (!created.has(one.chat)) world.publish(create(chat(one.chat)), join(chat(one.chat)));
          created.add(one.chat);
          world.publish(records[one.kind](chat(one.chat)));
        }
        await turn();
      }
    });
    await fc.assert(property, { numRuns: 60 });
  }, 60_000);
});

describe('withChanges', () => {
  const history: OptionHistory = {
    createdAt: 'c1',
    entries: [
      { seq: 3, options: 'a' },
      { seq: 9, options: 'b' },
    ],
  };

  it('adds what is new and knows what is not', () => {
    expect(withChanges(history, 'c1', [{ seq: 9, options: 'b' }])).toBeUndefined();
    expect(withChanges(history, 'c1', [{ seq: 12, options: 'c' }])?.entries.map(({ seq }) => seq)).toEqual([
      3, 9, 12,
    ]);
  });

  it('forgets a stretch that the log has lost, and another log', () => {
    expect(withChanges(history, 'c1', [{ seq: 5, options: 'c' }])?.entries.map(({ seq }) => seq)).toEqual([
      3, 5,
    ]);
    expect(withChanges(history, 'c2', [{ seq: 1, options: 'c' }])).toEqual({
      createdAt: 'c2',
      entries: [{ seq: 1, options: 'c' }],
    });
  });
});
