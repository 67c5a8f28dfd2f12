import type { PlainJob } from '@flexpush/contracts';
import { ADDRESS, away, create, join, message, readReceipt, sessionIn } from './testing/records';
import { newWorld, SHARD, type Process, type World } from './testing/shard-rig';
import { turn } from './testing/virtual-clock';

const CHAT = sessionIn(SHARD);
const PLAIN = { resend: false, includePayload: true };
const NODE = 'gms-a';

/** What went out, in order: where to, and which event. */
const sent = ({ gms }: World) =>
  gms.accepted.map(({ job }) => `${job.deviceType} ${(job as PlainJob).event?.text ?? '-'}`);

/** Accepts and delivers, one after the other as plain ones go, until nothing more comes. */
async function deliverAll(
  world: World,
  { dispatcher }: Process,
  outcome: 'delivered' | 'gone' = 'delivered',
) {
  for (let done = 0; done < world.gms.accepted.length; done++) {
    const { job } = world.gms.accepted[done] ?? {};
    const isToClient = job?.deviceType === 'comet';
    if (job)
      dispatcher.takeResults(
        world.gms.results(NODE, SHARD, { [job.id]: isToClient ? outcome : 'delivered' }),
      );
    // The results become records, and what follows from them is folded.
    await world.clock.advance(300);
  }
}

/** A CometD client with a device, which has asked for the chat and is connected. */
const connected = () => create(CHAT, PLAIN, { address: ADDRESS });

describe('a CometD client, as its shard sees it', () => {
  it('goes away behind a transcript that is in Redis only: its device gets what it has not read', async () => {
    const world = newWorld();
    const first = await world.process().start();
    world.publish(connected(), join(CHAT));
    for (let i = 3; i <= 30; i++) world.publish(message(CHAT, `text ${i}`));
    await turn();
    await deliverAll(world, first);
    await first.actor.stop();
    const next = await world.process().start();
    world.gms.accepted.length = 0;
    // In one batch with something new, which is not in Redis yet.
    world.publish(message(CHAT, 'text 31'), away(CHAT, { transcriptPosition: 27 }), message(CHAT, 'text 32'));
    await turn();
    await deliverAll(world, next);
    expect(sent(world)).toEqual([
      'comet text 31',
      ...[28, 29, 30, 31, 32].map((i) => `customhttp text ${i}`),
    ]);
  });

  it('is found gone by its node: the session learns it, and the event goes to the device', async () => {
    const world = newWorld();
    const process = await world.process().start();
    world.publish(connected(), join(CHAT), message(CHAT, 'lost'), message(CHAT, 'next'));
    await turn();
    await deliverAll(world, process, 'gone');
    expect(world.log.appended.map(({ record }) => record)).toContainEqual(
      expect.objectContaining({ type: 'push.gone', deviceId: ADDRESS, position: 3 }),
    );
    expect(sent(world).filter((line) => !line.endsWith('-'))).toEqual([
      ...['comet lost', 'comet next', 'customhttp lost', 'customhttp next'],
    ]);
  });

  it('is found gone, and the owner dies before it could say so: the next one finds it again (I6)', async () => {
    const world = newWorld();
    const first = await world.process().start();
    world.publish(connected(), join(CHAT));
    await turn();
    await deliverAll(world, first);
    world.gms.accepted.length = 0;
    world.publish(message(CHAT, 'lost'));
    await turn();
    first.crash();
    const next = await world.process().start();
    await deliverAll(world, next, 'gone');
    expect(sent(world)).toEqual(['comet lost', 'comet lost', 'customhttp lost']);
  });
});

it('tells who listens how far the customer has read, after the commit', async () => {
  const world = newWorld();
  await world.process().start();
  world.publish(create(CHAT), join(CHAT));
  await turn();
  const open = world.store.gateNext();
  world.publish(readReceipt(CHAT, 2));
  await turn();
  expect(world.replies.announced).toEqual([]);
  open();
  await turn();
  const [told] = world.replies.announced;
  expect([told?.sessionId, JSON.parse(told?.payload ?? '')]).toEqual([
    CHAT,
    expect.objectContaining({ v: 1, sessionId: CHAT, type: 'read-receipt', position: 2, userId: 'mira' }),
  ]);
});
