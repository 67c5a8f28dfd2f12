import type { NatsServer, RedisServer } from '@flexpush/testkit';
import { LOG_STREAM } from '@flexpush/contracts';
import { redisCommand } from '@flexpush/testkit';
import { reliable, Story, until, type Chat } from './story';

jest.setTimeout(120_000);

/** An election of NATS takes up to 9 s, and two may follow each other. */
const RECOVERY_MS = 60_000;
/** Enough that every server has something to do with some of them. */
const CHATS = 12;
const BURST = 4;

let story: Story;
afterEach(() => story?.stop());

/** A system whose servers can be replaced; nothing that dies comes back by itself. */
async function startWith(redis: 'single' | 'sentinel' | 'cluster', natsServers: 1 | 3): Promise<Chat[]> {
  story = await Story.start({
    redis,
    natsServers,
    counts: { 'session-actor': 2 },
    // A result that dies with a server is asked for after this time.
    env: { 'session-actor': { FLEXPUSH_SETTLE_DEADLINE_MS: '3000' } },
  });
  await story.set(['settings', 'flex-push-resend-attempts', '1000']);
  const chats = await Promise.all(Array.from({ length: CHATS }, () => story.chat(reliable)));
  await Promise.all(
    chats.map((chat) => surely(chat, 'participant.join', { nickname: 'Jonas', participantType: 'Agent' })),
  );
  await Promise.all(chats.map((chat) => chat.received(1, RECOVERY_MS)));
  return chats;
}

/** Publishes until the log acknowledges it, under one id. Every try must end: silence would be an error of its own. */
async function surely(chat: Chat, type: string, fields: Record<string, string>): Promise<void> {
  const record = chat.record(type, { userId: 'agent-7', ...fields });
  const { id } = JSON.parse(record) as { id: string };
  await until(
    `${id} is acknowledged`,
    () =>
      story.publish(chat.chatId, record, id).then(
        () => true,
        () => false,
      ),
    RECOVERY_MS,
  );
}

/** What the agents say in a round, in every chat. */
function sayings(round: string): string[] {
  return Array.from({ length: BURST }, (_, n) => `${round} ${n}`);
}

async function sayAll(chats: readonly Chat[], round: string): Promise<void> {
  await Promise.all(
    chats.map(async (chat) => {
      for (const text of sayings(round)) await surely(chat, 'message.send', { text });
    }),
  );
}

/** Every chat was pushed again since, and its transcript has every event of these rounds once and in order. */
async function expectAllTold(chats: readonly Chat[], rounds: readonly string[]): Promise<void> {
  const seen = chats.map((chat) => chat.posts().length);
  await Promise.all(chats.map((chat, n) => chat.received((seen[n] ?? 0) + 1, RECOVERY_MS)));
  await Promise.all(
    chats.map(async (chat) => {
      const { messages } = await refreshed(chat);
      expect(messages.map(({ index }) => index)).toEqual(messages.map((_, n) => n + 1));
      expect(messages.flatMap(({ text }) => text ?? [])).toEqual(rounds.flatMap(sayings));
    }),
  );
}

/** The web application tries again when it is told to. */
async function refreshed(chat: Chat) {
  let reply: Awaited<ReturnType<Chat['refresh']>> | undefined;
  await until(
    `${chat.chatId} is refreshed`,
    async () => (reply = await chat.refresh().catch(() => undefined)) !== undefined,
    RECOVERY_MS,
  );
  return reply as NonNullable<typeof reply>;
}

async function logLeader(): Promise<NatsServer> {
  const jsm = await story.nats.jetstreamManager();
  let name: string | undefined;
  await until(
    'the log has a leader',
    async () => {
      name = (await jsm.streams.info(LOG_STREAM).catch(() => undefined))?.cluster?.leader;
      return name !== undefined;
    },
    RECOVERY_MS,
  );
  return story.stack.natsGroup.servers.find((server) => server.name === name) as NatsServer;
}

const ask = async ({ port }: RedisServer, ...words: string[]) => String(await redisCommand(port, ...words));

describe('Failover', () => {
  it('of the NATS server that leads the log, and of another: nothing is lost, pushes go on', async () => {
    const chats = await startWith('single', 3);
    await sayAll(chats, 'before');
    const leader = await logLeader();
    const saying = sayAll(chats, 'while it dies');
    await leader.kill();
    await saying;
    await expectAllTold(chats, ['before', 'while it dies']);
    await leader.start();
    await story.stack.natsGroup.form();
    const follower = story.stack.natsGroup.servers.find((server) => server !== leader) as NatsServer;
    await follower.kill();
    await sayAll(chats, 'without the other');
    await expectAllTold(chats, ['before', 'while it dies', 'without the other']);
  });

  it('of the Redis master under Sentinel, to a replica that lacks the last writes: nothing is lost', async () => {
    const chats = await startWith('sentinel', 1);
    await sayAll(chats, 'before');
    const [master, replica] = story.stack.redisGroup.servers as [RedisServer, RedisServer];
    // The replica cannot come back: what is committed from here on is lost with the master.
    await ask(master, 'CONFIG', 'SET', 'requirepass', 'unknown-to-the-replica');
    await ask(replica, 'CONFIG', 'SET', 'masterauth', 'wrong');
    await ask(replica, 'CLIENT', 'KILL', 'TYPE', 'master');
    await sayAll(chats, 'not replicated');
    await expectAllTold(chats, ['before', 'not replicated']);
    const saying = sayAll(chats, 'while it dies');
    await master.kill();
    await saying;
    await expectAllTold(chats, ['before', 'not replicated', 'while it dies']);
    expect(await story.stack.redisGroup.masters()).toEqual([replica]);
  });

  it('of a master of a Redis Cluster: nothing is lost, pushes go on', async () => {
    const chats = await startWith('cluster', 1);
    await sayAll(chats, 'before');
    const masters = await story.stack.redisGroup.masters();
    const keys = await Promise.all(masters.map((server) => ask(server, 'DBSIZE')));
    const busiest = masters.reduce((best, _, n) => (Number(keys[n]) > Number(keys[best]) ? n : best), 0);
    const saying = sayAll(chats, 'while it dies');
    await (masters[busiest] as RedisServer).kill();
    await saying;
    await expectAllTold(chats, ['before', 'while it dies']);
    const now = await story.stack.redisGroup.masters();
    expect(now).toHaveLength(3);
    expect(now).not.toContain(masters[busiest]);
  });
});
