import { SESSION_VERSION } from '@flexpush/session';
import { hostileText, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { create, end, join, message, refresh, sessionIn } from './testing/records';
import { newWorld, SHARD, type World } from './testing/shard-rig';
import type { StoredShard } from './testing/memory-store';
import { parseSession } from './session-cache';
import { dropState, takeSnapshots } from './snapshots';
import { turn } from './testing/virtual-clock';

const CHATS = [0, 1, 2].map((i) => sessionIn(SHARD, i));
const [MIRAS, QUIET, ENDED] = CHATS as [string, string, string];
/** As often as an owner may have to begin again: once for each thing that it finds. */
const STARTS_MAX = 3;

let uncaught: ReturnType<typeof watchUncaught>;
beforeEach(() => (uncaught = watchUncaught()));
afterEach(async () => {
  await uncaught.none();
  uncaught.stop();
});

/** A shard with an unconfirmed trigger, a confirmed one, an ended chat, and its owner gone. */
async function foldedWorld(): Promise<World> {
  const world = newWorld();
  const owner = await world.process().start();
  for (const chat of CHATS)
    world.publish(create(chat), join(chat), message(chat, `one ${chat}`), message(chat, 'two'));
  await turn();
  world.publish(refresh(QUIET, { transcriptPosition: 1 }), end(ENDED));
  await turn();
  await owner.actor.stop();
  return world;
}

function contentOf({ sessions, transcripts, timers, outbox, options }: StoredShard): object {
  return {
    sessions: new Map([...sessions].map(([id, text]) => [id, (JSON.parse(text) as { s: unknown }).s])),
    transcripts,
    timers,
    outbox,
    options,
  };
}

/** Owners come until one stays; returns what the others logged. */
async function takeOver(world: World): Promise<string[]> {
  const facts: string[] = [];
  for (let starts = 0; starts < STARTS_MAX; starts++) {
    const owner = await world.process().start();
    let ended: string | undefined;
    void owner.ended?.then((how) => (ended = how));
    // The healthy chat goes on at once, in its place.
    const request = refresh(QUIET, { replyTo: 'healthy', transcriptPosition: 1 });
    world.publish(message(QUIET, `m${starts}`), request);
    for (let turns = 0; turns < 20; turns++) await turn();
    facts.push(...owner.logger.lines.filter(({ level }) => level === 'error').map(({ fact }) => fact));
    if (ended !== undefined) continue;
    const reply = world.replies.sent.findLast(({ id }) => id === request.id);
    expect(reply?.messages.at(-1)?.text).toBe(`m${starts}`);
    expect(reply?.messages.map(({ index }) => index)).toEqual(reply?.messages.map((_, i) => i + 1));
    expect(owner.actor.isCaughtUp()).toBe(true);
    await owner.actor.stop();
    return facts;
  }
  throw new Error(`no owner stayed: ${facts.join(', ')}`);
}

const places: [string, (stored: StoredShard, text: string) => void][] = [
  ['a session', (stored, text) => void stored.sessions.set(MIRAS, text)],
  ['the healthy session', (stored, text) => void stored.sessions.set(QUIET, text)],
  ['the options', (stored, text) => void (stored.options = text)],
  ['the checkpoint', (stored, text) => void (stored.checkpoint = text)],
  ['an entry of the outbox', (stored, text) => void stored.outbox.set(`${MIRAS}:mira`, text)],
  ['a strange entry of the outbox', (stored, text) => void stored.outbox.set('strange', text)],
  ['an event', (stored, text) => void stored.transcripts.get(QUIET)?.set(2, text)],
  ['a timer', (stored, text) => void stored.timers.set(text, 1)],
];

/** What stands there looks like ours and is not: cut off, of the wrong type, or something else altogether. */
const lawful = [
  { q: [3, 0], s: [SESSION_VERSION, 'support-web', 1, 3, 2, [['mira']], [0, '', '']] },
  { revision: 1, values: {} },
  { from: 'x' },
];
const rubbish = hostileText(lawful).filter((text) => text !== '');

describe('stored state that is rubbish', () => {
  it.each(places)('%s: the shard comes back from the log, whole, and says so', async (name, spoil) => {
    const told: string[] = [];
    await fc.assert(
      fc.asyncProperty(rubbish, async (text) => {
        const world = await foldedWorld();
        spoil(world.store.shard(SHARD), text);
        // It is met when its chat goes on.
        world.publish(message(MIRAS, 'three'));
        told.push(...(await takeOver(world)));
        expect(world.letters.letters).toEqual([]);
        const { sessions, transcripts } = world.store.shard(SHARD);
        expect([...sessions.keys()].sort()).toEqual([...CHATS].sort());
        for (const [id, state] of sessions) {
          const { session } = parseSession(id, state);
          const events = [...(transcripts.get(id)?.keys() ?? [])];
          expect(events.sort((a, b) => a - b)).toEqual(events.map((_, i) => i + 1));
          expect(session?.nextPosition).toBe(events.length + 1);
        }
      }),
      { numRuns: 8, endOnFailure: true },
    );
    if (name !== 'a timer') expect(told).toContain('state.rubbish-dropped');
  });

  it('a lost checkpoint beside sessions folds nothing twice', async () => {
    const world = await foldedWorld();
    const before = contentOf(structuredClone(world.store.shard(SHARD)));
    world.store.shard(SHARD).checkpoint = '';
    const first = await world.process().start();
    expect(await first.ended).toBe('failed');
    const second = await world.process().start();
    expect(second.actor.isCaughtUp()).toBe(true);
    await second.actor.stop();
    expect(contentOf(world.store.shard(SHARD))).toEqual(before);
  });

  it('an owner that dies while it drops leaves the rest to the next', async () => {
    const world = await foldedWorld();
    const before = contentOf(structuredClone(world.store.shard(SHARD)));
    world.store.shard(SHARD).checkpoint = 'rubbish';
    // The first of the commits that drop is stored, and its owner never learns of it.
    world.store.commitFaults.push('lost-after');
    const facts: string[] = [];
    for (let starts = 0; starts < 3; starts++) {
      const owner = await world.process().start();
      for (let turns = 0; turns < 20; turns++) await turn();
      facts.push(...owner.logger.lines.filter(({ level }) => level === 'error').map(({ fact }) => fact));
    }
    expect(facts).toEqual(['shard.failed', 'state.not-dropped', 'shard.failed', 'state.rubbish-dropped']);
    expect(contentOf(world.store.shard(SHARD))).toEqual(before);
  });

  it('is dropped by the owner of the checkpoint only', async () => {
    const world = await foldedWorld();
    const before = structuredClone(world.store.shard(SHARD));
    const stale = { checkpoint: 'of another', outboxKeys: [], batchIdPrefix: 'x' };
    await expect(dropState(world.store, SHARD, stale)).rejects.toThrow('another owner');
    expect(world.store.shard(SHARD)).toEqual(before);
  });

  it('a snapshot that is rubbish is passed over, loudly, and the others are restored', async () => {
    await fc.assert(
      fc.asyncProperty(rubbish, fc.constantFrom('state', 'event', 'outbox'), async (text, where) => {
        const world = await foldedWorld();
        const taken = await takeSnapshots(world.store, SHARD, CHATS, {
          createdAt: world.log.createdAt,
          atMs: 1,
          outbox: [],
        });
        for (const one of taken) await world.snapshots.write(SHARD, one);
        const spoilt = world.snapshots.sessions.get(SHARD)?.get(MIRAS);
        if (!spoilt) throw new Error('there is no snapshot');
        if (where === 'state') spoilt.state = text;
        if (where === 'event') spoilt.events[0] = [1, text];
        if (where === 'outbox') spoilt.outbox = [text];
        world.log.expire(await world.log.lastSeqOf(SHARD));
        world.store.restore(new Map());
        const owner = await world.process().start();
        expect(owner.actor.isCaughtUp()).toBe(true);
        expect(owner.logger.of('snapshot.unreadable')).toMatchObject([{ sessionId: MIRAS }]);
        expect([...world.store.shard(SHARD).sessions.keys()].sort()).toEqual([QUIET, ENDED].sort());
        expect(owner.meter.counts.snapshotsUnreadable).toBe(1);
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });

  it('a session that is rubbish when the log is recreated costs the others nothing', async () => {
    const world = await foldedWorld();
    world.store.shard(SHARD).sessions.set(MIRAS, '{"q":[1]}');
    world.log.recreate('2026-11-24T00:00:00Z');
    const owner = await world.process().start();
    expect(owner.logger.of('snapshot.unreadable')).toMatchObject([{ sessionId: MIRAS }]);
    expect([...(world.snapshots.sessions.get(SHARD)?.keys() ?? [])].sort()).toEqual([QUIET, ENDED].sort());
    // Its notification is to go out: there it is met, dropped, and the others come back from beside the log.
    expect(await owner.ended).toBe('failed');
    expect(owner.logger.of('state.rubbish-dropped')).toHaveLength(1);
    expect(await takeOver(world)).toEqual([]);
    expect([...world.store.shard(SHARD).sessions.keys()].sort()).toEqual([QUIET, ENDED].sort());
  });

  it.each([1e308, Number.MAX_SAFE_INTEGER, 1.5, SESSION_VERSION + 1_001])(
    'is no newer release for its version %s',
    async (v) => {
      const world = await foldedWorld();
      const stored = world.store.shard(SHARD);
      stored.sessions.set(
        MIRAS,
        (stored.sessions.get(MIRAS) ?? '').replace(`"s":[${SESSION_VERSION},`, `"s":[${v},`),
      );
      world.publish(message(MIRAS, 'three'));
      expect(await takeOver(world)).toContain('state.rubbish-dropped');
    },
  );

  it('leaves what a newer release has stored as it is', async () => {
    const world = await foldedWorld();
    const stored = world.store.shard(SHARD);
    const newer = (stored.sessions.get(MIRAS) ?? '').replace(
      `"s":[${SESSION_VERSION},`,
      `"s":[${SESSION_VERSION + 1},`,
    );
    stored.sessions.set(MIRAS, newer);
    world.publish(message(MIRAS, 'three'));
    const owner = await world.process().start();
    expect(await owner.ended).toBe('failed');
    expect(world.store.shard(SHARD).sessions.get(MIRAS)).toBe(newer);
    expect(owner.logger.of('state.rubbish-dropped')).toEqual([]);
  });
});
