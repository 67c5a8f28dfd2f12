import { formatSession, parseSession } from './session-cache';
import fc from 'fast-check';
import { Watchdog } from './watchdog';
import type { Ownership } from './ownership';
import { Cluster } from './testing/cluster';
import { create, end, join, message, refresh, sessionIn, settled, SHARDS } from './testing/records';
import { newWorld, SHARD, type Process, type World } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const CHAT = sessionIn(SHARD);
const RESEND = `resend:${CHAT}:mira`;

/** Until every session has been looked at once. */
async function auditAll(process: Process) {
  const findings = [];
  for (let i = 0; i < 10; i++) {
    const one = process.actor.audit();
    await turn();
    findings.push(await one);
  }
  return findings;
}

async function worldWithChat(): Promise<{ world: World; process: Process }> {
  const world = newWorld();
  const process = await world.process().start();
  world.publish(create(CHAT), join(CHAT), message(CHAT));
  await turn();
  return { world, process };
}

describe('the audit of a shard', () => {
  it('writes a timer again that Redis has lost, as the fold wants it', async () => {
    const { world, process } = await worldWithChat();
    const { timers } = world.store.shard(SHARD);
    const dueAtMs = timers.get(RESEND);
    expect(dueAtMs).toBeDefined();
    timers.delete(RESEND);
    const findings = await auditAll(process);
    expect(timers.get(RESEND)).toBe(dueAtMs);
    expect(findings.flatMap((one) => one?.timers ?? [])).toEqual([[RESEND, dueAtMs]]);
    expect(process.logger.of('timers.restored')).toEqual([{ shard: SHARD, count: 1, members: [RESEND] }]);
    expect(process.meter.counts.timersRestored).toBe(1);
    // The shard goes on behind the same place, and the schedule too.
    await world.clock.advance(15_000);
    expect(world.fireDue()).toEqual(['resend']);
    await turn();
    expect(world.gms.ids().at(-1)).toBe(`${CHAT}:mira:3`);
  });

  it('brings a timer back that is stored for far too late, and leaves a claimed one alone', async () => {
    const { world, process } = await worldWithChat();
    const { timers } = world.store.shard(SHARD);
    const dueAtMs = timers.get(RESEND) as number;
    timers.set(RESEND, dueAtMs + 3_600_000);
    await auditAll(process);
    expect(timers.get(RESEND)).toBe(dueAtMs);
    timers.set(RESEND, dueAtMs + 600_000);
    await auditAll(process);
    expect(timers.get(RESEND)).toBe(dueAtMs + 600_000);
  });

  it('says nothing when another owner has committed meanwhile', async () => {
    const { world, process } = await worldWithChat();
    const stored = world.store.shard(SHARD);
    stored.timers.delete(RESEND);
    stored.checkpoint += 'x';
    const audit = process.actor.audit();
    await turn();
    expect(await audit).toBeUndefined();
    expect(await process.ended).toBe('conflict');
    expect([stored.timers.has(RESEND), process.logger.of('timers.restored')]).toEqual([false, []]);
  });

  it('finds timers that are stored and long due', async () => {
    const { world, process } = await worldWithChat();
    await world.clock.advance(100_000);
    const findings = await auditAll(process);
    expect(findings.find((one) => one && one.sessions > 0)).toMatchObject({ late: 1, oldestLateMs: 85_000 });
  });

  it('finds a subscription with content that nothing announces (I6)', async () => {
    const { world, process } = await worldWithChat();
    await world.clock.advance(1_000);
    world.publish(message(CHAT));
    await turn();
    const { sessions, outbox } = world.store.shard(SHARD);
    // As a fold with a fault would leave it. The outbox entry alone still announces it.
    const cached = parseSession(CHAT, sessions.get(CHAT) ?? null);
    delete cached.session?.participants[0]?.subscription?.schedule;
    sessions.set(CHAT, formatSession(cached));
    const strandedNow = async () => (await auditAll(process)).flatMap((one) => one?.stranded ?? []);
    expect(await strandedNow()).toEqual([]);
    world.publish(settled(...[...outbox.values()].map((json) => (JSON.parse(json) as { id: string }).id)));
    await turn();
    expect(new Set(await strandedNow())).toEqual(new Set([`${CHAT}:mira`]));
  });

  it('sends an outbox entry again that nobody is sending', async () => {
    const { world, process } = await worldWithChat();
    const [first] = world.gms.ids();
    expect(first).toBeDefined();
    process.dispatcher.dropShard(SHARD, process.actor.term);
    process.dispatcher.addShard(SHARD, process.actor.term, () => undefined);
    const sent = world.gms.ids().length;
    await auditAll(process);
    await world.clock.advance(10_001);
    await auditAll(process);
    await turn();
    expect(world.gms.ids().slice(sent)).toEqual([world.gms.ids().at(sent - 1)]);
    expect(process.meter.counts.notificationsRestored).toBe(1);
  });

  it('is one look at a time, and ends with the actor', async () => {
    const { world, process } = await worldWithChat();
    const first = process.actor.audit();
    expect(await process.actor.audit()).toBeUndefined();
    await process.actor.stop();
    await first;
    expect(await process.actor.audit()).toBeUndefined();
    expect(world.log.openReaders).toBe(0);
  });

  it('goes round: of many sessions each is looked at', async () => {
    const world = newWorld();
    const process = await world.process().start();
    const chats = Array.from({ length: 130 }, (_, i) => sessionIn(SHARD, i));
    for (const chat of chats) world.publish(create(chat));
    for (let i = 0; i < 20; i++) await turn();
    const { timers } = world.store.shard(SHARD);
    for (const chat of chats) timers.delete(`ping:${chat}:mira`);
    for (let i = 0; i < 3; i++) await auditAll(process);
    expect(timers.size).toBe(chats.length);
  });
});

type Act =
  { kind: 'create' | 'join' | 'message' | 'refresh' | 'end'; chat: number } | { kind: 'wait'; ms: number };
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom<'create' | 'join' | 'message' | 'refresh' | 'end'>(
        'create',
        'join',
        'message',
        'message',
        'refresh',
        'end',
      ),
      chat: fc.nat(5),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.oneof(fc.nat(500), fc.nat(40_000)) }),
  },
);

function publishAct(cluster: Cluster, one: Exclude<Act, { kind: 'wait' }>): void {
  const shard = one.chat % SHARDS;
  const chat = sessionIn(shard, one.chat);
  const records = { create, join, message, refresh, end };
  cluster.publish(shard, records[one.kind](chat));
}

describe('the watchdog under any load', () => {
  it('raises no false alarm, with audits and timers between the commits, a takeover and a restart', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { minLength: 20, maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 1e6 }),
        async (acts, seed) => {
          const cluster = new Cluster(seed);
          cluster.start('a');
          cluster.start('b');
          await cluster.clock.advance(1_000);
          for (const [i, one] of acts.entries()) {
            if (i === 10) cluster.nodes.get('a')?.crash();
            if (i === 15) cluster.start('a');
            if (one.kind !== 'wait') publishAct(cluster, one);
            else
              for (let ms = 0; ms < one.ms; ms += 400) {
                await cluster.clock.advance(Math.min(400, one.ms - ms));
                cluster.fireDue();
              }
          }
          for (let ms = 0; ms < 10_000; ms += 400) {
            await cluster.clock.advance(400);
            cluster.fireDue();
          }
          let audited = 0;
          for (const { logger, meter, watchdog } of cluster.nodes.values()) {
            const alarms = [
              'timers.restored',
              'notification.restored',
              'audit.found',
              'timers.overdue',
              'notifications.overdue',
              'audit.failed',
            ];
            expect(alarms.flatMap((fact) => logger.of(fact))).toEqual([]);
            for (const trouble of ['timers', 'outbox', 'audit'] as const)
              expect(watchdog.warning(trouble)).toBe(true);
            audited += meter.counts.sessionsAudited ?? 0;
          }
          if (acts.some(({ kind }) => kind === 'create')) expect(audited).toBeGreaterThan(0);
        },
      ),
      { numRuns: 15 },
    );
  }, 120_000);
});

describe('the watchdog', () => {
  function watchdogOf({ world, process }: { world: World; process: Process }): Watchdog {
    const { store, clock } = world;
    const { dispatcher, logger, meter, actor } = process;
    const ownership = { actors: () => [actor], actor: () => actor } as unknown as Ownership;
    const watchdog = new Watchdog(
      { store, ownership, dispatcher, clock, logger, meter },
      { settleDeadlineMs: 20_000 },
    );
    watchdog.start();
    return watchdog;
  }

  it('tells of a timer that nobody claims, once a minute, until somebody does', async () => {
    const rig = await worldWithChat();
    const watchdog = watchdogOf(rig);
    await rig.world.clock.advance(24_000);
    expect(watchdog.warning('timers')).toBe(true);
    await rig.world.clock.advance(16_000);
    expect(watchdog.warning('timers')).toBe(
      `a timer of shard ${SHARD} is due for 25 s and nobody claims it: is resend-timer running?`,
    );
    expect(watchdog.timerOverdueMs()).toBe(25_000);
    expect(rig.process.logger.of('timers.overdue')).toHaveLength(1);
    rig.world.fireDue();
    await rig.world.clock.advance(1_000);
    expect([watchdog.warning('timers'), watchdog.timerOverdueMs()]).toEqual([true, 0]);
    watchdog.stop();
  });

  it('tells of notifications whose result does not come', async () => {
    const rig = await worldWithChat();
    const watchdog = watchdogOf(rig);
    await rig.world.clock.advance(59_000);
    expect(watchdog.warning('outbox')).toBe(true);
    await rig.world.clock.advance(11_000);
    expect(watchdog.warning('outbox')).toBe(
      '1 notifications have a GMS node and no settled result, the oldest for 70 s',
    );
    expect(rig.process.logger.of('notifications.overdue')).toMatchObject([{ count: 1 }]);
    rig.process.dispatcher.takeResults(
      rig.world.gms.results('gms-a', SHARD, { [rig.world.gms.ids().at(-1) as string]: 'delivered' }),
    );
    await rig.world.clock.advance(2_000);
    expect(watchdog.warning('outbox')).toBe(true);
    watchdog.stop();
  });
});
