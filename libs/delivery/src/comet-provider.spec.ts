import { sessionIdSchema, userIdSchema, type PushJob } from '@flexpush/contracts';
import { createCometProvider, type RequestBus } from './comet-provider';
import { Delivery } from './delivery';
import type { JobResult } from './delivery-job';

type BusAnswer = Awaited<ReturnType<RequestBus['request']>>;

class Bench {
  readonly requests: {
    subject: string;
    payload: unknown;
    timeoutMs: number;
    answer: (answer: BusAnswer) => void;
  }[] = [];
  readonly results: [string, JobResult][] = [];
  readonly logged: string[] = [];
  private readonly settled = new Set<() => void>();
  readonly delivery: Delivery;

  constructor() {
    const note = (_fields: object, fact: string) => void this.logged.push(fact);
    const bus: RequestBus = {
      request: (subject, payload, { timeoutMs }) =>
        new Promise((answer) =>
          this.requests.push({ subject, payload: JSON.parse(payload) as unknown, timeoutMs, answer }),
        ),
    };
    this.delivery = new Delivery(
      {
        nowMs: () => 0,
        openChannel: () => {
          throw new Error('no HTTP here');
        },
        isDeposed: () => false,
        settled: ({ job }, result) => {
          this.results.push([job.id, result]);
          for (const told of this.settled) told();
        },
        log: { isLevelEnabled: () => false, debug: note, info: note, warn: note },
        providers: [createCometProvider(bus)],
      },
      {
        queueMax: 1_000,
        connectionsMax: 4,
        destinationsMax: 16,
        deadTimeoutMs: 3_000,
        rememberedMax: 1_000,
        breakerFailuresMax: 1,
        breakerProbeAfterMs: 1_000,
      },
    );
    this.delivery.useOptions({});
  }

  push(session: string, more: Partial<PushJob> = {}): void {
    const job = {
      id: `${session}:U:1`,
      n: 1,
      sessionId: sessionIdSchema.parse(session),
      userId: userIdSchema.parse('U'),
      service: 'chat',
      deviceType: 'comet',
      deviceId: 'api-1/client-9',
      debug: false,
      obfuscatedKey: 'k',
      chatEnded: false,
      atMs: 1,
      kind: 'plain',
      ...more,
    } as PushJob;
    this.delivery.offer([{ job, alias: '204', actorId: 'a', shard: 0, term: 1, receivedAtMs: 0 }]);
  }

  async answer(answer: BusAnswer): Promise<JobResult | undefined> {
    const settled = new Promise<void>((resolve) => this.settled.add(resolve));
    this.requests.shift()?.answer(answer);
    await settled;
    return this.results.at(-1)?.[1];
  }
}

const taken: BusAnswer = { kind: 'answer', text: '{"v":1,"status":"taken"}' };
const event = {
  from: { nickname: 'Jonas', participantId: 2, type: 'Agent' as const },
  index: 3,
  type: 'Message',
  text: 'Hello',
  utcTime: 1_790_000_015_000,
};

it('asks the chat-api that has the client, with the event or, for a ping, without', async () => {
  const bench = new Bench();
  bench.push('s', { event, chatEnded: true } as Partial<PushJob>);
  const common = { v: 1, clientId: 'client-9', userId: 'U', alias: '204' };
  expect(bench.requests[0]).toMatchObject({
    subject: 'flexpush.comet.api-1',
    payload: { ...common, sessionId: 's', chatEnded: true, event },
    timeoutMs: 2_000,
  });
  expect(await bench.answer(taken)).toEqual({ outcome: 'delivered' });
  bench.push('t');
  expect(bench.requests[0]?.payload).toEqual({ ...common, sessionId: 't', chatEnded: false });
});

it.each<{ name: string; answer: BusAnswer; result: JobResult }>([
  {
    name: 'a client that is not there',
    answer: { kind: 'answer', text: '{"v":1,"status":"gone"}' },
    result: { outcome: 'gone', reason: 'comet-client-gone' },
  },
  {
    name: 'a chat-api that is not there',
    answer: { kind: 'no-responders' },
    result: { outcome: 'gone', reason: 'comet-client-gone' },
  },
  {
    name: 'no answer: the event is handed back, because a live client has it from nowhere else',
    answer: { kind: 'timeout' },
    result: { outcome: 'returned', reason: 'comet-no-answer' },
  },
  {
    name: 'an answer that says nothing',
    answer: { kind: 'answer', text: '{"status":"odd"}' },
    result: { outcome: 'returned', reason: 'comet-no-answer' },
  },
])('$name', async ({ answer, result }) => {
  const bench = new Bench();
  bench.push('s', { event } as Partial<PushJob>);
  expect(await bench.answer(answer)).toEqual(result);
  // Neither is a failure of delivery: nothing was lost, so nothing is logged as lost.
  expect(bench.logged).toEqual([]);
});

it('a chat-api that does not answer opens no breaker, which would fail events of live clients', async () => {
  const bench = new Bench();
  for (let n = 0; n < 5; n += 1) {
    bench.push(`s${n}`);
    expect(await bench.answer({ kind: 'timeout' })).toMatchObject({ outcome: 'returned' });
  }
  bench.push('last');
  expect(await bench.answer(taken)).toEqual({ outcome: 'delivered' });
});

it('a chat-api that hangs holds up no other', () => {
  const bench = new Bench();
  for (let n = 0; n < 6; n += 1) bench.push(`s${n}`);
  expect(bench.requests).toHaveLength(4);
  bench.push('other', { deviceId: 'api-2/client-1' });
  expect(bench.requests.at(-1)?.subject).toBe('flexpush.comet.api-2');
});

it('an address that is none fails', () => {
  const bench = new Bench();
  for (const [n, deviceId] of ['', 'client', 'a.b/c', '*/c', 'a/b/c'].entries())
    bench.push(`s${n}`, { deviceId });
  expect(bench.requests).toEqual([]);
  expect(new Set(bench.results.map(([, { outcome, reason }]) => `${outcome} ${reason}`))).toEqual(
    new Set(['failed address-not-usable']),
  );
});
