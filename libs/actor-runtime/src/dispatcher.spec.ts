import { BOUNDS, type DispatchAnswer, type GmsView } from '@flexpush/contracts';
import { Dispatcher, type DispatcherSettings } from './dispatcher';
import { gmsNode, gmsView, MemoryGms } from './testing/memory-gms';
import { MemoryLog } from './testing/memory-log';
import { MemoryLogger, MemoryMeter } from './testing/memory-ports';
import { entry } from './testing/records';
import { DISPATCHER_SETTINGS, SHARD } from './testing/shard-rig';
import { turn, VirtualClock } from './testing/virtual-clock';

const MIRA = 'chat:mira';
const plain = (n: number, subscription = MIRA) => entry(subscription, n, { kind: 'plain' });

class Rig {
  readonly clock = new VirtualClock();
  readonly gms = new MemoryGms();
  readonly log = new MemoryLog(() => this.clock.nowMs());
  readonly logger = new MemoryLogger();
  readonly meter = new MemoryMeter();
  readonly deposed: number[] = [];
  readonly associations = new Map<string, string>();
  readonly dispatcher: Dispatcher;

  constructor(view: GmsView | 'no view' = gmsView('gms-a'), settings: Partial<DispatcherSettings> = {}) {
    const { clock, gms, log, logger, meter } = this;
    this.dispatcher = new Dispatcher(
      { transport: gms, appender: log, clock, logger, meter },
      { ...DISPATCHER_SETTINGS, ...settings },
      (shard) => this.deposed.push(shard),
    );
    if (view !== 'no view') this.dispatcher.setView(view);
    this.addShard(SHARD, 1);
  }

  addShard(shard: number, term: number): void {
    this.dispatcher.addShard(shard, term, (subscription, nodeId) =>
      this.associations.set(subscription, nodeId),
    );
    this.dispatcher.open(shard);
  }

  async put(...entries: ReturnType<typeof entry>[]): Promise<void> {
    for (const one of entries)
      this.dispatcher.put(SHARD, one, this.associations.get(`${one.job.sessionId}:${one.job.userId}`));
    await turn();
  }

  async results(nodeId: string, outcomes: Parameters<MemoryGms['results']>[2]): Promise<void> {
    this.dispatcher.takeResults(this.gms.results(nodeId, SHARD, outcomes));
    await turn();
  }

  withdraw(one: ReturnType<typeof entry>): void {
    this.dispatcher.withdraw(SHARD, { entry: one, n: one.job.n });
  }

  settledIds(): string[] {
    return this.log.appended.flatMap(({ record }) =>
      record.type === 'push.settled' ? record.results.map(([id]) => id) : [],
    );
  }

  counts() {
    const { unsettled, waiting } = this.dispatcher.counts();
    return { unsettled, waiting };
  }
}

/** An answer that comes when the test says so. */
function later<T>(): { promise: Promise<T>; answer: (value: T) => void } {
  let answer: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (answer = resolve));
  return { promise, answer };
}

const ACCEPTED: DispatchAnswer = { status: 'accepted', oldTerms: [] };

describe('Dispatcher', () => {
  it('sends what one turn puts in one request, under the term that it announced (D2)', async () => {
    const rig = new Rig();
    await rig.put(entry(MIRA, 1), entry('chat:other', 1));
    expect(rig.gms.announced).toEqual([{ shard: SHARD, term: 1 }]);
    expect(rig.gms.requests).toMatchObject([{ nodeId: 'gms-a', jobs: 2 }]);
    expect(rig.gms.accepted).toMatchObject([{ term: 1 }, { term: 1 }]);
  });

  it('sends nothing of a shard that is not known, or dropped while it was queued (D1)', async () => {
    const rig = new Rig();
    rig.dispatcher.put(7, entry('elsewhere:mira', 1), undefined);
    rig.dispatcher.put(SHARD, entry(MIRA, 1), undefined);
    rig.dispatcher.dropShard(SHARD, 1);
    await turn();
    expect(rig.gms.requests).toEqual([]);
    expect(rig.counts()).toEqual({ unsettled: 0, waiting: 0 });
  });

  it('dropping an older term leaves the shard alone', async () => {
    const rig = new Rig();
    rig.dispatcher.dropShard(SHARD, 0);
    await rig.put(entry(MIRA, 1));
    expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
  });

  describe('placing (D3, I6)', () => {
    it('keeps what has no node, tells it, and sends it the moment one appears', async () => {
      const rig = new Rig('no view');
      await rig.put(entry(MIRA, 1, { nodeGroup: 'alpha' }));
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 1 });
      expect(rig.logger.lines).toMatchObject([
        {
          level: 'warn',
          fact: 'push-flex: could not send notification - no gms node found in group=alpha',
          fields: { logId: '59758', id: `${MIRA}:1` },
        },
      ]);
      rig.dispatcher.setView(gmsView('gms-a'));
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
      expect(rig.associations.get(MIRA)).toBe('gms-a');
    });

    it('tells missing nodes at most once a second, and how many more there were', async () => {
      const rig = new Rig('no view');
      for (let i = 0; i < 100; i++) await rig.put(entry(`chat-${i}:mira`, 1));
      await rig.clock.advance(1_000);
      await rig.put(entry('last:mira', 1));
      const told = rig.logger.lines.filter(({ fields }) => fields['logId'] === '59758');
      expect(told.map(({ fields }) => fields['others'])).toEqual([0, 99]);
      expect(rig.meter.counts.noNodeFound).toBe(101);
    });

    it.each(['sent', 'queued'] as const)(
      'gives what was %s to another node when its node leaves',
      async (state) => {
        const rig = new Rig();
        if (state === 'queued') rig.gms.script('gms-a', later<DispatchAnswer>().promise);
        await rig.put(entry('chat:other', 1));
        await rig.put(entry(MIRA, 1));
        rig.dispatcher.setView(gmsView('gms-b'));
        await turn();
        expect(rig.gms.ids('gms-b').sort()).toEqual(['chat:mira:1', 'chat:other:1']);
        expect(rig.counts()).toEqual({ unsettled: 2, waiting: 0 });
      },
    );

    it('a request to a lost node that ends late takes nothing back from the next node', async () => {
      const rig = new Rig();
      const lost = later<{ status: 'timeout' }>();
      rig.gms.script('gms-a', lost.promise);
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.setView(gmsView('gms-b'));
      await turn();
      expect(rig.gms.ids('gms-b')).toEqual([`${MIRA}:1`]);
      lost.answer({ status: 'timeout' });
      await rig.clock.advance(1_000);
      // The result never comes, so the deadline must still count.
      await rig.clock.advance(DISPATCHER_SETTINGS.settleDeadlineMs);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids('gms-b')).toEqual([`${MIRA}:1`, `${MIRA}:1`]);
    });

    it('nor from the same node, when it left and came back meanwhile', async () => {
      const rig = new Rig();
      const lost = later<{ status: 'timeout' }>();
      rig.gms.script('gms-a', lost.promise);
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.setView(gmsView('gms-b'));
      rig.dispatcher.setView(gmsView('gms-a'));
      await turn();
      lost.answer({ status: 'timeout' });
      await rig.clock.advance(1_000);
      expect(rig.gms.ids('gms-a')).toEqual([`${MIRA}:1`]);
      expect(rig.counts()).toEqual({ unsettled: 1, waiting: 0 });
    });

    it('leaves a node out that nobody answers for, until it comes back under a new incarnation', async () => {
      const rig = new Rig();
      rig.gms.always('gms-a', { status: 'no-responders' });
      await rig.put(entry(MIRA, 1));
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 1 });
      rig.gms.always('gms-a', undefined);
      rig.dispatcher.setView(gmsView('gms-a'));
      await turn();
      expect(rig.gms.ids()).toEqual([]);
      rig.dispatcher.setView(gmsView(gmsNode('gms-a', { incarnation: 'gms-a-2' })));
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
    });

    it('tries such a node again after a while, should the view never change', async () => {
      const rig = new Rig();
      rig.gms.script('gms-a', { status: 'no-responders' });
      await rig.put(entry(MIRA, 1));
      await rig.clock.advance(DISPATCHER_SETTINGS.unreachableMs);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
    });

    it('gives all jobs of such a node to the others', async () => {
      const rig = new Rig(gmsView('gms-a'));
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.setView(gmsView('gms-a', 'gms-b'));
      rig.gms.script('gms-a', { status: 'no-responders' });
      await rig.put(entry(MIRA, 2), entry('chat:other', 1));
      expect(rig.gms.ids('gms-b')).toContain(`${MIRA}:2`);
      expect(rig.counts()).toEqual({ unsettled: 2, waiting: 0 });
    });

    it('an unsettled view forgets nobody', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.setView({ ...gmsView('gms-b'), settled: false });
      await turn();
      expect(rig.gms.ids('gms-b')).toEqual([]);
    });
  });

  describe('answers', () => {
    it('busy: the same jobs in the same order, after the time that was asked for', async () => {
      const rig = new Rig();
      rig.gms.script('gms-a', { status: 'busy', retryAfterMs: 700 });
      await rig.put(entry(MIRA, 1), entry('chat:other', 1));
      await rig.put(entry('chat:third', 1));
      await rig.clock.advance(699);
      expect(rig.gms.ids()).toEqual([]);
      await rig.clock.advance(1);
      expect(rig.gms.ids()).toEqual(['chat:mira:1', 'chat:other:1', 'chat:third:1']);
    });

    it('busy for ever so long: asks again after a bounded time', async () => {
      const rig = new Rig();
      rig.gms.script('gms-a', { status: 'busy', retryAfterMs: 1e9 });
      await rig.put(entry(MIRA, 1));
      await rig.clock.advance(5_000);
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
    });

    it('timeout: the same ids to the same node, without what has settled or gone meanwhile', async () => {
      const rig = new Rig();
      rig.gms.script('gms-a', { status: 'timeout' });
      const [mira, other, third] = [entry(MIRA, 1), entry('chat:other', 1), entry('chat:third', 1)];
      await rig.put(mira, other, third);
      rig.withdraw(mira);
      await rig.results('gms-a', { 'chat:other:1': 'delivered' });
      await rig.clock.advance(100);
      expect(rig.gms.ids()).toEqual(['chat:third:1']);
    });

    it('malformed: one job that the node cannot read does not stop the others', async () => {
      const rig = new Rig();
      const bad = entry('bad:mira', 1);
      const dispatch = rig.gms.dispatch.bind(rig.gms);
      rig.gms.dispatch = (nodeId, payload) =>
        payload.includes('bad:mira')
          ? Promise.resolve({ status: 'malformed', reason: 'not a dispatch' })
          : dispatch(nodeId, payload);
      await rig.put(entry('chat:a', 1), entry('chat:b', 1), bad, entry('chat:c', 1), entry('chat:d', 1));
      await rig.clock.advance(2_000);
      expect(rig.gms.ids().sort()).toEqual(['chat:a:1', 'chat:b:1', 'chat:c:1', 'chat:d:1']);
      expect(rig.settledIds()).toEqual(['bad:mira:1']);
    });

    it('old term: the shard has another owner (I3)', async () => {
      const rig = new Rig();
      rig.gms.announceTerm(SHARD, 5);
      await rig.put(entry(MIRA, 1));
      expect(rig.deposed).toEqual([SHARD]);
      expect(rig.gms.accepted).toEqual([]);
    });

    it('old term, of a request from before the shard was taken anew: nothing is wrong', async () => {
      const rig = new Rig();
      const slow = later<DispatchAnswer>();
      rig.gms.script('gms-a', slow.promise);
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.dropShard(SHARD, 1);
      rig.addShard(SHARD, 5);
      slow.answer(ACCEPTED);
      await turn();
      expect(rig.meter.counts.jobsRefusedByTerm).toBe(1);
      expect(rig.deposed).toEqual([]);
    });
  });

  describe('results (D5)', () => {
    it('settle at once in memory, and in the log after a short while', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'delivered' });
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 0 });
      expect(rig.log.appended).toEqual([]);
      await rig.clock.advance(250);
      expect(rig.settledIds()).toEqual([`${MIRA}:1`]);
    });

    it.each(['a confirm', 'a newer trigger'])('need no record after %s', async (what) => {
      const rig = new Rig();
      const first = entry(MIRA, 1);
      await rig.put(first);
      await rig.results('gms-a', { [`${MIRA}:1`]: 'delivered' });
      if (what === 'a confirm') rig.withdraw(first);
      else await rig.put(entry(MIRA, 2));
      await rig.clock.advance(1_000);
      expect(rig.settledIds()).toEqual([]);
      expect(rig.gms.withdrawals).toEqual([]);
    });

    it('of a replaced, unknown or foreign notification change nothing', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      await rig.put(entry(MIRA, 2));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'superseded', 'no:one:3': 'delivered', x: 'failed' });
      rig.dispatcher.takeResults(rig.gms.results('gms-a', 99, { [`${MIRA}:2`]: 'delivered' }));
      expect(rig.counts()).toEqual({ unsettled: 1, waiting: 0 });
      await rig.clock.advance(1_000);
      expect(rig.settledIds()).toEqual([]);
    });

    it('returned: placed again at once, but not when another node has it by now', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'returned' });
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`, `${MIRA}:1`]);
      rig.dispatcher.setView(gmsView('gms-b'));
      await turn();
      await rig.results('gms-a', { [`${MIRA}:1`]: 'returned' });
      expect(rig.gms.ids('gms-b')).toEqual([`${MIRA}:1`]);
    });

    it('that the log refuses are tried again, one append at a time', async () => {
      const rig = new Rig(gmsView('gms-a'), { settleLingerMs: 0 });
      rig.log.refusal = { kind: 'refused', reason: 'busy', retryable: true };
      await rig.put(entry(MIRA, 1));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'delivered' });
      await rig.clock.advance(1_000);
      // A linger of nothing must not make a loop of nothing.
      expect(rig.log.appended.length).toBeLessThanOrEqual(5);
      rig.log.refusal = undefined;
      await rig.clock.advance(250);
      const appends = rig.log.appended.length;
      await rig.clock.advance(10_000);
      expect(rig.log.appended).toHaveLength(appends);
    });

    it('are not appended again while an append is under way', async () => {
      const rig = new Rig();
      const slow = later<{ kind: 'appended'; seq: number }>();
      const calls: number[] = [];
      rig.log.append = (shard) => {
        calls.push(shard);
        return slow.promise;
      };
      await rig.put(entry(MIRA, 1), entry('chat:other', 1));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'delivered' });
      await rig.clock.advance(250);
      await rig.results('gms-a', { 'chat:other:1': 'delivered' });
      await rig.clock.advance(5_000);
      expect(calls).toHaveLength(1);
      slow.answer({ kind: 'appended', seq: 1 });
      await rig.clock.advance(250);
      expect(calls).toHaveLength(2);
    });

    it('fit into records that the log takes, however long their ids are', async () => {
      const rig = new Rig(gmsView('gms-a'), { unsettledPerShardMax: 10_000 });
      const long = 'x'.repeat(60);
      const entries = Array.from({ length: 1_200 }, (_, i) => entry(`${long}${i}:${long}${i}`, 1));
      await rig.put(...entries);
      await rig.clock.advance(100);
      await rig.results(
        'gms-a',
        Object.fromEntries(entries.map(({ job }) => [job.id, 'delivered' as const])),
      );
      await rig.clock.advance(2_000);
      expect(new Set(rig.settledIds()).size).toBe(1_200);
      expect(rig.logger.of('settle.refused')).toEqual([]);
    });

    it('are all appended before a shard is given up', async () => {
      const rig = new Rig(gmsView('gms-a'), { unsettledPerShardMax: 10_000 });
      const entries = Array.from({ length: 700 }, (_, i) => entry(`chat-${i}:mira`, 1));
      await rig.put(...entries);
      await rig.clock.advance(100);
      await rig.results(
        'gms-a',
        Object.fromEntries(entries.map(({ job }) => [job.id, 'delivered' as const])),
      );
      await rig.dispatcher.flushSettled(SHARD);
      expect(new Set(rig.settledIds()).size).toBe(700);
    });

    it('that a draining node will not take any more: the jobs go to a ready one at once (I6)', async () => {
      const rig = new Rig(gmsView('gms-a', 'gms-b'));
      const first = entry(MIRA, 1);
      rig.gms.always('gms-a', { status: 'busy', retryAfterMs: 100 });
      rig.gms.always('gms-b', { status: 'busy', retryAfterMs: 100 });
      await rig.put(first);
      const at = rig.associations.get(MIRA) ?? '';
      const other = at === 'gms-a' ? 'gms-b' : 'gms-a';
      rig.gms.always(other, { status: 'accepted', oldTerms: [] });
      const view = gmsView('gms-a', 'gms-b');
      for (const node of view.nodes) if (node.nodeId === at) node.state = 'draining';
      rig.dispatcher.setView(view);
      rig.dispatcher.setView(view);
      await rig.clock.advance(200);
      rig.dispatcher.setView(view);
      await turn();
      expect(rig.gms.ids(other)).toContain(first.job.id);
    });

    it('that may have died with a lost connection: asked for again soon, not at the deadline', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.hurry();
      await rig.clock.advance(1_999);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids('gms-a')).toEqual([`${MIRA}:1`]);
      await rig.clock.advance(1);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids('gms-a')).toEqual([`${MIRA}:1`, `${MIRA}:1`]);
    });

    it.each([-60_000, 60_000])('a clock that is set by %i ms moves no deadline', async (byMs) => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      rig.clock.step(byMs);
      await rig.clock.advance(DISPATCHER_SETTINGS.settleDeadlineMs - 1);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
      await rig.clock.advance(1);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`, `${MIRA}:1`]);
    });

    it('that never come: the same id again to the same node after the deadline', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      await rig.clock.advance(DISPATCHER_SETTINGS.settleDeadlineMs - 1);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids()).toHaveLength(1);
      await rig.clock.advance(1);
      rig.dispatcher.sweep();
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`, `${MIRA}:1`]);
      expect(rig.meter.counts.settleDeadlines).toBe(1);
    });
  });

  describe('confirms (I5)', () => {
    it('of a sent trigger: its node is told', async () => {
      const rig = new Rig();
      const one = entry(MIRA, 3);
      await rig.put(one);
      rig.withdraw(one);
      await turn();
      expect(rig.gms.withdrawals).toEqual([{ nodeId: 'gms-a', subscription: MIRA, n: 3 }]);
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 0 });
    });

    it('of a queued trigger: it is not sent', async () => {
      const rig = new Rig();
      const slow = later<DispatchAnswer>();
      rig.gms.script('gms-a', slow.promise);
      const [other, mira] = [entry('chat:other', 1), entry(MIRA, 1)];
      await rig.put(other);
      await rig.put(mira);
      rig.withdraw(mira);
      slow.answer(ACCEPTED);
      await turn();
      expect(rig.gms.ids()).toEqual(['chat:other:1']);
    });

    it('of a trigger that waits for a node: it never leaves', async () => {
      const rig = new Rig('no view');
      const one = entry(MIRA, 1);
      await rig.put(one);
      rig.withdraw(one);
      rig.dispatcher.setView(gmsView('gms-a'));
      await turn();
      expect([rig.gms.ids(), rig.counts()]).toEqual([[], { unsettled: 0, waiting: 0 }]);
    });

    it.each([
      { name: 'another node has by now', view: gmsView('gms-b'), told: ['gms-a', 'gms-b'] },
      { name: 'waits for a node by now', view: gmsView(), told: ['gms-a'] },
    ])(
      'of a trigger that $name: the one that left the view may live, and is told too',
      async ({ view, told }) => {
        const rig = new Rig();
        await rig.put(entry(MIRA, 1));
        rig.dispatcher.setView(view);
        await turn();
        // A newer one has taken its place, and never was with the first node.
        const newer = entry(MIRA, 2);
        await rig.put(newer);
        rig.withdraw(newer);
        await turn();
        expect(rig.gms.withdrawals).toEqual(told.map((nodeId) => ({ nodeId, subscription: MIRA, n: 2 })));
      },
    );

    it('need not come for a trigger that is settled: another node that was sent it is told then', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      rig.dispatcher.setView(gmsView('gms-b'));
      await turn();
      await rig.results('gms-b', { [`${MIRA}:1`]: 'delivered' });
      expect(rig.gms.withdrawals).toEqual([{ nodeId: 'gms-a', subscription: MIRA, n: 1 }]);
      await rig.results('gms-a', { [`${MIRA}:1`]: 'withdrawn' });
      await rig.clock.advance(DISPATCHER_SETTINGS.settleLingerMs);
      expect(rig.log.appended).toMatchObject([{ record: { results: [[`${MIRA}:1`, 'delivered']] } }]);
    });

    it('are not told to a node that has handed the trigger back', async () => {
      const rig = new Rig();
      const one = entry(MIRA, 1);
      await rig.put(one);
      rig.dispatcher.setView(gmsView('gms-b'));
      await rig.results('gms-a', { [`${MIRA}:1`]: 'returned' });
      rig.withdraw(one);
      await turn();
      expect(rig.gms.withdrawals).toEqual([{ nodeId: 'gms-b', subscription: MIRA, n: 1 }]);
    });

    it('reach the node after the dispatch that they take back, newer triggers included', async () => {
      const rig = new Rig();
      await rig.put(entry(MIRA, 1));
      const second = entry(MIRA, 2);
      rig.dispatcher.put(SHARD, second, undefined);
      rig.withdraw(second);
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:1`]);
      expect(rig.gms.withdrawals).toEqual([{ nodeId: 'gms-a', subscription: MIRA, n: 2 }]);
    });
  });

  describe('order (D4, I7)', () => {
    it('sends plain notifications of a subscription one at a time, other subscriptions beside them', async () => {
      const rig = new Rig();
      await rig.put(plain(1), plain(2), plain(3), plain(1, 'chat:other'));
      expect(rig.gms.ids()).toEqual(['chat:mira:1', 'chat:other:1']);
      await rig.results('gms-a', { 'chat:mira:1': 'failed' });
      expect(rig.gms.ids().slice(2)).toEqual(['chat:mira:2']);
    });

    it('keeps that order over a change of nodes', async () => {
      const rig = new Rig();
      await rig.put(plain(1), plain(2), plain(3));
      rig.dispatcher.setView(gmsView('gms-b'));
      await turn();
      for (const n of [1, 2, 3]) await rig.results('gms-b', { [`${MIRA}:${n}`]: 'delivered' });
      expect(rig.gms.ids('gms-b')).toEqual([1, 2, 3].map((n) => `${MIRA}:${n}`));
    });

    it('the next one follows when the first leaves by its record or by its age', async () => {
      const rig = new Rig('no view');
      await rig.put(plain(1), plain(2), plain(3));
      rig.dispatcher.forget(SHARD, plain(1));
      rig.dispatcher.setView(gmsView('gms-a'));
      await turn();
      expect(rig.gms.ids()).toEqual([`${MIRA}:2`]);
    });

    it('a newer trigger takes the place of a queued older one', async () => {
      const rig = new Rig();
      rig.gms.script('gms-a', { status: 'busy', retryAfterMs: 500 });
      await rig.put(entry(MIRA, 1));
      await rig.put(entry(MIRA, 2));
      await rig.clock.advance(500);
      expect(rig.gms.ids()).toEqual([`${MIRA}:2`]);
      expect(rig.counts()).toEqual({ unsettled: 1, waiting: 0 });
    });
  });

  describe('plain ones that nobody can take (I9)', () => {
    it('leave after their age, loudly, and settle in the log', async () => {
      const rig = new Rig('no view');
      await rig.put(plain(1), plain(2), entry('chat:other', 1));
      await rig.clock.advance(BOUNDS.plainNotificationAgeMs);
      rig.dispatcher.sweep();
      await rig.clock.advance(250);
      expect(rig.logger.of('notification.expired')).toMatchObject([
        { logId: '59758', id: `${MIRA}:1` },
        { logId: '59758', id: `${MIRA}:2` },
      ]);
      expect(rig.settledIds()).toEqual([`${MIRA}:1`, `${MIRA}:2`]);
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 1 });
    });
  });

  it('sends nothing while it is paused, and everything after (D6)', async () => {
    const rig = new Rig();
    rig.dispatcher.pause(true);
    await rig.put(entry(MIRA, 1), entry('chat:other', 1));
    rig.dispatcher.sweep();
    await rig.clock.advance(10_000);
    expect(rig.gms.requests).toEqual([]);
    rig.dispatcher.pause(false);
    await turn();
    expect(rig.gms.ids()).toEqual(['chat:mira:1', 'chat:other:1']);
  });

  describe('bounds (I9)', () => {
    it('waits for room at the bound, and gets it by a result, a drop or a nudge', async () => {
      for (const how of ['result', 'drop', 'nudge'] as const) {
        const rig = new Rig(gmsView('gms-a'), { unsettledPerShardMax: 1 });
        await rig.put(entry(MIRA, 1));
        let hasRoom = false;
        void rig.dispatcher.room(SHARD).then(() => (hasRoom = true));
        await turn();
        expect(hasRoom).toBe(false);
        if (how === 'result') await rig.results('gms-a', { [`${MIRA}:1`]: 'failed' });
        else if (how === 'drop') rig.dispatcher.dropShard(SHARD, 1);
        else rig.dispatcher.nudge(SHARD);
        await turn();
        expect(hasRoom).toBe(true);
      }
    });

    it('at the bound of all shards they take turns, one batch each, and none is passed over', async () => {
      const rig = new Rig(gmsView('gms-a'), { unsettledMax: 2 });
      for (const shard of [SHARD + 1, SHARD + 2]) rig.dispatcher.addShard(shard, 1, () => undefined);
      const folding: number[] = [];
      const ask = (shard: number) => void rig.dispatcher.turn(shard).then(() => folding.push(shard));
      ask(SHARD);
      await turn();
      expect(folding.splice(0)).toEqual([SHARD]);
      await rig.put(entry('chat-1:mira', 1), entry('chat-2:mira', 1), entry('chat-3:mira', 1));
      for (const shard of [SHARD + 1, SHARD + 2, SHARD]) ask(shard);
      await turn();
      expect(folding).toEqual([]);
      expect([SHARD, SHARD + 1, SHARD + 2].map((shard) => rig.dispatcher.isFull(shard))).toEqual([
        true,
        true,
        true,
      ]);
      await rig.results('gms-a', { 'chat-1:mira:1': 'delivered' });
      expect(folding).toEqual([]);
      await rig.results('gms-a', { 'chat-2:mira:1': 'delivered' });
      expect(folding.splice(0)).toEqual([SHARD + 1]);
      await rig.results('gms-a', { 'chat-3:mira:1': 'delivered' });
      // Until its batch is folded nobody knows how much room is left.
      expect(folding).toEqual([]);
      rig.dispatcher.endTurn(SHARD + 1);
      await turn();
      expect(folding.splice(0)).toEqual([SHARD + 2]);
      // Whoever is lost in its turn gives it on.
      rig.dispatcher.dropShard(SHARD + 2, 1);
      await turn();
      expect(folding.splice(0)).toEqual([SHARD]);
      rig.dispatcher.endTurn(SHARD);
    });

    it('forgets what a shard had under way when it is dropped or taken anew', async () => {
      const rig = new Rig(gmsView('gms-a'), { unsettledMax: 1 });
      await rig.put(entry('chat-1:mira', 1));
      rig.dispatcher.addShard(SHARD, 2, () => undefined);
      let isFolding = false;
      void rig.dispatcher.turn(SHARD).then(() => (isFolding = true));
      await turn();
      expect(isFolding).toBe(true);
      expect(rig.dispatcher.counts().unsettled).toBe(0);
    });

    it('a request has a bounded number of jobs and bytes', async () => {
      const rig = new Rig(gmsView('gms-a'), { unsettledPerShardMax: 10_000 });
      const event = {
        from: { nickname: 'Jonas', participantId: 2, type: 'Agent' as const },
        type: 'Message',
        utcTime: 1,
        text: 'x'.repeat(BOUNDS.textChars),
      };
      await rig.put(
        ...Array.from({ length: 100 }, (_, i) => entry(`chat-${i}:mira`, 1, { kind: 'plain', event })),
      );
      await rig.put(...Array.from({ length: 1_000 }, (_, i) => entry(`small-${i}:mira`, 1)));
      await rig.clock.advance(10);
      expect(rig.gms.ids()).toHaveLength(1_100);
      expect(Math.max(...rig.gms.requests.map(({ jobs }) => jobs))).toBeLessThanOrEqual(
        BOUNDS.jobsPerDispatch,
      );
      // Three bytes per UTF-16 code unit at most, and the server takes a MiB.
      expect(3 * Math.max(...rig.gms.requests.map(({ chars }) => chars))).toBeLessThan(1_048_576);
    });

    it('keeps nothing of what came and went while a node was busy', async () => {
      const rig = new Rig();
      rig.gms.always('gms-a', { status: 'busy', retryAfterMs: 60_000 });
      for (let n = 1; n <= 10_000; n++) {
        const one = entry(`chat-${n % 20}:mira`, n);
        rig.dispatcher.put(SHARD, one, undefined);
        if (n % 2 === 0) rig.dispatcher.forget(SHARD, one);
        if (n % 500 === 0) await turn();
      }
      expect(sizes(rig.dispatcher).queued).toBeLessThanOrEqual(1_024);
      expect(rig.counts().unsettled).toBe(10);
    });

    it('keeps nothing of nodes, subscriptions and results that are gone', async () => {
      const rig = new Rig();
      for (let round = 1; round <= 50; round++) {
        const [nodeId, next] = [`gms-${round}`, `gms-${round + 1}`];
        rig.dispatcher.setView(gmsView(nodeId, next));
        rig.gms.script(nodeId, { status: 'no-responders' });
        const entries = [plain(round, `chat-${round}:mira`), entry(`chat-${round}:jonas`, round)];
        await rig.put(...entries);
        await rig.clock.advance(10);
        const outcomes = Object.fromEntries(entries.map(({ job }) => [job.id, 'delivered' as const]));
        await rig.results(next, outcomes);
        await rig.clock.advance(1_000);
        for (const one of entries) rig.dispatcher.forget(SHARD, one);
        rig.dispatcher.sweep();
      }
      rig.dispatcher.setView(gmsView());
      await rig.clock.advance(10_000);
      rig.dispatcher.sweep();
      expect(sizes(rig.dispatcher)).toEqual({
        channels: 0,
        unreachable: 0,
        queued: 0,
        withdrawals: 0,
        flights: 0,
        plainQueues: 0,
        settled: 0,
      });
      expect(rig.counts()).toEqual({ unsettled: 0, waiting: 0 });
      expect(rig.clock.timerCount).toBe(0);
    });
  });
});

/** How much a dispatcher remembers; there is no other way to see a leak than to look inside. */
function sizes(dispatcher: Dispatcher) {
  const inside = dispatcher as unknown as {
    channels: Map<string, { queue: unknown[] }>;
    unreachable: Map<string, unknown>;
    withdrawals: Map<string, unknown>;
    shards: Map<
      number,
      { flights: Map<string, unknown>; plainQueues: Map<string, unknown>; settled: Map<string, unknown> }
    >;
  };
  const sum = (counts: number[]) => counts.reduce((total, one) => total + one, 0);
  const shards = [...inside.shards.values()];
  return {
    channels: inside.channels.size,
    unreachable: inside.unreachable.size,
    queued: sum([...inside.channels.values()].map(({ queue }) => queue.length)),
    withdrawals: inside.withdrawals.size,
    flights: sum(shards.map(({ flights }) => flights.size)),
    plainQueues: sum(shards.map(({ plainQueues }) => plainQueues.size)),
    settled: sum(shards.map(({ settled }) => settled.size)),
  };
}
