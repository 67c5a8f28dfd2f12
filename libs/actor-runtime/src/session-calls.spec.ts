import { shardOf, type CallReply, type ChatEvent, type LogRecord } from '@flexpush/contracts';
import { ManualClock } from '@flexpush/testkit';
import type { Appender } from './ports';
import { SessionCalls, type CallOutcome, type CallRecord } from './session-calls';

type AppendResult = Awaited<ReturnType<Appender['append']>>;

const SHARDS = 64;
const RETRY_MS = 1_500;
const TIMEOUT_MS = 10_000;

/** A log whose appends the test lets succeed or fail. */
class ManualLog {
  readonly appended: { shard: number; record: LogRecord }[] = [];
  answer: () => Promise<AppendResult> = () =>
    Promise.resolve({ kind: 'appended', seq: this.appended.length });

  append(shard: number, record: LogRecord): Promise<AppendResult> {
    this.appended.push({ shard, record });
    return this.answer();
  }
}

function setUp() {
  const clock = new ManualClock();
  const log = new ManualLog();
  const events: string[] = [];
  const calls = new SessionCalls(log, {
    shardCount: SHARDS,
    retryMs: RETRY_MS,
    timeoutMs: TIMEOUT_MS,
    clock,
    onEvent: (event) => events.push(event),
  });
  const reply = (...replies: Partial<CallReply>[]) =>
    calls.accept(JSON.stringify({ v: 1, replies: replies.map((one) => ({ ...okReply('r-1'), ...one })) }));
  return { clock, log, events, calls, reply };
}

function okReply(id: string): CallReply {
  return {
    id,
    alias: '204',
    reply: { outcome: 'ok', chatEnded: false, monitored: false, nextPosition: 1 },
    messages: [],
    more: false,
  };
}

function refresh(id = 'r-1'): CallRecord {
  return {
    v: 1,
    type: 'request.refresh',
    id,
    sessionId: '00021bBKRTX9M01C' as CallRecord['sessionId'],
    userId: '00A1653C92D4000F' as CallRecord['userId'],
    keyHash: 'a1'.repeat(32),
    transcriptPosition: 1,
    replyTo: 'chat-api-1',
  };
}

function event(index: number): ChatEvent {
  return { from: { nickname: 'J', participantId: 2, type: 'Agent' }, index, type: 'Message', utcTime: 1 };
}

/** The outcome so far. */
function watch(outcome: Promise<CallOutcome>): () => CallOutcome | undefined {
  let settled: CallOutcome | undefined;
  void outcome.then((value) => (settled = value));
  return () => settled;
}

describe('calls on sessions', () => {
  it('appends to the shard of the session and ends with the reply to its id', async () => {
    const { calls, log, reply, clock } = setUp();
    const outcome = calls.call(refresh());
    reply({ id: 'r-2' }, {});
    expect(await outcome).toMatchObject({ kind: 'answered', answer: { alias: '204' } });
    expect(log.appended).toEqual([{ shard: shardOf('00021bBKRTX9M01C', SHARDS), record: refresh() }]);
    expect(clock.timerCount).toBe(0);
  });

  it('without a reply appends the same record again, each time after a longer wait, and then times out', async () => {
    const { calls, log, clock, events } = setUp();
    const outcome = watch(calls.call(refresh()));
    const appendedAfter = async (ms: number) => {
      await clock.advance(ms);
      return log.appended.length;
    };
    expect(await appendedAfter(RETRY_MS - 1)).toBe(1);
    expect(await appendedAfter(1)).toBe(2);
    expect(await appendedAfter(2 * RETRY_MS)).toBe(3);
    expect(await appendedAfter(TIMEOUT_MS - 3 * RETRY_MS - 1)).toBe(3);
    expect(outcome()).toBeUndefined();
    await clock.advance(1);
    expect(outcome()).toEqual({ kind: 'timeout' });
    expect(new Set(log.appended.map(({ record }) => JSON.stringify(record))).size).toBe(1);
    expect(events).toEqual(['appended-again', 'appended-again']);
    expect(clock.timerCount).toBe(0);
  });

  it('a reply after the repeat ends the call; the second one is nobody’s', async () => {
    const { calls, clock, reply, events } = setUp();
    const outcome = watch(calls.call(refresh()));
    await clock.advance(RETRY_MS);
    reply({});
    await clock.advance(0);
    expect(outcome()).toMatchObject({ kind: 'answered' });
    reply({});
    expect(events).toEqual(['appended-again', 'reply-unmatched']);
  });

  it('a lost part is asked for again', async () => {
    const { calls, clock, reply } = setUp();
    const outcome = watch(calls.call(refresh()));
    reply({ messages: [event(1)], more: true });
    reply({ messages: [event(3)], more: false });
    await clock.advance(RETRY_MS);
    expect(outcome()).toBeUndefined();
    reply({ messages: [event(1), event(2)], more: true }, { messages: [event(3)], more: false });
    await clock.advance(0);
    expect(outcome()).toMatchObject({ answer: { messages: [{ index: 1 }, { index: 2 }, { index: 3 }] } });
  });

  it.each([
    { name: 'full', reason: 'maximum bytes exceeded', retryable: true },
    { name: 'away', reason: 'log-away', retryable: true },
    { name: 'strict', reason: 'record-too-large', retryable: false },
  ])('a log that is $name ends the call at once', async ({ reason, retryable }) => {
    const { calls, log, clock } = setUp();
    log.answer = () => Promise.resolve({ kind: 'refused', reason, retryable });
    expect(await calls.call(refresh())).toEqual({ kind: 'refused', reason, retryable });
    expect(clock.timerCount).toBe(0);
  });

  it('an append that throws counts as refused', async () => {
    const { calls, log } = setUp();
    log.answer = () => Promise.reject(new Error('closed'));
    expect(await calls.call(refresh())).toMatchObject({ kind: 'refused', retryable: true });
  });

  it('an append that timed out may have been stored, so the reply still counts', async () => {
    const { calls, log, clock, reply } = setUp();
    log.answer = () => Promise.resolve({ kind: 'refused', reason: 'timeout', retryable: true });
    const outcome = watch(calls.call(refresh()));
    await clock.advance(0);
    expect(outcome()).toBeUndefined();
    reply({});
    await clock.advance(0);
    expect(outcome()).toMatchObject({ kind: 'answered' });
  });

  it('a repeat that the log refuses does not end a call whose record it has', async () => {
    const { calls, log, clock, reply } = setUp();
    const outcome = watch(calls.call(refresh()));
    await clock.advance(0);
    log.answer = () => Promise.resolve({ kind: 'refused', reason: 'busy', retryable: true });
    await clock.advance(RETRY_MS);
    expect(log.appended).toHaveLength(2);
    expect(outcome()).toBeUndefined();
    reply({});
    await clock.advance(0);
    expect(outcome()).toMatchObject({ kind: 'answered' });
  });

  it('an append under way is not repeated (C2)', async () => {
    const { calls, log, clock } = setUp();
    log.answer = () => new Promise(() => undefined);
    const outcome = watch(calls.call(refresh()));
    await clock.advance(TIMEOUT_MS);
    expect(log.appended).toHaveLength(1);
    expect(outcome()).toEqual({ kind: 'timeout' });
  });

  it('two calls with one record id are one (C3)', async () => {
    const { calls, log, reply } = setUp();
    const outcomes = Promise.all([calls.call(refresh()), calls.call(refresh())]);
    reply({});
    const [first, second] = await outcomes;
    expect(first).toMatchObject({ kind: 'answered' });
    expect(second).toBe(first);
    expect(log.appended).toHaveLength(1);
  });

  it.each(['', 'no JSON', '[]', '{"v":2,"replies":[]}', '{"v":1,"replies":[{}]}'])(
    'a message such as %j is counted and changes nothing',
    async (text) => {
      const { calls, events, reply } = setUp();
      const outcome = watch(calls.call(refresh()));
      calls.accept(text);
      await Promise.resolve();
      expect(outcome()).toBeUndefined();
      expect(events).toEqual(['reply-malformed']);
      reply({});
    },
  );
});
