import type { RecordedPost, ServiceProcess } from '@flexpush/testkit';
import { pause, reliable, Story, subscribing, type Chat } from './story';

jest.setTimeout(90_000);

const DELAY_MS = 1_000;
/** Time in which a system whose parts come back must have told everything. */
const RECOVERY_MS = 20_000;
/** Enough that every shard of both owners has several. */
const CHATS = 40;
const BURST = 10;
/** A POST that has started cannot be taken back by a refresh; so long it may take to arrive. */
const UNDER_WAY_MS = 300;

let story: Story;
beforeAll(async () => {
  story = await Story.start({
    counts: { 'session-actor': 2, 'resend-timer': 2, 'gms-node': 2, 'chat-api': 2 },
    // A result that dies with NATS is asked for after this time; the plain push behind it waits so long.
    env: { 'session-actor': { FLEXPUSH_SETTLE_DEADLINE_MS: '3000' } },
  });
  // A schedule must not end by its limit while a loaded machine brings a service back.
  await story.set(['settings', 'flex-push-resend-attempts', '1000']);
}, 90_000);
afterAll(() => story?.stop());

/** Chats in every state that a crash may find. */
interface Cast {
  /** Told of something and not yet refreshed: their schedules run. */
  waiting: Chat[];
  /** Refreshed: only new events may be pushed to them. */
  quiet: Chat[];
  /** By when a POST that was under way when they refreshed has arrived, epoch ms. */
  quietFromMs: number;
  /** Without resend: every event is pushed once. */
  plain: Chat[];
}

async function assemble(): Promise<Cast> {
  const many = (count: number, userData: Record<string, string>) =>
    Promise.all(Array.from({ length: count }, () => story.chat(userData)));
  const [waiting, quiet, plain] = await Promise.all([
    many(CHATS / 2, reliable),
    many(CHATS / 4, reliable),
    many(CHATS / 4, { ...subscribing, GCTI_GMS_PushIncludePayload: 'true' }),
  ]);
  const all = [...waiting, ...quiet, ...plain];
  await Promise.all(all.map((chat) => chat.agentJoins()));
  await Promise.all(all.map((chat) => chat.received(1, RECOVERY_MS)));
  await Promise.all(quiet.map((chat) => chat.refresh()));
  return { waiting, quiet, quietFromMs: Date.now() + UNDER_WAY_MS, plain };
}

/** A burst of events for some of the chats, as the agent side publishes it whatever happens behind the log. */
async function burst(chats: readonly Chat[]): Promise<void> {
  for (let i = 0; i < BURST; i++) await Promise.all(chats.map((chat) => chat.agentSays(`burst ${i}`)));
}

/** What must hold after every crash, as seen by customers, agents and the web server. */
async function expectNothingLost({ waiting, quiet, quietFromMs, plain }: Cast): Promise<void> {
  // Schedules that ran go on: every waiting chat is told again, without new activity.
  const seen = waiting.map((chat) => chat.posts().length);
  await Promise.all(waiting.map((chat, i) => chat.received((seen[i] ?? 0) + 1, RECOVERY_MS)));
  waiting.forEach((chat) => chat.triggers().forEach(({ position }) => expect(position).toBe(1)));
  // Triggers for the burst: told from the first event that was not retrieved, and resent until refreshed. What was
  // confirmed before the crash is not told again.
  const ofBurst = (chat: Chat) => chat.triggers().filter(({ position }) => position === 3);
  await Promise.all(
    quiet.map((chat) => chat.untilPosts('two triggers', () => ofBurst(chat).length >= 2, RECOVERY_MS)),
  );
  const late = quiet
    .flatMap((chat) => chat.triggers())
    .filter(({ receivedAtMs }) => receivedAtMs > quietFromMs);
  late.forEach(({ position }) => expect(position).toBe(3));
  await Promise.all(plain.map((chat) => expectAllPlain(chat)));
  await Promise.all([...waiting, ...quiet].map((chat) => expectWholeTranscript(chat, quiet.includes(chat))));
  const all = [...waiting, ...quiet, ...plain];
  await pause(UNDER_WAY_MS);
  const told = all.map((chat) => chat.posts().length);
  await pause(DELAY_MS + 600);
  expect(all.map((chat) => chat.posts().length)).toEqual(told);
}

/** Every event of a plain subscription arrives, in order; an event may come twice when a crash hid its result. */
async function expectAllPlain(chat: Chat): Promise<void> {
  const indexOf = ({ body }: { body: unknown }) =>
    (body as { message: { messages: { index: number }[] } }).message.messages[0]?.index ?? 0;
  const hasLast = (posts: RecordedPost[]) => posts.some((post) => indexOf(post) === 2 + BURST);
  await chat.untilPosts('the last event', hasLast, RECOVERY_MS);
  const indexes = [...new Set(chat.posts().map(indexOf))];
  expect(indexes).toEqual(Array.from({ length: 1 + BURST }, (_, i) => i + 2));
}

async function expectWholeTranscript(chat: Chat, isBursted: boolean): Promise<void> {
  const { messages, nextPosition } = await chat.refresh();
  const count = 2 + (isBursted ? BURST : 0);
  expect(messages.map(({ index }) => index)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  expect(messages.slice(2).map(({ text }) => text)).toEqual(
    Array.from({ length: count - 2 }, (_, i) => `burst ${i}`),
  );
  expect(nextPosition).toBe(count + 1);
}

describe('Restart', () => {
  it.each(['resend-timer', 'gms-registry', 'gms-node', 'session-actor'] as const)(
    'of every %s, killed amid a burst of events, loses no trigger and no schedule',
    async (kind) => {
      const cast = await assemble();
      const services: readonly ServiceProcess[] = story.stack.servicesOf(kind);
      const publishing = burst([...cast.quiet, ...cast.plain]);
      await Promise.all(services.map((service) => service.kill()));
      await publishing;
      await Promise.all(services.map((service) => service.start()));
      await expectNothingLost(cast);
    },
  );

  it('of one session-actor of two: the other takes over, and shares again when it is back', async () => {
    const cast = await assemble();
    const [first] = story.stack.servicesOf('session-actor');
    await first?.kill();
    await burst([...cast.quiet, ...cast.plain]);
    const taken = story.stack.service('session-actor-2');
    await expectNothingLost(cast);
    expect(await story.metric(taken, 'flexpush_actor_shards')).toBe(story.stack.shards);
    await first?.start();
    const more = await assemble();
    await burst([...more.quiet, ...more.plain]);
    await expectNothingLost(more);
    expect(await story.metric(taken, 'flexpush_actor_shards')).toBeLessThan(story.stack.shards);
  });

  it('of chat-api: chats go on with the keys they have', async () => {
    const cast = await assemble();
    const services = story.stack.servicesOf('chat-api');
    await Promise.all(services.map((service) => service.kill()));
    await burst([...cast.quiet, ...cast.plain]);
    await Promise.all(services.map((service) => service.start()));
    await expectNothingLost(cast);
  });

  it.each(['redis', 'nats'] as const)('of %s loses nothing that was acknowledged', async (name) => {
    const cast = await assemble();
    const server = story.stack[name];
    if (name === 'nats') {
      await burst([...cast.quiet, ...cast.plain]);
      await server.kill();
    } else {
      await server.kill();
      await burst([...cast.quiet, ...cast.plain]);
    }
    await server.start();
    await expectNothingLost(cast);
  });
});
