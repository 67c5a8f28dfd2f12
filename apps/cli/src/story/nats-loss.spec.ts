import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  CLUSTER_BUCKET,
  DEAD_LETTER_STREAM,
  FILE_BUCKET,
  LEASE_BUCKET,
  LOG_STREAM,
  OPTION_BUCKET,
  SKIP_BUCKET,
  SNAPSHOT_STREAM,
} from '@flexpush/contracts';
import { reliable, Story, subscribing, until, type Chat } from './story';

jest.setTimeout(240_000);

/** By when a system that lost its NATS data must work again; generous, for machines that do much else. */
const RECOVERY_MS = 60_000;
const CHATS = 12;
/** Times CHATS, this is more than what the power cut takes. */
const MORE = 40;

let story: Story;
let storeDir: string;
beforeAll(async () => {
  story = await Story.start({
    counts: { 'session-actor': 2, 'resend-timer': 1, 'gms-node': 2, 'chat-api': 1 },
    env: { 'session-actor': { FLEXPUSH_SETTLE_DEADLINE_MS: '3000' } },
  });
  storeDir = join(story.stack.dir, 'nats', 'store');
  await story.set(['settings', 'flex-push-resend-attempts', '1000']);
}, 300_000);
afterAll(() => story?.stop());

interface Cast {
  /** Told and not refreshed: their schedules run. */
  waiting: Chat[];
  /** Refreshed: the next event is to be pushed. */
  quiet: Chat[];
  plain: Chat[];
}

async function assemble(): Promise<Cast> {
  const many = (count: number, userData: Record<string, string>) =>
    Promise.all(Array.from({ length: count }, () => startsUntilAnswered(userData)));
  const [waiting, quiet, plain] = await Promise.all([
    many(CHATS, reliable),
    many(CHATS, reliable),
    many(CHATS, { ...subscribing, GCTI_GMS_PushIncludePayload: 'true' }),
  ]);
  const all = [...waiting, ...quiet, ...plain];
  await Promise.all(all.map((chat) => chat.agentJoins()));
  await Promise.all(all.map((chat) => chat.received(1, RECOVERY_MS)));
  await Promise.all(quiet.map((chat) => chat.refresh()));
  return { waiting, quiet, plain };
}

/** While NATS is just coming back a request is answered with `statusCode` 1: the same one again. */
async function startsUntilAnswered(userData: Record<string, string>): Promise<Chat> {
  let started: Chat | undefined;
  await until(
    'a chat',
    async () => {
      started = await story.chat(userData).catch(() => undefined);
      return started !== undefined;
    },
    RECOVERY_MS,
  );
  return started as Chat;
}

/** An agent whose publish is refused or not acknowledged publishes again, under the id that makes a repeat harmless. */
async function saysUntilStored(chat: Chat, text: string): Promise<void> {
  const record = chat.record('message.send', { userId: 'agent-7', text });
  await until(
    'an acknowledgement',
    () =>
      story.publish(chat.chatId, record, undefined).then(
        () => true,
        () => false,
      ),
    RECOVERY_MS,
  );
}

/** Sessions are known, their schedules run, events are pushed, REST answers, new chats work; nothing was restarted. */
async function expectGoesOn(cast: Cast, pids: readonly (number | undefined)[]): Promise<void> {
  const { waiting, quiet, plain } = cast;
  const seen = new Map([...waiting, ...quiet, ...plain].map((chat) => [chat, chat.posts().length]));
  const next = (chat: Chat) => chat.received((seen.get(chat) ?? 0) + 1, RECOVERY_MS);
  await Promise.all([...quiet, ...plain].map((chat) => saysUntilStored(chat, 'afterwards')));
  await Promise.all([...waiting, ...quiet, ...plain].map(next));
  for (const chat of [...quiet, ...plain]) {
    let texts: (string | undefined)[] = [];
    await until(
      `the transcript of ${chat.chatId}`,
      async () => {
        const { status, body } = await chat.call('refresh', { transcriptPosition: '1' });
        texts = body.messages?.map(({ text }) => text) ?? [];
        return status === 200 && body.statusCode === 0 && texts.includes('afterwards');
      },
      RECOVERY_MS,
    );
    // What was told before is still there, and nothing came twice.
    expect(texts.filter((text) => text === 'afterwards')).toHaveLength(1);
    expect(texts.length).toBeGreaterThanOrEqual(3);
  }
  const fresh = await assemble();
  expect(fresh.quiet).toHaveLength(CHATS);
  expect(story.stack.services.map(({ pid }) => pid)).toEqual(pids);
}

const pids = () => story.stack.services.map(({ pid }) => pid);

describe('NATS loses data under a running system', () => {
  it('all of it: everything goes on by itself, options included', async () => {
    const cast = await assemble();
    const before = pids();
    const options = await readOptions();
    await story.stack.nats.kill();
    rmSync(storeDir, { recursive: true, force: true });
    await story.stack.nats.start();
    await expectGoesOn(cast, before);
    const reread = await readOptions();
    expect(reread).toEqual(options);
    // Changes are followed although their revisions start low again.
    await story.options.set('settings', 'flex-push-on-join', 'false');
    const fed = () =>
      story.internalRecords.filter(
        ({ type, values }) =>
          type === 'options.changed' &&
          (values as Record<string, string>)['settings/flex-push-on-join'] === 'false',
      );
    await until('the change in every shard', () => fed().length >= story.stack.shards, RECOVERY_MS);
    await story.options.set('settings', 'flex-push-on-join', 'true');
    await expectReady();
  });

  it('the last of it, in a power cut, and more is published than was lost', async () => {
    const cast = await assemble();
    const before = pids();
    const copy = `${storeDir}-copy`;
    await story.stack.nats.stop();
    cpSync(storeDir, copy, { recursive: true });
    await story.stack.nats.start();
    const late = await assemble();
    await Promise.all(late.quiet.map((chat) => saysUntilStored(chat, 'lost')));
    await Promise.all(late.quiet.map((chat) => chat.received(2, RECOVERY_MS)));
    await story.stack.nats.kill();
    rmSync(storeDir, { recursive: true, force: true });
    cpSync(copy, storeDir, { recursive: true });
    await story.stack.nats.start();
    for (let i = 0; i < MORE; i++)
      await Promise.all(cast.waiting.map((chat) => saysUntilStored(chat, `more ${i}`)));
    await expectGoesOn(cast, before);
    await expectGoesOn(late, before);
    for (const chat of cast.waiting) {
      const texts = (await chat.refresh()).messages
        .map(({ text }) => text)
        .filter((text) => text !== undefined);
      expect(texts).toEqual(Array.from({ length: MORE }, (_, i) => `more ${i}`));
    }
    await expectReady();
  });

  it.each([
    LOG_STREAM,
    SNAPSHOT_STREAM,
    DEAD_LETTER_STREAM,
    ...[CLUSTER_BUCKET, LEASE_BUCKET, OPTION_BUCKET, SKIP_BUCKET].map((bucket) => `KV_${bucket}`),
    `OBJ_${FILE_BUCKET}`,
  ])('%s, deleted: it is made again, and everything goes on', async (name) => {
    const cast = await assemble();
    const before = pids();
    const { streams } = await story.nats.jetstreamManager();
    const { created } = await streams.info(name);
    await streams.delete(name);
    await until(
      'the new stream',
      () =>
        streams.info(name).then(
          (info) => info.created !== created,
          () => false,
        ),
      RECOVERY_MS,
    );
    await expectGoesOn(cast, before);
    await expectReady();
  });
});

/** Refused records are stored as dead letters, and every service is ready. */
async function expectReady(): Promise<void> {
  const chat = await story.chat(reliable);
  const { seq } = await story.publish(chat.chatId, '{"v":1,"nonsense":true}');
  await until(
    'the dead letter',
    () => story.lettersSoFar().some((letter) => letter.seq === seq),
    RECOVERY_MS,
  );
  await until(
    'all services are ready',
    async () => {
      const answers = await Promise.all(story.stack.services.map(({ url }) => fetch(`${url}/readyz`)));
      return answers.every(({ status }) => status === 200);
    },
    RECOVERY_MS,
  );
}

/** As a process reads them that starts now. */
async function readOptions(): Promise<Record<string, unknown>> {
  const { code, stdout } = await story.cli('options', 'list', '--json');
  if (code !== 0) throw new Error(stdout);
  return JSON.parse(stdout) as Record<string, unknown>;
}
