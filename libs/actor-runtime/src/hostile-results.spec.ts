import { dispatchAnswerSchema, gmsViewSchema, pushResultsSchema } from '@flexpush/contracts';
import { hostileText, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { gmsView } from './testing/memory-gms';
import { create, join, message, refresh, sessionIn } from './testing/records';
import { newWorld, SHARD } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const CHAT = sessionIn(SHARD, 0);
const OTHER = sessionIn(SHARD, 1);

const results = [
  { v: 1, nodeId: 'gms-a', results: [{ id: `${OTHER}:mira:1`, shard: SHARD, outcome: 'returned' }] },
  {
    v: 1,
    nodeId: 'gms-a',
    results: [{ id: `${OTHER}:mira:1`, shard: SHARD, outcome: 'delivered', reason: 'x' }],
  },
];
const views = [gmsView('gms-a', 'gms-b'), { ...gmsView('gms-a'), settled: false }];
const answers = [
  { status: 'accepted', oldTerms: [] },
  { status: 'busy', retryAfterMs: 100 },
  { status: 'malformed', reason: 'x' },
];

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const input = fc.oneof(
  { weight: 3, arbitrary: hostileText(results).map((text) => ['results', text] as const) },
  { weight: 2, arbitrary: hostileText(views).map((text) => ['view', text] as const) },
  { weight: 1, arbitrary: hostileText(answers).map((text) => ['answer', text] as const) },
);

it('results, views and answers of any kind leave the next notification on its way at once', async () => {
  const uncaught = watchUncaught();
  const taken = { results: 0, view: 0, answer: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(input, { minLength: 20, maxLength: 100 }), async (inputs) => {
      const world = newWorld();
      const owner = await world.process().start();
      let ended: string | undefined;
      void owner.ended?.then((how) => (ended = how));
      for (const chat of [CHAT, OTHER]) world.publish(create(chat), join(chat), message(chat));
      await turn();
      for (const [kind, text] of inputs) {
        // As the process takes them: what the schema refuses goes no further.
        const json = parse(text);
        const result = kind === 'results' ? pushResultsSchema.safeParse(json) : undefined;
        const view = kind === 'view' ? gmsViewSchema.safeParse(json) : undefined;
        const answer = kind === 'answer' ? dispatchAnswerSchema.safeParse(json) : undefined;
        if (result?.success) owner.dispatcher.takeResults(result.data);
        if (view?.success) owner.dispatcher.setView(view.data);
        if (answer?.success) world.gms.script('gms-b', answer.data);
        if (result?.success || view?.success || answer?.success) taken[kind]++;
        await Promise.resolve();
      }
      owner.dispatcher.setView(gmsView('gms-a'));
      // Confirmed, so that the next message is a new trigger.
      world.publish(refresh(CHAT, { transcriptPosition: 1 }), message(CHAT, 'next'));
      const before = world.gms.accepted.length;
      for (let turns = 0; turns < 10; turns++) await turn();
      await world.clock.advance(5_000);
      expect(world.gms.accepted.slice(before).some(({ job }) => job.sessionId === CHAT)).toBe(true);
      expect(ended).toBeUndefined();
      await owner.actor.stop();
    }),
    { numRuns: 60, endOnFailure: true },
  );
  expect(Math.min(...Object.values(taken))).toBeGreaterThan(10);
  await uncaught.none();
  uncaught.stop();
});
