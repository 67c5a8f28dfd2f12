import { SessionCalls, type CallOutcome, type CallRecord } from '@flexpush/actor-runtime';
import { chatResponseSchema, type CallReply } from '@flexpush/contracts';
import { hostileText, ManualClock, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { replyAnswer } from './answer';
import { keyHashOf } from './identity';

function refresh(id: string): CallRecord {
  return {
    v: 1,
    type: 'request.refresh',
    id,
    sessionId: '00021bBKRTX9M01C' as CallRecord['sessionId'],
    userId: '00A1653C92D4000F' as CallRecord['userId'],
    keyHash: keyHashOf('k'),
    transcriptPosition: 1,
    replyTo: 'chat-api-1',
  };
}

function reply(id: string, more: boolean, first: number): CallReply {
  const from = { nickname: 'A', participantId: 1, type: 'Agent' as const };
  return {
    id,
    alias: '204',
    reply: { outcome: 'ok', chatEnded: false, monitored: false, nextPosition: 3 },
    messages: [{ from, index: first, type: 'Message', utcTime: 1, text: 'hello' }],
    more,
  };
}

const lawful = [
  { v: 1, replies: [reply('hostile', false, 1)] },
  { v: 1, replies: [reply('hostile', true, 1), reply('hostile', false, 2)] },
  { v: 1, replies: [reply('nobody', false, 1)] },
];

it('replies of any kind are counted, and the answer that somebody waits for comes through at once', async () => {
  const uncaught = watchUncaught();
  const events: Record<string, number> = {};
  const outcomes: CallOutcome[] = [];
  const calls = new SessionCalls(
    { append: () => Promise.resolve({ kind: 'appended', seq: 1 }) },
    {
      shardCount: 64,
      retryMs: 1_500,
      timeoutMs: 10_000,
      clock: new ManualClock(),
      onEvent: (event) => (events[event] = (events[event] ?? 0) + 1),
    },
  );
  let n = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(hostileText(lawful), { minLength: 100, maxLength: 100 }), async (texts) => {
      const mine = calls.call(refresh(`healthy-${++n}`));
      for (const text of texts) {
        // One that is answered by chance is answered; the next begins anew.
        void calls.call(refresh('hostile')).then((outcome) => outcomes.push(outcome));
        calls.accept(text);
        await Promise.resolve();
      }
      calls.accept(JSON.stringify({ v: 1, replies: [reply(`healthy-${n}`, false, 1)] }));
      expect(await mine).toMatchObject({ kind: 'answered', answer: { messages: [{ text: 'hello' }] } });
    }),
    { numRuns: 50, endOnFailure: true },
  );
  expect(events['reply-malformed']).toBeGreaterThan(500);
  expect(events['reply-unmatched']).toBeGreaterThan(50);
  const caller = { sessionId: 's', userId: 'u', secureKey: 'k' };
  for (const outcome of outcomes.slice(0, 500))
    if (outcome.kind === 'answered') chatResponseSchema.parse(replyAnswer(outcome.answer, caller).body);
  await uncaught.none();
  uncaught.stop();
});
