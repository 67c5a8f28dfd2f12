import { RebuildTurns } from './rebuild-turns';
import { create, join, message, refresh, sessionIn } from './testing/records';
import { newWorld, SHARD } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const CHAT = sessionIn(SHARD);
const MIRA = `${CHAT}:mira`;
const OTHERS = 10_000;

/** A shard whose record is the last one of a long log. */
async function longLog() {
  const world = newWorld();
  for (let i = 0; i < OTHERS; i++) world.log.publish(SHARD + 1, '{}');
  world.publish(create(CHAT), join(CHAT));
  const other = {};
  await world.rebuilds.take(other);
  return { world, other };
}

describe('RebuildTurns', () => {
  it('lets so many in, and the longest waiting one when a turn ends', async () => {
    const turns = new RebuildTurns(2);
    const whos = Array.from({ length: 4 }, (_, n) => ({ n }));
    const come: number[] = [];
    for (const who of whos) void turns.take(who).then(() => come.push(who.n));
    await turn();
    expect(come).toEqual([0, 1]);
    turns.giveBack(whos[1] as object);
    turns.giveBack(whos[1] as object);
    await turn();
    expect(come).toEqual([0, 1, 2]);
  });

  it('who gives up is let go, and takes no turn from another', async () => {
    const turns = new RebuildTurns(1);
    const [a, b, c] = [{}, {}, {}];
    await turns.take(a);
    const waiting = turns.take(b);
    const next = turns.take(c);
    turns.giveBack(b);
    await waiting;
    turns.giveBack(a);
    await next;
    turns.giveBack(c);
    await turns.take(a);
  });
});

describe('a shard that reads a long log from its beginning (S10)', () => {
  it('waits for its turn, and dispatches nothing that was confirmed meanwhile', async () => {
    const { world, other } = await longLog();
    const process = await world.process({ shard: { recordsPerBatch: 1 } }).start();
    expect([process.actor.isCaughtUp(), world.log.openReaders]).toEqual([false, 0]);
    world.publish(refresh(CHAT));
    world.rebuilds.giveBack(other);
    await turn();
    expect([process.actor.isCaughtUp(), world.gms.ids()]).toEqual([true, []]);
    world.publish(message(CHAT));
    await turn();
    expect(world.gms.ids()).toEqual([`${MIRA}:2`]);
  });

  it('gives its turn back when it is caught up', async () => {
    const { world, other } = await longLog();
    world.rebuilds.giveBack(other);
    await world.process().start();
    await world.rebuilds.take(other);
  });

  it('stops while it waits, and is seen to move as long as it does', async () => {
    const { world } = await longLog();
    const process = await world.process().start();
    await world.clock.advance(20_000);
    expect(process.actor.isStuck(3_000)).toBe(false);
    const [standing] = await world.store.standings([SHARD]);
    await world.clock.advance(3_000);
    expect(await world.store.standings([SHARD])).not.toEqual([standing]);
    expect(await process.actor.stop()).toBe('stopped');
    expect(world.log.openReaders).toBe(0);
  });

  it('a shard that is abandoned in its turn gives it back', async () => {
    const { world, other } = await longLog();
    world.rebuilds.giveBack(other);
    world.store.gateNext();
    const process = await world.process().start();
    process.actor.abandon();
    await world.rebuilds.take(other);
    expect(process.actor.isCaughtUp()).toBe(false);
  });
});
