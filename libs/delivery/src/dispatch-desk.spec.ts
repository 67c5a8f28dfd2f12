import { nodeIdSchema, type DispatchAnswer } from '@flexpush/contracts';
import type { DeliveryJob } from './delivery-job';
import { DispatchDesk, type Refusal } from './dispatch-desk';
import { RefusalLog } from './refusal-log';
import type { PushResult } from './result-batcher';
import { TermRegister } from './term-register';
import { WakeGuard } from './wake-guard';

const actorId = nodeIdSchema.parse('actor-1');

function job(session: string, n = 1): Record<string, unknown> {
  return {
    id: `${session}:U:${n}`,
    n,
    sessionId: session,
    userId: 'U',
    service: 'chat',
    deviceType: 'customhttp',
    deviceId: 'device',
    debug: false,
    obfuscatedKey: 'k',
    chatEnded: false,
    atMs: 1,
    kind: 'trigger',
    attempt: 0,
    position: 1,
    content: [],
  };
}

class Bench {
  nowMs = 0;
  busy = false;
  readonly taken: DeliveryJob[] = [];
  readonly withdrawn: unknown[] = [];
  readonly results: PushResult[] = [];
  readonly refused: [Refusal, number][] = [];
  readonly logged: [string, Record<string, unknown>][] = [];
  caughtUp: (() => void) | undefined;
  readonly terms = new TermRegister(64);
  readonly desk = new DispatchDesk({
    nowMs: () => this.nowMs,
    delivery: {
      offer: (jobs) => {
        if (this.busy) return 'busy';
        this.taken.push(...jobs);
        return 'accepted';
      },
      withdraw: (withdrawal) => void this.withdrawn.push(withdrawal),
    },
    terms: this.terms,
    wake: new WakeGuard(750, 0),
    results: { add: (_actor, result) => void this.results.push(result) },
    metrics: { refuse: (reason, count = 1) => void this.refused.push([reason, count]) },
    refusals: new RefusalLog({
      warn: (fields: object, fact: string) =>
        void this.logged.push([fact, fields as Record<string, unknown>]),
    } as never),
    catchUp: (done) => (this.caughtUp = done),
  });

  dispatch(...shards: { shard: number; term: number; jobs: unknown[] }[]): DispatchAnswer {
    return this.desk.dispatch(JSON.stringify({ v: 1, actorId, alias: '7', shards }));
  }

  ids(): string[] {
    return this.taken.map((taken) => taken.job.id);
  }
}

it('accepts a dispatch with all it says', () => {
  const bench = new Bench();
  expect(bench.dispatch({ shard: 3, term: 5, jobs: [job('a')] })).toEqual({
    status: 'accepted',
    oldTerms: [],
  });
  expect(bench.taken).toEqual([
    expect.objectContaining({ alias: '7', actorId, shard: 3, term: 5, receivedAtMs: 0 }),
  ]);
});

describe('terms (I3)', () => {
  it('K1: refuses the jobs of a lower term, names the higher one, and takes the other shards', () => {
    const bench = new Bench();
    bench.dispatch({ shard: 3, term: 6, jobs: [] });
    expect(
      bench.dispatch({ shard: 3, term: 5, jobs: [job('a')] }, { shard: 4, term: 1, jobs: [job('b')] }),
    ).toEqual({ status: 'accepted', oldTerms: [[3, 6]] });
    expect(bench.ids()).toEqual(['b:U:1']);
    expect(bench.refused).toEqual([['old-term', 1]]);
  });

  it('K1: an announcement counts like a dispatch', () => {
    const bench = new Bench();
    bench.desk.announceTerm(JSON.stringify({ v: 1, shard: 3, term: 9 }));
    expect(bench.dispatch({ shard: 3, term: 8, jobs: [job('a')] })).toMatchObject({ oldTerms: [[3, 9]] });
    expect(bench.dispatch({ shard: 3, term: 9, jobs: [job('a')] })).toMatchObject({ oldTerms: [] });
    expect(bench.terms.isDeposed(3, 8)).toBe(true);
  });

  it('T1: a shard never goes back', () => {
    const terms = new TermRegister(64);
    expect(terms.note({ shard: 1, term: 9 })).toBe(9);
    expect(terms.note({ shard: 1, term: 2 })).toBe(9);
    expect(terms.isDeposed(1, 8)).toBe(true);
    expect(terms.isDeposed(1, 9)).toBe(false);
  });

  it('remembers no more shards than its bound (I9)', () => {
    const terms = new TermRegister(1);
    terms.note({ shard: 1, term: 9 });
    terms.note({ shard: 2, term: 9 });
    expect([terms.isDeposed(1, 8), terms.isDeposed(2, 8)]).toEqual([true, false]);
  });
});

describe('refusals', () => {
  it('K2: says busy when the delivery is full, and when it drains', () => {
    const bench = new Bench();
    bench.busy = true;
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('a')] })).toEqual({
      status: 'busy',
      retryAfterMs: 100,
    });
    bench.busy = false;
    bench.desk.beginDrain();
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('a')] })).toMatchObject({ status: 'busy' });
    expect(bench.refused).toEqual([
      ['busy', 1],
      ['draining', 1],
    ]);
    expect(bench.taken).toEqual([]);
  });

  it.each([
    { name: 'no JSON', text: '{' },
    { name: 'another thing', text: '[]' },
    { name: 'a bad actor id', text: JSON.stringify({ v: 1, actorId: 'a.b', alias: '', shards: [] }) },
    { name: 'another version', text: JSON.stringify({ v: 2, actorId, alias: '', shards: [] }) },
    {
      name: 'more jobs than the bound (I9)',
      text: JSON.stringify({
        v: 1,
        actorId,
        alias: '',
        shards: [{ shard: 1, term: 1, jobs: Array.from({ length: 257 }, (_, at) => job(`s${at}`)) }],
      }),
    },
  ])('answers, counts and logs a malformed dispatch: $name', ({ text }) => {
    const bench = new Bench();
    expect(bench.desk.dispatch(text)).toMatchObject({ status: 'malformed' });
    expect(bench.refused).toEqual([['malformed', 1]]);
    expect(bench.logged).toEqual([['dispatch.refused-malformed', expect.anything()]]);
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('a')] })).toMatchObject({ status: 'accepted' });
  });

  it('K3: one unreadable job does not hold up the others, and settles as failed', () => {
    const bench = new Bench();
    const bad = { ...job('bad'), position: 'x', obfuscatedKey: 'sixteen-secrets' };
    const answer = bench.dispatch({ shard: 3, term: 1, jobs: [job('a'), bad, { n: 1 }, job('b')] });
    expect(answer).toEqual({ status: 'accepted', oldTerms: [] });
    expect(bench.ids()).toEqual(['a:U:1', 'b:U:1']);
    expect(bench.results).toEqual([
      {
        id: 'bad:U:1',
        shard: 3,
        outcome: 'failed',
        reason: expect.stringContaining('malformed: position') as string,
      },
    ]);
    expect(bench.refused).toEqual([['malformed-job', 2]]);
    expect(bench.logged).toEqual([['dispatch.job-malformed', expect.objectContaining({ logId: '09900' })]]);
    expect(JSON.stringify([bench.logged, bench.results])).not.toContain('sixteen-secrets');
  });

  it('a broken sender is logged once a second, with a count', () => {
    const bench = new Bench();
    for (let at = 0; at < 10; at += 1) bench.desk.dispatch('{');
    bench.nowMs += 700;
    bench.desk.tick();
    bench.nowMs += 300;
    bench.desk.dispatch('{');
    expect(bench.logged.map(([, fields]) => fields['count'])).toEqual([1, 10]);
  });

  it('malformed withdrawals and announcements are counted and change nothing', () => {
    const bench = new Bench();
    bench.desk.withdraw('{"v":1,"withdrawals":[{"subscription":1}]}');
    bench.desk.announceTerm('nothing');
    expect(bench.refused).toEqual([
      ['malformed', 1],
      ['malformed', 1],
    ]);
    expect(bench.withdrawn).toEqual([]);
  });
});

describe('after a freeze', () => {
  it('K4: takes nothing until everything that lay in the socket has been read', () => {
    const bench = new Bench();
    bench.nowMs = 750;
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('a')] })).toMatchObject({ status: 'busy' });
    bench.nowMs += 10;
    bench.desk.tick();
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('b')] })).toMatchObject({ status: 'busy' });
    bench.caughtUp?.();
    expect(bench.dispatch({ shard: 1, term: 1, jobs: [job('c')] })).toMatchObject({ status: 'accepted' });
    expect(bench.ids()).toEqual(['c:U:1']);
  });

  it('W1: a job counts as received when the process was last seen awake', () => {
    const bench = new Bench();
    bench.nowMs = 100;
    bench.desk.tick();
    bench.nowMs = 700;
    bench.dispatch({ shard: 1, term: 1, jobs: [job('a')] });
    expect(bench.taken[0]?.receivedAtMs).toBe(100);
  });

  it('withdrawals and terms that lay in the socket are taken', () => {
    const bench = new Bench();
    bench.nowMs = 5_000;
    bench.desk.withdraw(JSON.stringify({ v: 1, withdrawals: [{ subscription: 'a:U', n: 2 }] }));
    bench.desk.announceTerm(JSON.stringify({ v: 1, shard: 1, term: 3 }));
    expect(bench.withdrawn).toEqual([{ subscription: 'a:U', n: 2 }]);
    expect(bench.terms.isDeposed(1, 2)).toBe(true);
  });
});
