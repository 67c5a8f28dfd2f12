import { formatCheckpoint } from '@flexpush/actor-runtime';
import { shardOf, subjects } from '@flexpush/contracts';
import { connectBus, DeadLetters, ensureStreams, ShardLog, type NatsBus } from '@flexpush/nats-bus';
import { connectRedis, StateStore, type RedisConnection } from '@flexpush/redis-store';
import { startTestNats, startTestRedis, type TestNats, type TestRedis } from '@flexpush/testkit';
import { Command } from 'commander';
import { registerPublish } from './publish-command';
import { eventTypes, problemsOf } from './publish-fields';
import { printedBy } from './story/printed';

const SHARDS = 4;
const CHAT = '00021bBKRTX9M01C';
const shard = shardOf(CHAT, SHARDS);

describe('the flags of a chat event', () => {
  const userId = 'agent-7';

  it.each([
    { type: 'participant.join', flags: {}, says: 'participant.join needs --user' },
    { type: 'participant.leave', flags: {}, says: 'participant.leave needs --user' },
    { type: 'message.send', flags: { userId }, says: 'message.send needs --text' },
    { type: 'message.send', flags: { userId, text: '' }, says: '--text must not be empty' },
    { type: 'notice.custom', flags: { userId }, says: 'notice.custom needs --text' },
    { type: 'typing.start', flags: {}, says: 'typing.start needs --user' },
    { type: 'url.push', flags: { userId }, says: 'url.push needs --url' },
    {
      type: 'url.push',
      flags: { userId, url: 'javascript:alert(1)' },
      says: /^--url must be an absolute http/,
    },
    {
      type: 'url.push',
      flags: { userId, url: 'https://a.test', text: 'x' },
      says: 'url.push takes no --text',
    },
    { type: 'session.end', flags: { nickname: 'x' }, says: 'session.end takes no --nickname' },
    { type: 'message.send', flags: { userId: 'a b', text: 'x' }, says: /^--user must be 1 to 64 letters/ },
    {
      type: 'message.send',
      flags: { userId, text: 'x'.repeat(16_385) },
      says: /--text must have 0 to 16384/,
    },
    { type: 'participant.join', flags: { userId, nickname: '' }, says: /^--nickname must have 1 to 128/ },
    { type: 'session.end', flags: { id: '' }, says: '--id must have 1 to 128 characters' },
  ] as const)('of $type: $says', ({ type, flags, says }) => {
    const problems = problemsOf(CHAT, type, flags);
    expect(problems).toEqual([typeof says === 'string' ? says : expect.stringMatching(says)]);
  });

  it('are all told at once, the chat id too', () => {
    expect(problemsOf('a.b', 'message.send', {})).toEqual([
      expect.stringMatching(/^the chat id must be 1 to 64/),
      'message.send needs --user',
      'message.send needs --text',
    ]);
  });

  it.each(eventTypes)('that %s needs are enough for it', (type) => {
    const flags = {
      ...(type === 'session.end' ? {} : { userId }),
      ...(['message.send', 'notice.custom'].includes(type) ? { text: 'x' } : {}),
      ...(type === 'url.push' ? { url: 'https://a.test' } : {}),
    };
    expect(problemsOf(CHAT, type, flags)).toEqual([]);
  });
});

describe('publish', () => {
  let nats: TestNats;
  let redis: TestRedis;
  let bus: NatsBus;
  let redisClient: RedisConnection;
  /** Plays the session-actor: refuses, or not, and passes. */
  let judge: (seq: number) => Promise<void> = async () => undefined;
  let judged = Promise.resolve();

  beforeAll(async () => {
    [nats, redis] = await Promise.all([startTestNats(), startTestRedis()]);
    bus = await connectBus({ url: nats.url, name: 'spec' });
    await ensureStreams(bus, {
      shardCount: SHARDS,
      replicas: 1,
      logBytesMax: 1 << 24,
      logAgeMaxMs: 3_600_000,
    });
    redisClient = connectRedis({ url: redis.socketPath });
    const log = await ShardLog.open(bus);
    bus.subscribe(subjects.logPublic(shard), () => {
      judged = judged.then(async () => judge(await log.lastSeqOf(shard)));
    });
    await bus.flush();
  });
  afterAll(async () => {
    redisClient.disconnect();
    await bus.close();
    await Promise.all([nats.stop(), redis.stop()]);
  });
  afterEach(async () => {
    await bus.flush();
    await judged;
    process.exitCode = 0;
  });

  async function pass(seq: number, ofLog?: string): Promise<void> {
    const createdAt = ofLog ?? (await (await ShardLog.open(bus)).state()).createdAt;
    const stored = await new StateStore(redisClient).checkpoints([shard]);
    const next = formatCheckpoint({ createdAt, seq, atMs: 1, foldTimeMs: 1, batchId: `b-${seq}` });
    await new StateStore(redisClient).commit(shard, {
      expectedCheckpoint: stored[0] ?? '',
      checkpoint: next,
      options: '',
      sessions: [],
      timers: [],
      outbox: [],
      snapshots: [],
    });
  }

  async function refuse(seq: number): Promise<void> {
    const letters = await DeadLetters.open(bus);
    await letters.refuse({ shard, seq, index: 0, atMs: 1, reason: 'unknown-session', record: {} });
  }

  /** What the command prints, or throws. */
  async function publish(args: readonly string[]): Promise<string> {
    const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    registerPublish(program);
    for (const command of program.commands)
      command.exitOverride().configureOutput({ writeErr: () => undefined });
    return printedBy(() => program.parseAsync(['node', 'flexpush', 'publish', ...args, '--nats', nats.url]));
  }

  const message = [CHAT, 'message.send', '--user', 'agent-7', '--text', 'Hello'];

  it('says that the chat has it once the fold has passed it', async () => {
    judge = (seq) => pass(seq);
    const withRedis = ['--redis', redis.socketPath];
    expect(await publish([...message, ...withRedis])).toMatch(
      /^stored as \d+, id [0-9a-f-]+; the chat has it\n$/,
    );
    const json = JSON.parse(await publish([...message, ...withRedis, '--json'])) as object;
    expect(json).toMatchObject({ kind: 'stored', duplicate: false, fate: 'taken' });
  });

  it.each([
    { name: 'with Redis', isRedisKnown: true },
    { name: 'without Redis', isRedisKnown: false },
  ])('says why nobody will see what the chat did not take, $name', async ({ isRedisKnown }) => {
    judge = async (seq) => {
      await refuse(seq);
      await pass(seq);
    };
    const args = [...message, ...(isRedisKnown ? ['--redis', redis.socketPath] : [])];
    await expect(publish(args)).rejects.toThrow(
      /^stored as \d+, id .*, but nobody will see it: there is no such chat, .* \(unknown-session\)$/,
    );
    const json = JSON.parse(await publish([...args, '--json'])) as object;
    expect(json).toMatchObject({ kind: 'stored', fate: 'refused', reason: 'unknown-session' });
    expect(process.exitCode).toBe(1);
  });

  it('does not claim what it cannot know without Redis', async () => {
    judge = (seq) => pass(seq);
    expect(await publish(message)).toContain('whether the chat has it is not known here: name its Redis');
  });

  it('says when nobody folds, also where the checkpoint is far on in another log', async () => {
    judge = (seq) => pass(seq + 1_000, '2020-01-01T00:00:00Z');
    expect(await publish([...message, '--redis', redis.socketPath])).toContain(
      'not folded within 4 s, so whether the chat takes it is not known yet',
    );
  });

  it('says of a repeat no more than that it is one', async () => {
    judge = (seq) => pass(seq);
    const args = [...message, '--redis', redis.socketPath, '--id', 'again-1'];
    await publish(args);
    expect(await publish(args)).toMatch(/^stored as \d+ \(a repeat, without effect\), id again-1\n$/);
  });

  it('refuses a command line in its own words before it looks for a server', async () => {
    await expect(publish([CHAT, 'message.send', '--nats', 'nats://127.0.0.1:1'])).rejects.toThrow(
      /^message.send needs --user; message.send needs --text/,
    );
    await expect(publish([CHAT, 'message.sent'])).rejects.toThrow(/Allowed choices are participant.join, /);
  });
});
