import {
  optionKey,
  sessionIdSchema,
  userIdSchema,
  type OptionValues,
  type PushJob,
} from '@flexpush/contracts';
import type { DeliveryBounds } from './bounds';
import { customhttpProvider } from './customhttp-provider';
import { Delivery } from './delivery';
import type { DeliveryJob, JobResult } from './delivery-job';
import type { Channel, HttpPost, PostOutcome } from './channel';

const ok: PostOutcome = { kind: 'answered', status: 200 };
const refused: PostOutcome = { kind: 'unreached', cause: 'connection', code: 'ECONNREFUSED' };

interface OpenPost {
  origin: string;
  post: HttpPost;
  done: (outcome: PostOutcome) => void;
}

/** Posts wait until the test answers them. */
class HandChannel implements Channel {
  closed = false;
  constructor(
    private readonly origin: string,
    private readonly posts: OpenPost[],
  ) {}
  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    this.posts.push({ origin: this.origin, post, done });
  }
  sweep(): void {
    // Nothing lasts too long here: the test decides when a post ends.
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

const bounds: DeliveryBounds = {
  queueMax: 100,
  connectionsMax: 4,
  destinationsMax: 2,
  deadTimeoutMs: 3_000,
  rememberedMax: 1_000,
  breakerFailuresMax: 3,
  breakerProbeAfterMs: 1_000,
};
const enabled = { [optionKey('push', 'pushEnabled')]: 'comet, customhttp' };
const defaultOptions: OptionValues = {
  ...enabled,
  [optionKey('push', 'customhttp.url')]: 'http://receiver.test/push',
};

class Bench {
  nowMs = 0;
  deposed = new Set<string>();
  readonly open: OpenPost[] = [];
  readonly started: OpenPost[] = [];
  readonly channels: HandChannel[] = [];
  readonly results: [string, string, string?][] = [];
  readonly answers: { actorId: string; id: string; from: string }[] = [];
  readonly logged: { fact: string; fields: Record<string, unknown> }[] = [];
  readonly delivery: Delivery;

  constructor(overrides: Partial<DeliveryBounds> = {}, options: OptionValues = defaultOptions) {
    const note = (fields: object, fact: string) =>
      this.logged.push({ fact, fields: fields as Record<string, unknown> });
    this.delivery = new Delivery(
      {
        nowMs: () => this.nowMs,
        openChannel: (origin) => {
          const channel = new HandChannel(origin, this.open);
          this.channels.push(channel);
          return channel;
        },
        isDeposed: (shard, term) => this.deposed.has(`${shard}/${term}`),
        settled: (delivery, result, from) => this.noteResult(delivery, result, from),
        log: { isLevelEnabled: () => true, debug: note, info: note, warn: note },
        providers: [customhttpProvider],
      },
      { ...bounds, ...overrides },
    );
    this.delivery.useOptions(options);
  }

  offer(...jobs: DeliveryJob[]): 'accepted' | 'busy' {
    return this.delivery.offer(jobs.map((job) => ({ ...job, receivedAtMs: this.nowMs })));
  }

  /** Answers the oldest open post. */
  answer(outcome: PostOutcome = ok): void {
    const post = this.open.shift();
    if (post === undefined) throw new Error('no post is open');
    this.started.push(post);
    post.done(outcome);
  }

  answerAll(outcome: PostOutcome = ok): void {
    while (this.open.length > 0) this.answer(outcome);
  }

  lines(fact: string): Record<string, unknown>[] {
    return this.logged.filter((line) => line.fact === fact).map((line) => line.fields);
  }

  /** The positions or texts of the open posts, in the order in which they were started. */
  openShown(): string[] {
    return this.open.map(({ post }) => shown(post));
  }

  private noteResult(delivery: DeliveryJob, result: JobResult, from: string): void {
    const { outcome, reason } = result;
    this.results.push(reason === undefined ? [delivery.job.id, outcome] : [delivery.job.id, outcome, reason]);
    this.answers.push({ actorId: delivery.actorId, id: delivery.job.id, from });
  }
}

function shown(post: HttpPost): string {
  const body = JSON.parse(post.body) as { deviceId: string; message?: { nextPosition?: number } };
  return `${body.deviceId}@${body.message?.nextPosition ?? '-'}`;
}

function job(session: string, n: number, more: Partial<PushJob> = {}): DeliveryJob {
  const common = {
    id: `${session}:U:${n}`,
    n,
    sessionId: sessionIdSchema.parse(session),
    userId: userIdSchema.parse('U'),
    service: 'chat',
    deviceType: 'customhttp',
    deviceId: `device-${session}`,
    debug: false,
    obfuscatedKey: 'key',
    chatEnded: false,
    atMs: 0,
    kind: 'trigger',
    attempt: 0,
    position: n,
    content: [],
  };
  return {
    job: { ...common, ...more } as PushJob,
    alias: '1',
    actorId: 'actor-1',
    shard: 3,
    term: 5,
    receivedAtMs: 0,
  };
}

function plain(session: string, n: number, more: Partial<PushJob> = {}): DeliveryJob {
  return job(session, n, {
    kind: 'plain',
    event: {
      from: { nickname: 'A', participantId: 2, type: 'Agent' },
      index: n,
      type: 'Message',
      utcTime: 1,
      text: `t${n}`,
    },
    ...more,
  } as Partial<PushJob>);
}

describe('order (I7)', () => {
  it('D1: jobs of one subscription go one after the other, in their order', () => {
    const bench = new Bench();
    bench.offer(plain('s', 1), plain('s', 2), plain('s', 3));
    expect(bench.openShown()).toEqual(['device-s@2']);
    bench.answer();
    expect(bench.openShown()).toEqual(['device-s@3']);
    bench.answer();
    bench.answer();
    expect(bench.results).toEqual([
      ['s:U:1', 'delivered'],
      ['s:U:2', 'delivered'],
      ['s:U:3', 'delivered'],
    ]);
    expect(bench.delivery.queued).toBe(0);
  });

  it('D2: subscriptions do not wait for each other', () => {
    const bench = new Bench();
    bench.offer(plain('a', 1), plain('a', 2), plain('b', 1), plain('c', 1));
    expect(bench.openShown()).toEqual(['device-a@2', 'device-b@2', 'device-c@2']);
  });

  it('D2: those that wait for a permit get it first come, first served', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(plain('a', 1), plain('a', 2), plain('b', 1), plain('c', 1));
    bench.answerAll();
    expect(bench.started.map(({ post }) => shown(post))).toEqual([
      'device-a@2',
      'device-b@2',
      'device-c@2',
      'device-a@3',
    ]);
  });

  it('D3: a newer trigger replaces a waiting older one, and not the one in flight', () => {
    const bench = new Bench();
    bench.offer(job('s', 1), job('s', 2), job('s', 3));
    expect(bench.results).toEqual([['s:U:2', 'superseded']]);
    bench.answerAll();
    expect(bench.results.slice(1)).toEqual([
      ['s:U:1', 'delivered'],
      ['s:U:3', 'delivered'],
    ]);
  });

  it('D3: an older trigger that comes after a newer one does not go out', () => {
    const bench = new Bench();
    bench.offer(job('s', 5));
    bench.offer(job('s', 4));
    bench.answerAll();
    bench.offer(job('s', 3));
    expect(bench.results).toEqual([
      ['s:U:4', 'superseded'],
      ['s:U:5', 'delivered'],
      ['s:U:3', 'superseded'],
    ]);
  });

  it('D3: plain notifications are not replaced', () => {
    const bench = new Bench();
    bench.offer(plain('s', 1), plain('s', 2), job('s', 3), plain('s', 4), job('s', 5));
    bench.answerAll();
    expect(bench.results).toEqual([
      ['s:U:3', 'superseded'],
      ['s:U:1', 'delivered'],
      ['s:U:2', 'delivered'],
      ['s:U:4', 'delivered'],
      ['s:U:5', 'delivered'],
    ]);
  });

  it('sequential delivery has one post in flight for all subscriptions and destinations, in the order of arrival', () => {
    const bench = new Bench(
      {},
      {
        ...defaultOptions,
        [optionKey('push', 'delivery-mode')]: 'sequential',
        [optionKey('push', 'debug.customhttp.url')]: 'http://debug.test/',
      },
    );
    bench.offer(plain('a', 1), plain('b', 2, { debug: true }), plain('c', 3), plain('d', 4, { debug: true }));
    const order: string[] = [];
    while (bench.open.length > 0) {
      expect(bench.open).toHaveLength(1);
      order.push(...bench.openShown());
      bench.answer();
    }
    expect(order).toEqual(['device-a@2', 'device-b@3', 'device-c@4', 'device-d@5']);
  });

  it('turning sequential delivery off starts what waits at once', () => {
    const sequential = { ...defaultOptions, [optionKey('push', 'delivery-mode')]: 'sequential' };
    const bench = new Bench({}, sequential);
    bench.offer(plain('a', 1), plain('b', 1), plain('c', 1));
    expect(bench.open).toHaveLength(1);
    bench.delivery.useOptions(defaultOptions);
    expect(bench.open).toHaveLength(3);
  });
});

describe('withdrawal (I5)', () => {
  it('D4: a waiting trigger is withdrawn, the one in flight and a newer one are not', () => {
    const bench = new Bench();
    bench.offer(job('s', 1), job('s', 2));
    bench.delivery.withdraw({ subscription: 's:U', n: 2 });
    expect(bench.results).toEqual([['s:U:2', 'withdrawn']]);
    bench.offer(job('s', 3));
    bench.answerAll();
    expect(bench.results.slice(1)).toEqual([
      ['s:U:1', 'delivered'],
      ['s:U:3', 'delivered'],
    ]);
  });

  it('D4: a trigger that comes after its withdrawal does not go out', () => {
    const bench = new Bench();
    bench.delivery.withdraw({ subscription: 's:U', n: 2 });
    bench.delivery.withdraw({ subscription: 's:U', n: 1 });
    bench.offer(job('s', 2));
    expect(bench.open).toHaveLength(0);
    expect(bench.results).toEqual([['s:U:2', 'withdrawn']]);
  });

  it('D4: plain notifications and other subscriptions are not touched', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(plain('s', 1), plain('s', 2), job('other', 1));
    bench.delivery.withdraw({ subscription: 's:U', n: 9 });
    bench.answerAll();
    expect(bench.results.map(([, outcome]) => outcome)).toEqual(['delivered', 'delivered', 'delivered']);
  });
});

describe('repeated ids', () => {
  it('D5: an id that waits or flies is accepted and posted once; the last owner gets the result', () => {
    const bench = new Bench();
    bench.offer(job('s', 1));
    expect(bench.offer({ ...job('s', 1), actorId: 'actor-2', term: 6 })).toBe('accepted');
    bench.answerAll();
    expect(bench.started).toHaveLength(1);
    expect(bench.answers).toEqual([{ actorId: 'actor-2', id: 's:U:1', from: 'new' }]);
  });

  it('D5: an id that has its result is answered with it and not posted again', () => {
    const bench = new Bench();
    bench.offer(job('s', 1));
    bench.answerAll({ kind: 'answered', status: 500 });
    bench.offer({ ...job('s', 1), actorId: 'actor-2' });
    expect(bench.open).toHaveLength(0);
    expect(bench.results).toEqual([
      ['s:U:1', 'failed', 'http-500'],
      ['s:U:1', 'failed', 'http-500'],
    ]);
    expect(bench.answers[1]).toEqual({ actorId: 'actor-2', id: 's:U:1', from: 'known' });
  });

  it('D5: results are remembered for ten minutes and up to a count', () => {
    const bench = new Bench({ rememberedMax: 2 });
    bench.offer(plain('a', 1), plain('b', 1), plain('c', 1));
    bench.answerAll();
    bench.offer(plain('a', 1), plain('c', 1));
    expect(bench.openShown()).toEqual(['device-a@2']);
    bench.answerAll();
    bench.nowMs += 600_001;
    bench.offer(plain('c', 1));
    expect(bench.openShown()).toEqual(['device-c@2']);
  });

  it('D5: a job that was handed back may come again', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(job('a', 1), job('b', 1));
    bench.nowMs += 3_000;
    bench.delivery.sweep(bench.nowMs);
    bench.offer(job('b', 1));
    bench.answerAll();
    expect(bench.results).toEqual([
      ['b:U:1', 'returned', 'older-than-dead-timeout'],
      ['a:U:1', 'delivered'],
      ['b:U:1', 'delivered'],
    ]);
  });
});

describe('handing back (I3, I5)', () => {
  it.each([
    { name: 'just before the dead time-out it starts', waitMs: 2_999, outcome: 'delivered' },
    { name: 'at the dead time-out it is handed back', waitMs: 3_000, outcome: 'returned' },
  ])('D6: $name', ({ waitMs, outcome }) => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(job('a', 1), job('b', 1));
    bench.nowMs += waitMs;
    bench.answerAll();
    expect(bench.results.map(([id, what]) => [id, what])).toContainEqual(['b:U:1', outcome]);
  });

  it('D6: jobs of a deposed owner are handed back, also when they wait already', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(job('a', 1), job('b', 1), { ...job('c', 1), term: 6 });
    bench.deposed.add('3/5');
    bench.answerAll();
    expect(bench.results).toEqual([
      ['a:U:1', 'delivered'],
      ['b:U:1', 'returned', 'older-term'],
      ['c:U:1', 'delivered'],
    ]);
  });

  it('draining hands back what waits, finishes what flies, and takes nothing', async () => {
    const bench = new Bench();
    bench.offer(plain('a', 1), plain('a', 2));
    const drained = bench.delivery.drain();
    expect(bench.results).toEqual([['a:U:2', 'returned', 'draining']]);
    expect(bench.offer(plain('b', 1))).toBe('busy');
    bench.answer();
    await drained;
    expect(bench.results[1]).toEqual(['a:U:1', 'delivered']);
  });
});

describe('bounds (I9)', () => {
  it('D8: a dispatch that would pass the queue bound is refused as a whole', () => {
    const bench = new Bench({ queueMax: 3, connectionsMax: 1 });
    expect(bench.offer(plain('a', 1), plain('b', 1), plain('c', 1), plain('d', 1))).toBe('busy');
    expect(bench.offer(plain('a', 1), plain('b', 1), plain('c', 1))).toBe('accepted');
    expect(bench.delivery.queued).toBe(2);
    expect(bench.offer(plain('d', 1), plain('e', 1))).toBe('busy');
    expect(bench.delivery.queued).toBe(2);
    bench.answer();
    expect(bench.offer(plain('d', 1), plain('e', 1))).toBe('accepted');
  });

  it('D8: no destination ever has more posts in flight than connections', () => {
    const bench = new Bench();
    bench.offer(...Array.from({ length: 50 }, (_, at) => plain(`s${at}`, 1)));
    for (let left = 50; left > 0; left -= 1) {
      expect(bench.open.length).toBe(Math.min(4, left));
      bench.answer();
    }
  });

  it.each([1, 70])(
    'D8: of 100 destinations %i hang, and the others go on with all their connections',
    (hanging) => {
      const urls = Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => [
          optionKey(`push.provider.p${i}`, 'customhttp.url'),
          `http://receiver-${i}.test/push`,
        ]),
      );
      const bench = new Bench(
        { destinationsMax: 512, connectionsMax: 128, queueMax: 100_000 },
        { ...enabled, ...urls },
      );
      const jobs = (i: number) =>
        Array.from({ length: 200 }, (_, n) => job(`s${i}-${n}`, 1, { provider: `p${i}` }));
      for (let i = 0; i < hanging; i++) bench.offer(...jobs(i));
      const held = bench.open.splice(0);
      const share = hanging === 1 ? 128 : 8;
      expect(held.length).toBeLessThanOrEqual(4_096 + hanging * 8);
      for (let i = hanging; i < 100; i++) {
        bench.offer(...jobs(i));
        expect(bench.open).toHaveLength(share);
        bench.answerAll();
      }
      expect(bench.results).toHaveLength((100 - hanging) * 200);
      expect(new Set(bench.results.map(([, outcome]) => outcome))).toEqual(new Set(['delivered']));
      // The hanging ones end at last, and those behind them get their turn.
      for (const { done } of held) done(ok);
      bench.answerAll();
      expect(bench.results).toHaveLength(100 * 200);
    },
  );

  it('the longest idle destination makes room; without one the notification fails', () => {
    const bench = new Bench(
      { destinationsMax: 1 },
      { ...defaultOptions, [optionKey('push', 'debug.customhttp.url')]: 'http://debug.test/' },
    );
    bench.offer(plain('a', 1));
    bench.offer(plain('b', 1, { debug: true }));
    expect(bench.results).toEqual([['b:U:1', 'failed', 'too-many-destinations']]);
    bench.answer();
    bench.offer(plain('c', 1, { debug: true }));
    expect(bench.open.map(({ origin }) => origin)).toEqual(['http://debug.test']);
    expect(bench.channels[0]?.closed).toBe(true);
  });

  it('an idle destination is closed after a while', () => {
    const bench = new Bench();
    bench.offer(plain('a', 1));
    bench.answer();
    bench.delivery.sweep((bench.nowMs += 59_999));
    expect(bench.channels[0]?.closed).toBe(false);
    bench.delivery.sweep((bench.nowMs += 1));
    expect(bench.channels[0]?.closed).toBe(true);
  });

  it('withdrawn jobs leave nothing behind in the lines', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(job('a', 1), job('b', 1), job('c', 1));
    bench.delivery.withdraw({ subscription: 'b:U', n: 1 });
    bench.delivery.sweep(bench.nowMs);
    bench.offer(job('b', 2));
    bench.answerAll();
    expect(bench.results.filter(([, outcome]) => outcome === 'delivered').map(([id]) => id)).toEqual([
      'a:U:1',
      'c:U:1',
      'b:U:2',
    ]);
  });
});

describe('failures', () => {
  it.each([
    { status: 200, outcome: 'delivered' },
    { status: 204, outcome: 'delivered' },
    { status: 299, outcome: 'delivered' },
    { status: 302, outcome: 'failed' },
    { status: 404, outcome: 'failed' },
    { status: 503, outcome: 'failed' },
  ])('status $status is $outcome, and never repeated (D9)', ({ status, outcome }) => {
    const bench = new Bench();
    bench.offer(plain('s', 1));
    bench.answer({ kind: 'answered', status });
    expect(bench.results.map(([, what]) => what)).toEqual([outcome]);
    expect(bench.open).toHaveLength(0);
  });

  it('every failed plain notification is logged with 09900 and without its device id', () => {
    const bench = new Bench();
    bench.offer(plain('s', 17), plain('s', 18));
    bench.answerAll(refused);
    expect(bench.lines('delivery.failed')).toEqual([
      expect.objectContaining({
        logId: '09900',
        text: 'Event 17 was not (connection-ECONNREFUSED) pushed for delivery to customhttp for device ...ce-s',
      }),
      expect.objectContaining({ logId: '09900' }),
    ]);
    expect(JSON.stringify(bench.logged)).not.toContain('device-s');
  });

  it('failed triggers are logged once per destination and second, with a count', () => {
    const bench = new Bench({ breakerFailuresMax: 1_000 });
    for (let at = 0; at < 50; at += 1) bench.offer(job(`s${at}`, 1));
    bench.answerAll({ kind: 'answered', status: 500 });
    bench.delivery.sweep((bench.nowMs += 999));
    expect(bench.lines('delivery.failed').map(({ count }) => count)).toEqual([1]);
    bench.delivery.sweep((bench.nowMs += 1));
    expect(bench.lines('delivery.failed').map(({ count }) => count)).toEqual([1, 49]);
  });

  it('logs one canonical line per attempt', () => {
    const bench = new Bench();
    bench.offer(job('s', 1));
    bench.nowMs += 7;
    bench.answer();
    expect(bench.lines('delivery.attempted')).toEqual([
      expect.objectContaining({
        notificationId: 's:U:1',
        destination: 'http://receiver.test',
        outcome: 'delivered',
        attempt: 0,
        position: 1,
        tookMs: 7,
      }),
    ]);
  });

  it.each([
    { name: 'no url', options: enabled, more: {}, reason: 'no-url-configured' },
    {
      name: 'a device type that is not enabled',
      options: { ...defaultOptions, [optionKey('push', 'pushEnabled')]: 'comet' },
      more: {},
      reason: 'type-not-enabled',
    },
    {
      name: 'debug without a debug url',
      options: defaultOptions,
      more: { debug: true },
      reason: 'no-url-configured',
    },
    {
      name: 'a provider nobody configured',
      options: defaultOptions,
      more: { provider: 'x' },
      reason: 'unknown-provider',
    },
    {
      name: 'a device type without a provider',
      options: defaultOptions,
      more: { deviceType: 'fcm' as const },
      reason: 'unsupported-device-type',
    },
  ])('fails and logs with $name', ({ options, more, reason }) => {
    const bench = new Bench({}, options);
    bench.offer(plain('s', 1, more));
    expect(bench.results).toEqual([['s:U:1', 'failed', reason]]);
    expect(bench.lines('delivery.failed')).toEqual([expect.objectContaining({ logId: '09900', reason })]);
  });

  it('a type that is disabled while its jobs wait is not delivered to any more', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(plain('a', 1), plain('b', 1));
    bench.delivery.useOptions({ ...defaultOptions, [optionKey('push', 'pushEnabled')]: '' });
    bench.answer();
    expect(bench.open).toEqual([]);
    expect(bench.results.at(-1)).toEqual(['b:U:1', 'failed', 'type-not-enabled']);
  });

  it('changed options hold at once, for waiting jobs too', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(plain('a', 1), plain('b', 1));
    bench.delivery.useOptions({
      ...enabled,
      [optionKey('push', 'customhttp.url')]: 'http://other.test/x?y=1',
    });
    bench.answer();
    expect(bench.open.map(({ origin, post }) => [origin, post.path])).toEqual([
      ['http://other.test', '/x?y=1'],
    ]);
  });
});

describe('breaker', () => {
  it('fails everything at once while open, probes after a second, and closes on success', () => {
    const bench = new Bench({ connectionsMax: 3 });
    bench.offer(...Array.from({ length: 10 }, (_, at) => plain(`s${at}`, 1)));
    bench.answer(refused);
    bench.answer(refused);
    bench.answer(refused);
    // Two were started in place of the first two; the rest failed with the opening.
    expect(bench.open).toHaveLength(2);
    expect(bench.results.filter(([, , reason]) => reason === 'destination-unreachable')).toHaveLength(5);
    bench.offer(plain('t', 1));
    expect(bench.results.at(-1)).toEqual(['t:U:1', 'failed', 'destination-unreachable']);
    bench.answer(refused);
    bench.answer(refused);
    bench.nowMs += 1_000;
    bench.offer(plain('u', 1), plain('v', 1));
    expect(bench.openShown()).toEqual(['device-u@2']);
    expect(bench.results.at(-1)).toEqual(['v:U:1', 'failed', 'destination-unreachable']);
    bench.answer(ok);
    bench.offer(plain('w', 1), plain('x', 1));
    expect(bench.open).toHaveLength(2);
  });

  it('does not count HTTP statuses', () => {
    const bench = new Bench({ connectionsMax: 1 });
    bench.offer(...Array.from({ length: 10 }, (_, at) => plain(`s${at}`, 1)));
    bench.answerAll({ kind: 'answered', status: 503 });
    expect(bench.started).toHaveLength(10);
  });

  it('a broken destination does not touch another', () => {
    const bench = new Bench(
      {},
      { ...defaultOptions, [optionKey('push', 'debug.customhttp.url')]: 'http://debug.test/' },
    );
    bench.offer(plain('a', 1), plain('b', 1), plain('c', 1));
    bench.answerAll(refused);
    bench.offer(plain('d', 1, { debug: true }), plain('e', 1));
    expect(bench.openShown()).toEqual(['device-d@2']);
  });
});
