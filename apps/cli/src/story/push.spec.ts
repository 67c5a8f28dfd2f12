import { pushContentKeys } from '@flexpush/contracts';
import { connectRedis } from '@flexpush/redis-store';
import { startReceiver } from '@flexpush/testkit';
import { pause, reliable, Story, subscribing, until, type Chat, type Trigger } from './story';

jest.setTimeout(60_000);

const DELAY_MS = 1_000;
/** How late an attempt may come on a loaded machine; early it may never come. */
const LATE_MAX_MS = 1_500;
/** Longer than any push takes that is not delayed on purpose. */
const QUIET_MS = 600;

let story: Story;
beforeAll(async () => {
  story = await Story.start();
}, 90_000);
afterEach(() => story.reset());
afterAll(() => story?.stop());

/** Attempts of one schedule: none early, none absurdly late, each one higher than the last. */
function expectSchedule(triggers: readonly Trigger[], baseMs: number): void {
  triggers.forEach(({ attempt, receivedAtMs }, k) => {
    expect(attempt).toBe(k);
    expect(receivedAtMs - baseMs).toBeGreaterThanOrEqual(k * DELAY_MS);
    const previousMs = triggers[k - 1]?.receivedAtMs ?? baseMs - DELAY_MS;
    expect(receivedAtMs - previousMs).toBeLessThan(DELAY_MS + LATE_MAX_MS);
  });
}

/** Asserts that a chat gets no more pushes for longer than a resend would take. */
async function expectSilence(chats: readonly Chat[], durationMs = DELAY_MS + QUIET_MS): Promise<void> {
  const before = chats.map((chat) => chat.posts().length);
  await pause(durationMs);
  expect(chats.map((chat) => chat.posts().length)).toEqual(before);
}

/** Every combination of the keys, written as an option. */
const contents = Array.from({ length: 2 ** pushContentKeys.length }, (_, bits) =>
  pushContentKeys.filter((_key, i) => bits & (1 << i)),
);

describe('Push, reliable', () => {
  it('POSTs exactly the JSON of the page, with what flex-push-content names', async () => {
    const deviceId = 'a1a23456789123456789';
    const chat = await story.chat({ ...reliable, GCTI_GMS_PushDeviceId: deviceId });
    // The own join is retrieved, so that what follows starts at position 2.
    await chat.refresh();
    await chat.agentJoins();
    await chat.received(1);
    const seenKeys = new Set<string>();
    for (const [i, content] of contents.entries()) {
      await story.set(['settings', 'flex-push-content', content.join(', ')]);
      const earlier = chat.posts().length;
      await chat.agentSays(`message ${i}`);
      const post = (await chat.received(earlier + 1))[earlier];
      const { message } = post?.body as { message: { secureKey: string; messages: { utcTime: number }[] } };
      const utcTime = message.messages[0]?.utcTime ?? 0;
      expect(utcTime % 1_000).toBe(0);
      expect(Math.abs(Date.now() - utcTime)).toBeLessThan(10_000);
      seenKeys.add(message.secureKey);
      const values = {
        'secure-key': chat.secureKey,
        'app-dbid': chat.reply.alias,
        'user-id': chat.userId,
        'session-id': chat.chatId,
      };
      const named = Object.entries(values).filter(([key]) => (content as string[]).includes(key));
      const userData = { 'notify-attempt': '0', 'notify-position': '2', ...Object.fromEntries(named) };
      const from = { nickname: '', participantId: 0, type: 'Client' };
      const text = 'PUSH-NOTIFICATION';
      expect(JSON.stringify(post?.body)).toBe(
        JSON.stringify({
          message: {
            secureKey: message.secureKey,
            chatId: 'deprecated',
            nextPosition: 3,
            messages: [{ from, index: 0, text, type: 'PushUrl', utcTime, userData }],
            alias: '0',
            chatEnded: false,
            userId: 'deprecated',
            statusCode: 0,
            monitored: false,
          },
          deviceId,
        }),
      );
      expect(post?.headers['content-type']).toBe('application/json;charset=UTF-8');
    }
    // The obfuscated key is one per participant, and none of its secrets shows in it.
    expect(seenKeys.size).toBe(1);
    expect(Buffer.from([...seenKeys][0] ?? '', 'base64').toString('latin1')).not.toContain(chat.secureKey);
    await chat.refresh();
  });

  it('sends attempt k after k delays, none after flex-push-resend-attempts, and starts anew with new activity', async () => {
    await story.set(['settings', 'flex-push-resend-attempts', '2']);
    const chat = await story.chat();
    const none = await story.chat();
    await Promise.all([chat.agentJoins(), none.agentJoins()]);
    await chat.received(3);
    await story.set(['settings', 'flex-push-resend-attempts', '0']);
    const onlyOnce = await story.chat();
    await onlyOnce.agentJoins();
    await onlyOnce.received(1);
    await expectSilence([chat, onlyOnce]);
    expect(onlyOnce.triggers().map(({ attempt }) => attempt)).toEqual([0]);
    await story.set(['settings', 'flex-push-resend-attempts', undefined]);
    await chat.agentSays('still there?');
    const [, , , fresh] = await chat.triggered(4);
    expect(fresh).toMatchObject({ attempt: 0, position: 1, nextPosition: 2 });
    const joined = await chat.eventAt(2);
    const triggers = chat.triggers().slice(0, 3);
    expectSchedule(triggers, joined.utcTime);
    expect(triggers.map(({ position }) => position)).toEqual([1, 1, 1]);
    await Promise.all([none.refresh(), onlyOnce.refresh()]);
  });

  it('sends none after a refresh by that participant, and goes on after anything else', async () => {
    const refreshed = await story.chat();
    const others = await Promise.all([story.chat(), story.chat(), story.chat(), story.chat()]);
    const [sent, typed, badKey, unread] = others as [Chat, Chat, Chat, Chat];
    const all = [refreshed, ...others];
    await Promise.all(all.map((chat) => chat.agentJoins()));
    await Promise.all(all.map((chat) => chat.received(1)));
    await Promise.all([
      refreshed.refresh(),
      sent.call('send', { message: 'hello', transcriptPosition: '1' }),
      typed.call('startTyping'),
      badKey.call('refresh', { secureKey: '00000000000000000000' }),
    ]);
    await Promise.all([sent, typed, badKey, unread].map((chat) => chat.received(2)));
    const [, resent] = sent.triggers();
    expect(resent).toMatchObject({ attempt: 1, position: 1 });
    // A refresh between two attempts ends the schedule too, whatever position it asks for.
    await Promise.all(others.map((chat) => chat.call('refresh', { transcriptPosition: '4' })));
    const counts = others.map((chat) => chat.posts().length);
    expect(counts).toEqual([2, 2, 2, 2]);
    await expectSilence(all);
    expect(refreshed.triggers()).toHaveLength(1);
    await refreshed.agentSays('next');
    const [, next] = await refreshed.triggered(2);
    expect(next).toMatchObject({ attempt: 0, position: 3, nextPosition: 4 });
    await refreshed.refresh();
  });

  it('gives a newer event a trigger at once, from the earliest position, and keeps one schedule', async () => {
    await story.set(['settings', 'flex-push-resend-attempts', '2']);
    const chat = await story.chat();
    await chat.agentJoins();
    await chat.received(2);
    await chat.agentSays('a newer one');
    await chat.received(5);
    await expectSilence([chat]);
    const triggers = chat.triggers();
    expect(triggers.map(({ attempt }) => attempt)).toEqual([0, 1, 0, 1, 2]);
    expect(triggers.map(({ position }) => position)).toEqual([1, 1, 1, 1, 1]);
    const [joined, said] = [await chat.eventAt(2), await chat.eventAt(3)];
    expectSchedule(triggers.slice(0, 2), joined.utcTime);
    expectSchedule(triggers.slice(2), said.utcTime);
    expect((triggers[2] as Trigger).receivedAtMs - said.utcTime).toBeLessThan(DELAY_MS);
  });

  it('says position -1 to who was removed, and chatEnded at the end of the session', async () => {
    const [removed, ended, left] = [await story.chat(), await story.chat(), await story.chat()];
    for (const chat of [removed, ended, left]) {
      await chat.agentJoins();
      await chat.received(1);
      await chat.refresh();
    }
    await removed.publish('participant.leave', { userId: removed.userId, removedBy: 'agent-7' });
    await ended.publish('session.end', { userId: 'agent-7' });
    // Who leaves by itself and did not ask for its own activity needs no telling.
    await left.call('disconnect');
    const last = async (chat: Chat) => (await chat.triggered(3)).slice(1);
    const gone = { position: -1, nextPosition: 0 };
    expect(await last(removed)).toMatchObject([
      { ...gone, attempt: 0, chatEnded: false },
      { ...gone, attempt: 1, chatEnded: false },
    ]);
    expect(await last(ended)).toMatchObject([
      { ...gone, attempt: 0, chatEnded: true },
      { ...gone, attempt: 1, chatEnded: true },
    ]);
    // A removed party cannot refresh any more, but its attempt acknowledges the removal.
    const late = await removed.call('refresh', { transcriptPosition: '3' });
    expect(late.body).toMatchObject({ statusCode: 2, chatEnded: true, errors: [{ code: 249 }] });
    expect((await ended.refresh(3)).chatEnded).toBe(true);
    await expectSilence([removed, ended, left]);
    expect(left.posts()).toHaveLength(1);
  });

  it('pushes own events only with NotifyRequestor', async () => {
    const silent = await story.chat({ ...reliable, GCTI_GMS_NotifyRequestor: 'false' });
    const told = await story.chat({ ...reliable, GCTI_GMS_NotifyRequestor: 'true' });
    const [join] = await told.triggered(1);
    expect(join).toMatchObject({ attempt: 0, position: 1 });
    await told.refresh();
    await Promise.all([told, silent].map((chat) => chat.call('send', { message: 'mine' })));
    expect((await told.triggered(2))[1]).toMatchObject({ attempt: 0, position: 2 });
    await told.refresh();
    await Promise.all([told, silent].map((chat) => chat.call('disconnect')));
    expect((await told.triggered(3))[2]).toMatchObject({ position: -1, chatEnded: true });
    await told.refresh();
    await expectSilence([told, silent], QUIET_MS);
    expect(silent.posts()).toEqual([]);
  });
});

describe('Push, plain', () => {
  const plain = { ...subscribing, GCTI_GMS_NotifyRequestor: 'false' };
  const withPayload = { ...plain, GCTI_GMS_PushIncludePayload: 'true' };
  const messageOf = (post: { body: unknown } | undefined) => (post?.body as { message: unknown }).message;

  it('POSTs each event once and in order, in the message when the payload is wanted', async () => {
    const chat = await story.chat(withPayload);
    await chat.agentJoins();
    for (let i = 0; i < 20; i++) await chat.agentSays(`text ${i}`);
    const posts = await chat.received(21);
    const transcript = await chat.refresh(2);
    const { secureKey } = messageOf(posts[0]) as { secureKey: string };
    posts.forEach((post, i) => {
      expect(post.body).toEqual({
        deviceId: chat.given.deviceId,
        message: {
          messages: [transcript.messages[i]],
          chatId: chat.chatId,
          userId: chat.userId,
          alias: chat.reply.alias,
          secureKey,
          nextPosition: i + 3,
          chatEnded: false,
          statusCode: 0,
          monitored: false,
        },
      });
    });
    expect(secureKey).not.toBe(chat.secureKey);
    await expectSilence([chat]);
  });

  it('goes by the user data, else by the option of the service or of all, and an explicit false wins', async () => {
    const unsaid = await story.chat(plain, { service: 'with-payload' });
    const forbidden = await story.chat(
      { ...plain, GCTI_GMS_PushIncludePayload: 'false' },
      { service: 'with-payload' },
    );
    const elsewhere = await story.chat(plain, { service: 'other' });
    const chats = [unsaid, forbidden, elsewhere];
    const kinds = async (count: number) =>
      Promise.all(
        chats.map(async (chat) => {
          const message = messageOf((await chat.received(count))[count - 1]);
          return typeof message === 'object' ? 'payload' : message;
        }),
      );
    await Promise.all(chats.map((chat) => chat.agentJoins()));
    expect(await kinds(1)).toEqual(['dummy message', 'dummy message', 'dummy message']);
    const name = 'push_notification_include_payload';
    await story.set(['chat.with-payload', name, 'true']);
    await Promise.all(chats.map((chat) => chat.agentSays('one')));
    expect(await kinds(2)).toEqual(['payload', 'dummy message', 'dummy message']);
    await story.set(['chat', name, 'true']);
    await Promise.all(chats.map((chat) => chat.agentSays('two')));
    expect(await kinds(3)).toEqual(['payload', 'dummy message', 'payload']);
    await story.set(['chat.with-payload', name, 'false']);
    await Promise.all(chats.map((chat) => chat.agentSays('three')));
    expect(await kinds(4)).toEqual(['dummy message', 'dummy message', 'payload']);
  });

  it('never repeats a refused or failed POST, logs it with 09900 and counts it', async () => {
    const chat = await story.chat(withPayload);
    await chat.agentJoins();
    await chat.received(1);
    const [node] = story.stack.servicesOf('gms-node');
    if (node === undefined) throw new Error('there is no gms-node');
    const failures = (cause: string) =>
      story.metric(node, 'flexpush_gms_notifications_failed_total', `cause="${cause}"`);
    const [refusedBefore, erroredBefore] = [await failures('connection'), await failures('http-5xx')];
    const logged = (reason: string) => (line: Record<string, unknown>) =>
      line['logId'] === '09900' && line['reason'] === reason && line['sessionId'] === chat.chatId;

    await story.receiver.refuse();
    await chat.agentSays('lost');
    const line = await story.logLine(node.name, logged('connection-ECONNREFUSED'));
    expect(line).toMatchObject({
      text: expect.stringMatching(/^Event 3 was not .* customhttp for device \.\.\./),
    });
    await story.receiver.accept();
    story.receiver.respondWith(500);
    await chat.agentSays('failed');
    await story.logLine(node.name, logged('http-500'));
    story.receiver.respondWith(200);
    await chat.agentSays('arrives');
    const posts = await chat.received(3);
    const texts = posts.map(
      (post) => (messageOf(post) as { messages: { text?: string }[] }).messages[0]?.text,
    );
    expect(texts).toEqual([undefined, 'failed', 'arrives']);
    await expectSilence([chat]);
    expect(await failures('connection')).toBe(refusedBefore + 1);
    expect(await failures('http-5xx')).toBe(erroredBefore + 1);
    expect(JSON.stringify(story.logLines(node.name))).not.toContain(chat.given.deviceId);
  });
});

describe('Options', () => {
  it('of the schedule take effect at once, on schedules that run as well', async () => {
    await story.set(['settings', 'flex-push-resend-delay', '600']);
    const slow = await story.chat();
    await slow.agentJoins();
    await slow.received(1);
    await story.set(['settings', 'flex-push-resend-delay', '1']);
    // The new delay holds from the next arming, which new activity brings.
    await slow.agentSays('hello');
    await slow.received(3);
    await story.set(['settings', 'flex-push-resend-attempts', '1']);
    await expectSilence([slow]);
    expect(slow.triggers().map(({ attempt }) => attempt)).toEqual([0, 0, 1]);
    await slow.refresh();
  });

  it('of the delivery take effect at once', async () => {
    const other = await startReceiver();
    try {
      const userData = { ...subscribing, GCTI_GMS_PushDeviceId: 'moving' };
      const normal = await story.chat(userData);
      const debugging = await story.chat({ ...userData, GCTI_GMS_PushDebug: 'true' });
      const arrives = async (chat: Chat, path: string, message: string) => {
        await chat.publish('notice.custom', { userId: 'agent-7', text: 'x' });
        const post = await other.waitFor((one) => one.path === path);
        expect(post.body).toEqual({ deviceId: 'moving', message });
      };
      await story.set(
        ['push', 'customhttp.url', `${other.url}/normal`],
        ['push', 'customhttp.message', 'another text'],
        ['push', 'debug.customhttp.url', `${other.url}/debug`],
        ['push', 'debug.customhttp.message', 'debug text'],
      );
      await Promise.all([normal, debugging].map((chat) => chat.agentJoins()));
      await other.waitForCount(2);
      other.clear();
      await arrives(normal, '/normal', 'another text');
      await arrives(debugging, '/debug', 'debug text');
    } finally {
      await other.close();
    }
  });
});

describe('Timers', () => {
  it('live in Redis sorted sets, are claimed by the resend-timer service, and fire through the log', async () => {
    const redis = connectRedis({ url: story.stack.redisUrl });
    const timer = story.stack.service('resend-timer-1');
    try {
      const chat = await story.chat();
      const member = `resend:${chat.chatId}:${chat.userId}`;
      const key = `{s${story.shardOf(chat.chatId)}}:timers`;
      const scoreMs = async () => Number(await redis.zscore(key, member));
      await timer.kill();
      await chat.agentJoins();
      await chat.received(1);
      expect(await redis.type(key)).toBe('zset');
      const dueAtMs = await scoreMs();
      // Without the service nothing fires, and the timer stands as the commit wrote it.
      await expectSilence([chat]);
      expect(await scoreMs()).toBe(dueAtMs);
      await timer.start();
      const [, resent] = await chat.triggered(2);
      expect(resent?.attempt).toBe(1);
      const fired = story.internalRecords.find(
        ({ type, timers }) =>
          type === 'timers.fired' && (timers as [string, number][]).some(([name]) => name === member),
      );
      expect((fired?.['timers'] as [string, number][]).find(([name]) => name === member)).toEqual([
        member,
        dueAtMs,
      ]);
      expect(await scoreMs()).toBeGreaterThan(dueAtMs);
      expect((await chat.eventAt(2)).utcTime + DELAY_MS).toBe(dueAtMs);
      await until('the timer is gone', async () => (await redis.zscore(key, member)) === null);
    } finally {
      await redis.quit();
      if (timer.currentPid === undefined) await timer.start();
    }
  });

  it('climb the ladder of flex-push-timeout: ping, then removal; any request starts it anew', async () => {
    await story.set(['settings', 'flex-push-timeout', '1'], ['settings', 'flex-disconnect-timeout', '1']);
    await story.set(['settings', 'flex-push-resend-attempts', '0']);
    const [gone, alive] = await Promise.all([story.chat(), story.chat()]);
    const plain = await story.chat(subscribing);
    await Promise.all([gone, alive, plain].map((chat) => chat.agentJoins()));
    await Promise.all([gone, alive, plain].map((chat) => chat.received(1)));
    const pinged = await gone.triggered(2);
    expect(pinged[1]).toMatchObject({ attempt: 0, position: 1 });
    await alive.received(2);
    const answeredAtMs = Date.now();
    await alive.call('stopTyping');
    const [, , removal] = await gone.triggered(3);
    expect(removal).toMatchObject({ attempt: 0, position: -1, chatEnded: false });
    // The stopTyping of `alive` began its ladder anew, one whole period before the next ping.
    const again = (await alive.triggered(3))[2];
    expect(again).toMatchObject({ attempt: 0, position: 1 });
    expect((again?.receivedAtMs ?? 0) - answeredAtMs).toBeGreaterThanOrEqual(DELAY_MS);
    await story.set(
      ['settings', 'flex-push-timeout', undefined],
      ['settings', 'flex-disconnect-timeout', undefined],
      ['settings', 'flex-push-resend-attempts', undefined],
    );
    await alive.refresh();
    expect((await gone.call('refresh')).body.errors?.[0]?.advice).toContain('8209');
    // The join and the removal are events, and the ping between them is one too for the web server.
    expect((await plain.received(3)).map(({ body }) => body)).toEqual(
      Array.from({ length: 3 }, () => ({ deviceId: plain.given.deviceId, message: 'dummy message' })),
    );
    const base = await alive.eventAt(1);
    const steps = gone.triggers().map(({ receivedAtMs }) => receivedAtMs - base.utcTime);
    expect(steps[1]).toBeGreaterThanOrEqual(DELAY_MS - QUIET_MS);
    expect((steps[2] ?? 0) - (steps[1] ?? 0)).toBeGreaterThanOrEqual(2 * DELAY_MS - QUIET_MS);
  });
});
