import { dispatchAnswerSchema, optionKey, type Dispatch } from '@flexpush/contracts';
import { hostileText, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { customhttpProvider } from './customhttp-provider';
import { Delivery } from './delivery';
import { DispatchDesk } from './dispatch-desk';
import type { PostOutcome } from './channel';
import { RefusalLog } from './refusal-log';
import { TermRegister } from './term-register';
import { WakeGuard } from './wake-guard';

/** Stands in every secret field of the lawful messages; no log line may show it (I10). */
const CANARY = 'canary-5be07d19c2f8';

function job(session: string, n: number, more: object = {}): Dispatch['shards'][number]['jobs'][number] {
  return {
    id: `${session}:U:${n}`,
    n,
    sessionId: session,
    userId: 'U',
    service: 'chat',
    deviceType: 'customhttp',
    deviceId: CANARY,
    debug: false,
    obfuscatedKey: CANARY,
    chatEnded: false,
    atMs: 1,
    kind: 'trigger',
    attempt: 0,
    position: 1,
    content: ['secure-key'],
    secureKey: CANARY,
    ...more,
  } as never;
}

const plain = job('hostile', 2, {
  kind: 'plain',
  event: {
    from: { nickname: 'A', participantId: 2, type: 'Agent' },
    index: 2,
    type: 'Message',
    utcTime: 1,
    text: CANARY,
  },
});
const dispatches = [
  { v: 1, actorId: 'a', alias: '7', shards: [{ shard: 1, term: 3, jobs: [job('hostile', 1), plain] }] },
  {
    v: 1,
    actorId: 'a',
    alias: '7',
    shards: [
      { shard: 1, term: 2, jobs: [] },
      { shard: 2, term: 3, jobs: [plain] },
    ],
  },
];
const withdrawals = [{ v: 1, withdrawals: [{ subscription: 'hostile:U', n: 1 }] }];
const terms = [{ v: 1, shard: 1, term: 3 }];

class Node {
  nowMs = 0;
  refusals = 0;
  readonly settled: string[] = [];
  readonly lines: unknown[] = [];
  readonly open: { body: string; done: (outcome: PostOutcome) => void }[] = [];
  readonly delivery: Delivery;
  readonly desk: DispatchDesk;

  constructor() {
    const note = (fields: object, fact: string) => void this.lines.push([fact, fields]);
    const log = { isLevelEnabled: () => true, debug: note, info: note, warn: note };
    const register = new TermRegister(64);
    this.delivery = new Delivery(
      {
        nowMs: () => this.nowMs,
        openChannel: () => ({
          post: ({ body }, done) => void this.open.push({ body, done }),
          sweep: () => undefined,
          close: () => Promise.resolve(),
        }),
        isDeposed: (shard, term) => register.isDeposed(shard, term),
        settled: ({ job: { id } }) => void this.settled.push(id),
        log,
        providers: [customhttpProvider],
      },
      {
        queueMax: 8_192,
        connectionsMax: 128,
        destinationsMax: 64,
        deadTimeoutMs: 3_000,
        rememberedMax: 1_000,
        breakerFailuresMax: 5,
        breakerProbeAfterMs: 1_000,
      },
    );
    this.delivery.useOptions({
      [optionKey('push', 'pushEnabled')]: 'customhttp',
      [optionKey('push', 'customhttp.url')]: 'http://receiver.test/push',
    });
    this.desk = new DispatchDesk({
      nowMs: () => this.nowMs,
      delivery: this.delivery,
      terms: register,
      wake: new WakeGuard(750, 0),
      results: { add: (_actor, { id }) => void this.settled.push(id) },
      metrics: { refuse: (_reason, count = 1) => void (this.refusals += count) },
      refusals: new RefusalLog(log as never),
      catchUp: (done) => done(),
    });
  }

  /** A healthy job is started at once, settles, and is the only one of its id. */
  deliver(n: number): void {
    for (const { done } of this.open.splice(0)) done({ kind: 'answered', status: 200 });
    for (const { done } of this.open.splice(0)) done({ kind: 'answered', status: 200 });
    const shards = [{ shard: 40, term: 1, jobs: [job('healthy', n, { deviceId: 'healthy-device' })] }];
    const answer = this.desk.dispatch(JSON.stringify({ v: 1, actorId: 'b', alias: '7', shards }));
    expect(answer).toEqual({ status: 'accepted', oldTerms: [] });
    const mine = this.open.filter(({ body }) => body.includes('healthy-device'));
    expect(mine).toHaveLength(1);
    for (const { done } of this.open.splice(0)) done({ kind: 'answered', status: 200 });
    expect(this.settled.filter((id) => id === `healthy:U:${n}`)).toHaveLength(1);
  }
}

it('a node answers every dispatch, refuses with a reason, and starts a healthy one at once in between', async () => {
  const uncaught = watchUncaught();
  const node = new Node();
  const seen = { accepted: 0, busy: 0, malformed: 0 };
  let healthy = 0;
  let rounds = 0;
  const input = fc.oneof(
    { weight: 6, arbitrary: hostileText(dispatches).map((text) => ['dispatch', text] as const) },
    { weight: 1, arbitrary: hostileText(withdrawals).map((text) => ['withdraw', text] as const) },
    { weight: 1, arbitrary: hostileText(terms).map((text) => ['announceTerm', text] as const) },
  );
  fc.assert(
    fc.property(input, ([how, text]) => {
      const before = node.refusals;
      if (how === 'dispatch') {
        const answer = node.desk.dispatch(text);
        dispatchAnswerSchema.parse(JSON.parse(JSON.stringify(answer)));
        seen[answer.status]++;
        if (answer.status === 'malformed') {
          expect(answer.reason).not.toBe('');
          expect(answer.reason).not.toContain(CANARY);
          expect(node.refusals).toBe(before + 1);
        }
      } else node.desk[how](text);
      if (rounds++ % 50 === 0) node.deliver(++healthy);
    }),
    { numRuns: 10_000, endOnFailure: true },
  );
  expect(Math.min(seen.accepted, seen.malformed)).toBeGreaterThan(200);
  expect(node.delivery.queued).toBeLessThan(8_192);
  expect(JSON.stringify(node.lines)).not.toContain(CANARY);
  await uncaught.none();
  uncaught.stop();
});
