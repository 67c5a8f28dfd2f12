import { hostileBytes, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { decode } from './decode';
import { newWorld, SHARD, type World } from './testing/shard-rig';
import {
  create,
  end,
  fired,
  join,
  message,
  options,
  refresh,
  sessionIn,
  settled,
  SHARDS,
} from './testing/records';
import { turn } from './testing/virtual-clock';

/** Stands in every field of the lawful records that is secret or content; it must never be seen again. */
const CANARY = 'canary-5be07d19c2f8';
/** Hostile records speak of these chats only, so that the healthy one is left alone by those that are lawful. */
const CHAT = sessionIn(SHARD, 1);
const HEALTHY = sessionIn(SHARD, 0);

const PUBLIC = [
  message(CHAT, CANARY),
  end(CHAT),
  {
    v: 1,
    id: 'j',
    sessionId: CHAT,
    type: 'participant.join',
    userId: 'ada',
    nickname: 'Ada',
    participantType: 'Agent',
  },
  { v: 1, id: 'l', sessionId: CHAT, type: 'participant.leave', userId: 'ada' },
  { v: 1, id: 't', sessionId: CHAT, type: 'typing.start', userId: 'ada', text: CANARY },
  { v: 1, id: 'u', sessionId: CHAT, type: 'url.push', userId: 'ada', url: `https://${CANARY}/` },
  { v: 1, id: 'n', sessionId: CHAT, type: 'notice.custom', userId: 'ada', text: CANARY },
  [message(CHAT, CANARY), message(CHAT, CANARY)],
];
const INTERNAL = [
  create(
    CHAT,
    { deviceId: CANARY },
    { secureKey: CANARY, obfuscatedKey: CANARY, userData: { name: CANARY } },
  ),
  refresh(CHAT, { keyHash: CANARY.padEnd(64), preview: CANARY, replyTo: 'caller' }),
  refresh(CHAT, { replyTo: 'caller' }),
  fired([`resend:${CHAT}:mira`, 1], [`purge:${CHAT}:-`, 2], [`ping:${CHAT}:mira`, 3]),
  settled(`${CHAT}:mira:1`),
  options(2, { 'settings/flex-push-resend-delay': '15' }),
  [refresh(CHAT, { replyTo: 'caller' }), create(CHAT, {}, { text: CANARY })],
];
const hostileMessage = fc.oneof(
  hostileBytes(PUBLIC).map((data) => ({ data, isPublic: true })),
  hostileBytes(INTERNAL).map((data) => ({ data, isPublic: false })),
);

let uncaught: ReturnType<typeof watchUncaught>;
beforeEach(() => (uncaught = watchUncaught()));
afterEach(() => uncaught.stop());

it('every message is decoded or refused with a reason, and what is shown of it holds no secret (I10)', async () => {
  const seen = { record: 0, malformed: 0 };
  fc.assert(
    fc.property(hostileMessage, ({ data, isPublic }) => {
      for (const one of decode({ seq: 1, atMs: 1, isPublic, data }, SHARD, SHARDS)) {
        seen[one.kind]++;
        if (one.kind === 'record') continue;
        expect(one.reason.length).toBeGreaterThan(0);
        expect(one.reason.length).toBeLessThan(600);
        const shown = JSON.stringify([one.reason, one.shown]);
        expect(shown).not.toContain(CANARY);
        expect(shown.length).toBeLessThan(500_000);
      }
    }),
    { numRuns: 10_000, endOnFailure: true },
  );
  // Both ways out were taken, or the property proves little.
  expect(Math.min(seen.record, seen.malformed)).toBeGreaterThan(300);
  await uncaught.none();
});

/** A healthy chat goes on behind whatever came: the message has its place, and its reply comes at once. */
async function talk(world: World, text: string): Promise<void> {
  const record = message(HEALTHY, text);
  const request = refresh(HEALTHY, { replyTo: 'healthy', transcriptPosition: 1 });
  world.publish(record, request);
  for (let turns = 0; turns < 20 && !world.replies.ids().includes(request.id); turns++) await turn();
  const reply = world.replies.sent.find(({ id }) => id === request.id);
  expect(reply?.messages.at(-1)?.text).toBe(text);
  expect(reply?.messages.map(({ index }) => index)).toEqual(reply?.messages.map((_, i) => i + 1));
}

it('a shard folds healthy records at once between hostile ones, and refuses and counts those', async () => {
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(hostileMessage, { minLength: 10, maxLength: 60 }), async (messages) => {
      const world = newWorld();
      const process = await world.process().start();
      let ended: string | undefined;
      void process.ended?.then((how) => (ended = how));
      world.publish(create(HEALTHY), join(HEALTHY));
      for (const [i, { data, isPublic }] of messages.entries()) {
        world.log.publish(SHARD, data, { isPublic });
        if (i % 10 === 9) await talk(world, `m${i}`);
      }
      await talk(world, 'last');
      expect(ended).toBeUndefined();
      expect(JSON.stringify(world.letters.letters)).not.toContain(CANARY);
      expect(JSON.stringify(process.logger.lines)).not.toContain(CANARY);
      expect(process.meter.counts.recordsRefused ?? 0).toBe(world.letters.letters.length);
      refused += world.letters.letters.length;
      for (const { reason } of world.letters.letters) expect(reason).not.toBe('');
      await process.actor.stop();
    }),
    { numRuns: 60, endOnFailure: true },
  );
  expect(refused).toBeGreaterThan(1_000);
  await uncaught.none();
});

/** All that is stored but the places: a record that was refused moves those when it is met, not when it is skipped. */
function contentOf(world: World): object {
  const stored = world.store.shard(SHARD);
  const sessions = [...stored.sessions].map(([id, text]) => [id, (JSON.parse(text) as { s: unknown }).s]);
  return { ...stored, checkpoint: '', sessions };
}

it('a node that takes over skips and refuses the same, and comes to the same state', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostileMessage, { minLength: 5, maxLength: 40 }), async (messages) => {
      const world = newWorld();
      world.publish(create(HEALTHY), join(HEALTHY));
      for (const { data, isPublic } of messages) world.log.publish(SHARD, data, { isPublic });
      const before = world.store.copy();
      const first = await world.process().start();
      await turn();
      await first.actor.stop();
      const folded = contentOf(world);
      const refused = world.letters.letters.length;
      world.store.restore(before);
      const second = await world.process().start();
      await turn();
      await second.actor.stop();
      expect(contentOf(world)).toEqual(folded);
      expect(world.letters.letters).toHaveLength(refused);
    }),
    { numRuns: 25, endOnFailure: true },
  );
  await uncaught.none();
});
