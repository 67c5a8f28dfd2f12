import type { ChatResponse } from '@flexpush/contracts';
import { pause, reliable, Story, subscribing, type Chat } from './story';

jest.setTimeout(60_000);

/** Longer than any push takes that is not delayed on purpose. */
const QUIET_MS = 600;

let story: Story;
beforeAll(async () => {
  story = await Story.start({ counts: { 'session-actor': 2 } });
}, 90_000);
afterAll(() => story?.stop());

const textsOf = ({ messages }: ChatResponse) => messages.map(({ type, text }) => [type, text ?? '']);

describe('Subscribe', () => {
  it('takes all ten keys of the page and keeps unknown GCTI keys as user data', async () => {
    await story.set(['push.provider.acme', 'debug.customhttp.url', `${story.receiver.url}/acme-debug`]);
    const userData = {
      GCTI_Chat_PushSubscribe: 'true',
      GCTI_GMS_NodeGroup: 'default',
      GCTI_GMS_PushDeviceId: 'a1a23456789123456789',
      GCTI_GMS_PushDeviceType: 'customhttp',
      GCTI_GMS_NotifyRequestor: 'true',
      GCTI_GMS_PushIncludePayload: 'true',
      GCTI_GMS_PushResend: 'true',
      GCTI_GMS_PushProvider: 'acme',
      GCTI_GMS_PushDebug: 'true',
      GCTI_GMS_ClientChannel: 'support-web',
      GCTI_LanguageCode: 'en-US',
      GCTI_Unheard_Of: 'kept',
    };
    const chat = await story.chat(userData);
    expect(chat.reply).toEqual({
      statusCode: 0,
      chatId: expect.stringMatching(/^\d{5}[0-9A-Za-z]{11}$/),
      userId: expect.stringMatching(/^[0-9A-F]{16}$/),
      secureKey: expect.stringMatching(/^[0-9a-f]{20}$/),
      alias: expect.stringMatching(/^10[12]$/),
      messages: [],
      nextPosition: 1,
      chatEnded: false,
      monitored: false,
    });
    // Provider and debug choose the path, NotifyRequestor brings the own join, PushResend the form of a trigger.
    const [post] = await chat.received(1);
    expect(post?.path).toBe('/acme-debug');
    expect(chat.triggers()[0]).toMatchObject({ attempt: 0, position: 1 });
    const created = story.internalRecords.find(
      ({ type, sessionId }) => type === 'session.create' && sessionId === chat.chatId,
    );
    expect(created?.['userData']).toEqual(userData);
    expect(created?.['subscription']).toMatchObject({ nodeGroup: 'default', includePayload: true });
    // The service name goes into the obfuscated key only with ClientChannel.
    const { GCTI_GMS_ClientChannel: _, ...withoutChannel } = userData;
    const other = await story.chat({ ...withoutChannel, GCTI_GMS_PushDeviceId: 'without-channel' });
    const [otherPost] = await other.received(1);
    const keyOf = (body: unknown) => (body as { message: { secureKey: string } }).message.secureKey;
    expect(keyOf(post?.body).length).toBeGreaterThan(keyOf(otherPost?.body).length);
    await Promise.all([chat.call('disconnect'), other.call('disconnect')]);
    await Promise.all([chat.call('refresh'), other.call('refresh')]);
  });

  it('starts the chat without push, and says why, when something is missing or not allowed', async () => {
    const { GCTI_Chat_PushSubscribe: _subscribe, ...notAsked } = reliable;
    const { GCTI_GMS_PushDeviceType: _type, ...noType } = reliable;
    const withoutPush: { reason: string; chat: Chat }[] = [];
    const start = async (reason: string, userData: Record<string, string>) =>
      withoutPush.push({ reason, chat: await story.chat({ GCTI_GMS_NotifyRequestor: 'true', ...userData }) });
    await start('not-requested', notAsked);
    await start('not-requested', { ...reliable, GCTI_Chat_PushSubscribe: 'false' });
    await start('missing-device-id', { ...reliable, GCTI_GMS_PushDeviceId: '' });
    await start('missing-device-type', noType);
    await start('unknown-device-type', { ...reliable, GCTI_GMS_PushDeviceType: 'pigeon' });
    const registered = await story.chat();
    await story.set(['settings', 'flex-push-on-join', undefined]);
    await start('on-join-disabled', reliable);
    await story.set(['settings', 'flex-push-on-join', 'true'], ['settings', 'flex-push-enabled', 'false']);
    await start('push-disabled', reliable);

    for (const { reason, chat } of withoutPush) {
      expect(chat.reply).toMatchObject({ statusCode: 0, nextPosition: 1, chatEnded: false });
      expect(chat.reply.userData).toEqual({ 'flexpush-push': 'off', 'flexpush-push-reason': reason });
      const isTold = () =>
        ['session-actor-1', 'session-actor-2']
          .flatMap((name) => story.logLines(name))
          .some(
            (line) =>
              line.msg === 'chat.started-without-push' &&
              line['sessionId'] === chat.chatId &&
              line['reason'] === reason,
          );
      expect(isTold()).toBe(true);
      await chat.agentJoins();
    }
    // Registrations that stand go on while new ones are not allowed.
    await registered.agentJoins();
    await registered.received(1);
    await pause(QUIET_MS);
    for (const { chat } of withoutPush) {
      expect(chat.posts()).toEqual([]);
      expect(textsOf(await chat.refresh())).toEqual([
        ['ParticipantJoined', ''],
        ['ParticipantJoined', ''],
      ]);
    }
    await registered.refresh();
    await story.set(['settings', 'flex-push-enabled', undefined]);
  });

  it('answers wrong requests as the contract says', async () => {
    const path = '/genesys/2/chat/support-web';
    const noName = await story.post(path, { subject: 'late' });
    expect(noName.status).toBe(400);
    expect(noName.body).toMatchObject({
      statusCode: 2,
      chatId: '',
      messages: [],
      errors: [{ code: 161, advice: 'nickname is required' }],
    });
    const onlyFirst = await story.post(path, { firstName: 'Mira' });
    expect([onlyFirst.status, onlyFirst.body.errors?.[0]?.code]).toEqual([400, 103]);
    const onlyLast = await story.post(path, { lastName: 'Lind' });
    expect([onlyLast.status, onlyLast.body.errors?.[0]?.code]).toEqual([400, 102]);
    const json = await story.post(path, {
      body: '{"nickname":"Mira"}',
      headers: { 'content-type': 'application/json' },
    });
    expect(json.status).toBe(415);
    const large = await story.post(path, { nickname: 'Mira', text: 'x'.repeat(40_000) });
    expect(large.status).toBe(413);
    const creds = { userId: '00A1653C92D4000F', secureKey: '5be07d19c2f8a4360e77', alias: '101' };
    const unknown = await story.post(`${path}/00021bBKRTX9M01C/refresh`, creds);
    expect(unknown.status).toBe(200);
    expect(unknown.body).toMatchObject({ statusCode: 2, chatEnded: true, errors: [{ code: 249 }] });
  });

  it('refuses a bad key without removing the participant', async () => {
    const chat = await story.chat({});
    const bad = await chat.call('refresh', { secureKey: '00000000000000000000' });
    expect(bad.status).toBe(200);
    expect(bad.body).toMatchObject({
      statusCode: 2,
      chatEnded: true,
      errors: [{ code: 249, advice: expect.stringContaining('8210') }],
    });
    expect(bad.body.secureKey).toBeUndefined();
    expect((await chat.refresh()).messages).toHaveLength(1);
  });
});

describe('Publish', () => {
  it('takes every event type from a program that has only a NATS client, and acknowledges each', async () => {
    const chat = await story.chat({});
    const userId = 'agent-7';
    const acks = [
      await chat.agentJoins(),
      await chat.agentSays('Hi Mira'),
      await chat.publish('typing.start', { userId, text: 'I am' }),
      await chat.publish('typing.stop', { userId }),
      await chat.publish('notice.custom', { userId, text: 'typed notice' }),
      await chat.publish('url.push', { userId, url: 'https://example.org/terms' }),
      await chat.publish('participant.join', {
        userId: 'boss',
        nickname: 'Ada',
        participantType: 'Supervisor',
      }),
      await chat.publish('participant.leave', { userId }),
      await chat.publish('session.end', { userId: 'boss' }),
    ];
    acks.forEach((ack) => expect(ack).toMatchObject({ stream: Story.logStream, duplicate: false }));
    const seqs = acks.map(({ seq }) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    const transcript = await chat.refresh();
    expect(textsOf(transcript)).toEqual([
      ['ParticipantJoined', ''],
      ['ParticipantJoined', ''],
      ['Message', 'Hi Mira'],
      ['TypingStarted', 'I am'],
      ['TypingStopped', ''],
      ['CustomNotice', 'typed notice'],
      ['PushUrl', 'https://example.org/terms'],
      ['ParticipantJoined', ''],
      ['ParticipantLeft', ''],
      ['ParticipantLeft', ''],
      ['ParticipantLeft', ''],
    ]);
    expect(transcript.messages.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(transcript.messages.map(({ from }) => from.participantId)).toEqual([
      1, 2, 2, 2, 2, 2, 2, 3, 2, 3, 1,
    ]);
    expect(transcript).toMatchObject({ chatEnded: true, nextPosition: 12 });
  });

  it('lets a publish be repeated, by the message id and by the record id, without effect', async () => {
    const chat = await story.chat({});
    await chat.agentJoins();
    const record = chat.record('message.send', { userId: 'agent-7', text: 'once' });
    const first = await story.publish(chat.chatId, record, `${chat.chatId}-m1`);
    const again = await story.publish(chat.chatId, record, `${chat.chatId}-m1`);
    expect(again).toMatchObject({ duplicate: true, seq: first.seq });
    const underAnotherId = await story.publish(chat.chatId, record, `${chat.chatId}-m2`);
    expect(underAnotherId.duplicate).toBe(false);
    expect(underAnotherId.seq).toBeGreaterThan(first.seq);
    await chat.agentSays('after');
    expect(textsOf(await chat.refresh()).slice(2)).toEqual([
      ['Message', 'once'],
      ['Message', 'after'],
    ]);
  });

  it('refuses what is not valid into the dead letters with the reason, and goes on with the others', async () => {
    const chat = await story.chat({});
    await chat.agentJoins();
    const { chatId } = chat;
    const secret = 'the text of the customer';
    const userId = 'agent-7';
    const elsewhere = Array.from({ length: 100 }, (_, i) => `00021elsewhere${i}`).find(
      (id) => story.shardOf(id) !== story.shardOf(chatId),
    ) as string;
    const refused: [payload: string, reason: RegExp, sessionId?: string][] = [
      ['{ not json', /^not-json$/],
      [chat.record('message.send', { userId }), /^text: /],
      [chat.record('message.send', { userId, text: secret, colour: 'red' }), /colour/],
      [chat.record('request.disconnect', { userId }), /^type: /],
      [chat.record('message.send', { userId, text: 'x'.repeat(17_000) }), /^text: /],
      [chat.record('message.send', { userId, text: 'x'.repeat(70_000) }), /^too-large$/],
      [chat.record('url.push', { userId, url: 'javascript:alert(1)' }), /^url: must be an absolute http or /],
      [chat.record('message.send', { userId: 'nobody', text: secret }), /^unknown-participant$/],
      [chat.record('message.send', { userId, text: secret }), /^wrong-shard$/, elsewhere],
      [
        JSON.stringify({ v: 1, id: 'x-1', sessionId: elsewhere, type: 'session.end' }),
        /^unknown-session$/,
        elsewhere,
      ],
    ];
    for (const [payload, reason, sessionId = chatId] of refused) {
      const { seq } = await story.publish(sessionId, payload);
      const letter = await story.letter(seq);
      expect(letter.reason).toMatch(reason);
      expect(letter.subject).toBe(`flexpush.deadletter.${story.shardOf(sessionId)}`);
      expect(JSON.stringify(letter)).not.toContain(secret);
    }
    // One message may hold several records: the good ones of it are folded.
    const mixed = `[${chat.record('message.send', { userId, text: 'good' })},{"v":1}]`;
    expect(await story.letter((await story.publish(chatId, mixed)).seq)).toMatchObject({ index: 1 });
    expect(textsOf(await chat.refresh()).slice(2)).toEqual([['Message', 'good']]);
    const stored = await (await story.nats.jetstreamManager()).streams.info('FLEXPUSH_DEAD_LETTER');
    expect(stored.state.messages).toBeGreaterThanOrEqual(refused.length + 1);
  });

  it('works with the own publisher of the command line too', async () => {
    const chat = await story.chat({});
    const args = ['--user', 'agent-7', '--nickname', 'Jonas', '--id', 'join-1', '--json'];
    const joined = await story.cli('publish', chat.chatId, 'participant.join', ...args);
    expect(JSON.parse(joined.stdout)).toMatchObject({ kind: 'stored', id: 'join-1', duplicate: false });
    const again = await story.cli('publish', chat.chatId, 'participant.join', ...args);
    expect(JSON.parse(again.stdout)).toMatchObject({ kind: 'stored', duplicate: true });
    const wrong = await story.cli('publish', chat.chatId, 'message.send', '--user', 'agent-7');
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('message.send needs --text');
    expect((await chat.refresh()).messages).toHaveLength(2);
  });
});

describe('Chat API v2', () => {
  it('requests a chat, sends, refreshes with a typing preview, and disconnects', async () => {
    const chat = await story.chat({}, { fields: { subject: 'Order late', text: 'Hello' } });
    const { chatId, userId, secureKey } = chat;
    const common = { statusCode: 0, chatId, userId, secureKey, monitored: false };
    const mira = { nickname: 'Mira', participantId: 1, type: 'Client' };
    const utcTime = expect.any(Number) as number;

    const sent = await chat.call('send', { message: 'Anybody there?', messageType: 'text' });
    expect(sent).toEqual({
      status: 200,
      body: { ...common, alias: expect.stringMatching(/^10[12]$/), messages: [], chatEnded: false },
    });
    const typed = await chat.call('refresh', { transcriptPosition: '2', message: 'I wo' });
    expect(typed.body).toMatchObject({ ...common, chatEnded: false, nextPosition: 5 });
    expect(typed.body.messages).toEqual([
      { from: mira, index: 2, type: 'Message', messageType: 'text', text: 'Hello', utcTime },
      { from: mira, index: 3, type: 'Message', messageType: 'text', text: 'Anybody there?', utcTime },
      { from: mira, index: 4, type: 'TypingStarted', text: 'I wo', utcTime },
    ]);
    expect(Math.abs(Date.now() - (typed.body.messages[2]?.utcTime ?? 0))).toBeLessThan(5_000);
    // Going on typing is no new event; an emptied input is.
    expect(
      (await chat.call('refresh', { transcriptPosition: '5', message: 'I would' })).body.messages,
    ).toEqual([]);
    const stopped = await chat.call('refresh', { transcriptPosition: '5', message: '' });
    expect(stopped.body.messages).toMatchObject([{ index: 5, type: 'TypingStopped' }]);
    await chat.call('startTyping', { message: 'So' });
    await chat.call('stopTyping');
    const withTranscript = await chat.call('send', { message: 'Bye', transcriptPosition: '6' });
    expect(withTranscript.body).toMatchObject({ ...common, nextPosition: 9 });
    expect(textsOf(withTranscript.body)).toEqual([
      ['TypingStarted', 'So'],
      ['TypingStopped', ''],
      ['Message', 'Bye'],
    ]);
    const ended = await chat.call('disconnect');
    expect(ended.body).toMatchObject({ ...common, chatEnded: true });
    // The rest of the transcript is still to be had after the end.
    const rest = await chat.refresh(9);
    expect(rest).toMatchObject({ chatEnded: true, nextPosition: 10 });
    expect(rest.messages).toMatchObject([{ index: 9, type: 'ParticipantLeft' }]);
    expect((await chat.call('send', { message: 'late' })).body).toMatchObject({
      statusCode: 2,
      chatEnded: true,
      errors: [{ code: 249 }],
    });
  });

  it('takes a chat request as multipart too, and refuses what is not a form or has no message', async () => {
    const form = new FormData();
    form.set('nickname', 'Mira');
    form.set('userData[GCTI_LanguageCode]', 'de-DE');
    const answer = await story.post('/genesys/2/chat/support-web', { body: form });
    expect(answer).toMatchObject({ status: 200, body: { statusCode: 0, nextPosition: 1 } });
    const chat = await story.chat({});
    expect((await chat.call('send')).status).toBe(400);
    expect((await chat.call('refresh', { transcriptPosition: '-3' })).status).toBe(400);
    expect((await chat.call('send', { message: 'x'.repeat(16_385) })).body.errors).toEqual([
      { code: 204, advice: '16384' },
    ]);
    expect((await story.post(`${chat.path}/dance`, {})).status).toBe(404);
    const { userId, secureKey } = chat;
    const json = {
      body: JSON.stringify({ userId, secureKey }),
      headers: { 'content-type': 'application/json' },
    };
    expect((await story.post(`${chat.path}/refresh`, json)).status).toBe(415);
  });

  it('creates one chat for one Idempotency-Key', async () => {
    const request = () => ({
      body: new URLSearchParams({ nickname: 'Mira' }),
      headers: { 'idempotency-key': 'key-of-this-request-1' },
    });
    const first = await story.post('/genesys/2/chat/support-web', request());
    const again = await story.post('/genesys/2/chat/support-web', request());
    expect(first.body.statusCode).toBe(0);
    expect({ ...again.body, alias: '' }).toEqual({ ...first.body, alias: '' });
  });
});

describe('Options', () => {
  const settings = [
    ['settings', 'flex-push-enabled', 'true', 'true, false'],
    ['settings', 'flex-push-on-join', 'false', 'true, false'],
    [
      'settings',
      'flex-push-content',
      'session-id, user-id',
      'any combination of: app-dbid, secure-key, session-id, user-id',
    ],
    ['settings', 'flex-push-resend-delay', '15', 'an integer from 1 to 86400 (seconds)'],
    ['settings', 'flex-push-resend-attempts', '10', 'an integer from 0 to 1000000'],
    ['settings', 'flex-push-timeout', '300', 'an integer from 1 to 1728000 (seconds)'],
    ['chat', 'push_notification_include_payload', 'false', 'true, false'],
    ['push', 'customhttp.url', null, 'an http or https URL'],
    ['push', 'customhttp.message', null, 'text of at most 4096 characters'],
    ['push', 'debug.customhttp.url', null, 'an http or https URL'],
    ['push', 'debug.customhttp.message', null, 'text of at most 4096 characters'],
  ] as const;

  it('are listed with value, default, range and meaning', async () => {
    const json = await story.cli('options', 'list', '--json');
    const { options } = JSON.parse(json.stdout) as {
      options: { section: string; name: string; value: string | null; default: string; range: string }[];
    };
    for (const [section, name, byDefault, range] of settings) {
      const row = options.find((option) => option.name === name && option.section.startsWith(section));
      expect(row).toMatchObject({ default: byDefault, range, meaning: expect.stringMatching(/\w+ \w+/) });
    }
    expect(options.find(({ name }) => name === 'flex-push-resend-delay')?.value).toBe('1');
    const table = await story.cli('options', 'list');
    expect(table.stdout).toMatch(/SECTION +NAME +VALUE +DEFAULT +RANGE +MEANING/);
    expect(table.stdout).toMatch(/settings +flex-push-resend-delay +1 +15 +an integer from 1 to 86400/);
  });

  it.each([
    ['settings', 'flex-push-enabled', 'maybe', 'true, false'],
    ['settings', 'flex-push-on-join', '', 'true, false'],
    ['settings', 'flex-push-content', 'user-id, colour', 'app-dbid, secure-key, session-id, user-id'],
    ['settings', 'flex-push-resend-delay', '0', '1 to 86400'],
    ['settings', 'flex-push-resend-attempts', '1000001', '0 to 1000000'],
    ['settings', 'flex-push-timeout', '1.5', '1 to 1728000'],
    ['chat.support-web', 'push_notification_include_payload', 'yes', 'true, false'],
    ['push', 'customhttp.url', 'ftp://example.org', 'an http or https URL'],
    ['push', 'debug.customhttp.message', 'x'.repeat(4_097), 'at most 4096 characters'],
    ['settings', 'customhttp.url', 'http://example.org', 'belongs to section push'],
  ])('refuse a wrong %s %s with the range', async (section, name, value, range) => {
    const before = story.options.values();
    const refused = await story.cli('options', 'set', section, name, value);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(range);
    expect(story.options.values()).toEqual(before);
  });

  it('are changed by the command line, and back, while everything runs', async () => {
    const set = await story.cli('options', 'set', 'settings', 'flex-push-content', 'app-dbid', '--json');
    expect(JSON.parse(set.stdout)).toMatchObject({ value: 'app-dbid' });
    const chat = await story.chat({ ...subscribing, ...reliable, GCTI_GMS_NotifyRequestor: 'true' });
    const [post] = await chat.received(1);
    const { message } = post?.body as { message: ChatResponse };
    expect(message.messages[0]?.userData).toEqual({
      'notify-attempt': '0',
      'notify-position': '1',
      'app-dbid': chat.reply.alias,
    });
    await chat.refresh();
    const unset = await story.cli('options', 'unset', 'settings', 'flex-push-content');
    expect(unset.stdout).toContain('session-id, user-id');
    await chat.agentJoins();
    const [, next] = await chat.received(2);
    const later = (next?.body as { message: ChatResponse }).message.messages[0]?.userData;
    expect(Object.keys(later ?? {}).sort()).toEqual([
      'notify-attempt',
      'notify-position',
      'session-id',
      'user-id',
    ]);
    await chat.refresh();
  });
});
