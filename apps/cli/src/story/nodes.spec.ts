import { gmsViewSchema, type GmsView } from '@flexpush/contracts';
import type { ServiceProcess } from '@flexpush/testkit';
import { reliable, Story, subscribing, until, type Chat } from './story';

jest.setTimeout(60_000);

/** Chats per group: that two nodes share them all on one side happens once in 30,000 times. */
const CHATS = 16;

let story: Story;
beforeAll(async () => {
  // Nodes 1 and 3 are of group a, node 2 is of group b.
  story = await Story.start({ counts: { 'gms-node': 3 }, groups: ['a', 'b'] });
  // A push that fell due while another test watches would be counted as that test's.
  await story.set(['settings', 'flex-push-resend-delay', '600']);
}, 90_000);
afterAll(() => story?.stop());

const withPayload = { ...subscribing, GCTI_GMS_PushIncludePayload: 'true' };
const indexOf = ({ body }: { body: unknown }) =>
  (body as { message: { messages: { index: number }[] } }).message.messages[0]?.index ?? 0;
const node = (name: string): ServiceProcess => story.stack.service(name);
const nodes = () => story.stack.servicesOf('gms-node');

async function view(): Promise<GmsView> {
  const answer = await story.nats.request('flexpush.registry.view', '', { timeout: 2_000 });
  return gmsViewSchema.parse(answer.json());
}

/** Resolves when the registry shows exactly these nodes. */
function untilRegistered(...names: string[]): Promise<void> {
  return until(`the nodes ${names.join(', ') || '(none)'}`, async () => {
    const shown = (await view()).nodes.map(({ nodeId }) => nodeId as string).sort();
    return JSON.stringify(shown) === JSON.stringify(names);
  });
}

/** How many notifications each living node delivers while the task runs. */
async function deliveredBy(task: () => Promise<unknown>): Promise<Record<string, number>> {
  const read = async () =>
    Object.fromEntries(
      await Promise.all(
        nodes()
          .filter((one) => one.currentPid !== undefined)
          .map(
            async (one) =>
              [
                one.name,
                await story.metric(one, 'flexpush_gms_notifications_settled_total', 'outcome="delivered"'),
              ] as const,
          ),
      ),
    ) as Record<string, number>;
  const before = await read();
  await task();
  const after = await read();
  return Object.fromEntries(
    Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]),
  );
}

function chatsOf(group: string, userData: Record<string, string> = reliable): Promise<Chat[]> {
  return Promise.all(
    Array.from({ length: CHATS }, () => story.chat({ ...userData, GCTI_GMS_NodeGroup: group })),
  );
}

/** An agent does something in each chat; resolves when every chat has been told. */
async function stir(chats: readonly Chat[]): Promise<void> {
  await Promise.all(
    chats.map(async (chat) => {
      const before = chat.posts().length;
      await (before === 0 ? chat.agentJoins() : chat.agentSays('more'));
      await chat.received(before + 1);
    }),
  );
}

describe('Nodes', () => {
  let ofA: Chat[];
  let ofB: Chat[];

  it('register by heartbeat in a group', async () => {
    await untilRegistered('gms-node-1', 'gms-node-2', 'gms-node-3');
    const { nodes: shown } = await view();
    expect(Object.fromEntries(shown.map(({ nodeId, group }) => [nodeId, group]))).toEqual({
      'gms-node-1': 'a',
      'gms-node-2': 'b',
      'gms-node-3': 'a',
    });
    shown.forEach((one) => expect(one).toMatchObject({ state: 'ready', status: 'alive' }));
    expect(shown[0]?.types).toContain('customhttp');
    const listed = await story.cli('nodes');
    expect(listed.stdout).toMatch(/gms-node-2 +b +ready +alive/);
  });

  it('serve the chats of their group, and share them', async () => {
    [ofA, ofB] = await Promise.all([chatsOf('a'), chatsOf('b')]);
    const byA = await deliveredBy(() => stir(ofA));
    expect(byA['gms-node-2']).toBe(0);
    expect((byA['gms-node-1'] ?? 0) + (byA['gms-node-3'] ?? 0)).toBe(CHATS);
    expect(Math.min(byA['gms-node-1'] ?? 0, byA['gms-node-3'] ?? 0)).toBeGreaterThan(0);
    expect(await deliveredBy(() => stir(ofB))).toMatchObject({ 'gms-node-1': 0, 'gms-node-2': CHATS });
  });

  it('keep a subscription while they live', async () => {
    const first = await deliveredBy(() => stir(ofA));
    for (let round = 0; round < 3; round++) expect(await deliveredBy(() => stir(ofA))).toEqual(first);
    const one = ofA.slice(0, 1);
    const server = await deliveredBy(() => stir(one));
    for (let round = 0; round < 5; round++) expect(await deliveredBy(() => stir(one))).toEqual(server);
  });

  it('take over from a group that has no node left, and keep what they took', async () => {
    await node('gms-node-2').kill();
    // At once, before any registry has noticed: the dispatch itself finds nobody.
    const moved = await deliveredBy(() => stir(ofB));
    expect((moved['gms-node-1'] ?? 0) + (moved['gms-node-3'] ?? 0)).toBe(CHATS);
    await untilRegistered('gms-node-1', 'gms-node-3');
    const newcomers = await chatsOf('b');
    await stir(newcomers);
    await node('gms-node-2').start();
    await untilRegistered('gms-node-1', 'gms-node-2', 'gms-node-3');
    const later = await deliveredBy(() => stir([...ofB, ...newcomers]));
    expect(later['gms-node-2']).toBe(0);
    // Chats that begin now find their home group again.
    const fresh = await chatsOf('b');
    expect((await deliveredBy(() => stir(fresh)))['gms-node-2']).toBe(CHATS);
    ofB = fresh;
  });

  it('pass on what a dead one left undone, once each', async () => {
    story.receiver.hold();
    const before = ofB.map((chat) => chat.posts().length);
    await Promise.all(ofB.map((chat) => chat.agentSays('in flight')));
    await Promise.all(ofB.map((chat, i) => chat.received((before[i] ?? 0) + 1)));
    await node('gms-node-2').kill();
    story.receiver.release();
    // The dead node's POSTs have arrived but nobody could say so: another node repeats each of them, once.
    await Promise.all(ofB.map((chat, i) => chat.received((before[i] ?? 0) + 2)));
    const positions = ofB.map((chat) => chat.triggers().map(({ position }) => position));
    positions.forEach((ofChat) => expect(new Set(ofChat)).toEqual(new Set([1])));
    await node('gms-node-2').start();
    await untilRegistered('gms-node-1', 'gms-node-2', 'gms-node-3');
  });

  it('are waited for when there is none: log id 59758, and the push goes out when one appears', async () => {
    const trigger = await story.chat({ ...reliable, GCTI_GMS_NodeGroup: 'a' });
    const plain = await story.chat({ ...withPayload, GCTI_GMS_NodeGroup: 'b' });
    // A push whose result died with its node is told again by the next one, so only its first time counts.
    const told = () => [...new Set(plain.posts().map(indexOf))];
    await stir([trigger, plain]);
    await Promise.all(nodes().map((one) => one.kill()));
    const isTold = (line: Record<string, unknown>) => line['logId'] === '59758';
    const linesBefore = story.logLines('session-actor-1').filter(isTold).length;
    await trigger.agentSays('is anybody there?');
    await plain.agentSays('is anybody there?');
    await plain.agentSays('hello?');
    await until('log id 59758', () => story.logLines('session-actor-1').filter(isTold).length > linesBefore);
    const line = story.logLines('session-actor-1').filter(isTold).at(-1);
    expect(line?.msg).toMatch(/^push-flex: could not send notification - no gms node found in group=[ab]$/);
    await untilRegistered();
    expect([trigger.posts().length, plain.posts().length]).toEqual([1, 1]);
    // A node of any group will do, and nothing but its coming is needed.
    const startedAtMs = Date.now();
    await node('gms-node-3').start();
    const startMs = Date.now() - startedAtMs;
    const [, late] = await trigger.triggered(2);
    expect(late).toMatchObject({ attempt: 0, position: 1 });
    expect((late?.receivedAtMs ?? 0) - startedAtMs).toBeLessThan(startMs + 2_000);
    await plain.untilPosts('what was said', () => told().includes(4));
    await stir([trigger]);
    await plain.agentSays('there you are');
    await plain.untilPosts('what is said now', () => told().includes(5));
    expect(told()).toEqual([2, 3, 4, 5]);
  });
});
