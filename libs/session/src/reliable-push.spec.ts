import type { OptionValues } from '@flexpush/contracts';
import {
  create,
  createWith,
  disconnect,
  end,
  join,
  leave,
  message,
  notice,
  OBFUSCATED_KEY,
  refresh,
  SECURE_KEY,
  send,
  startTyping,
  stopTyping,
  typingStart,
  typingStop,
  url,
  WRONG_KEY_HASH,
} from './testing/records';
import { given, START_MS } from './testing/story';
import type { FoldInput } from './transition';

const DELAY = 'settings/flex-push-resend-delay';
const ATTEMPTS = 'settings/flex-push-resend-attempts';
const CONTENT = 'settings/flex-push-content';

describe('a reliable push', () => {
  it('is a trigger with all that the receiver is shown', () => {
    const story = given(create()).after(2_000).when(join());
    expect(story.raw.filter(({ kind }) => kind === 'notify')).toEqual([
      {
        kind: 'notify',
        job: {
          kind: 'trigger',
          id: 'chat-1:mira:1',
          n: 1,
          sessionId: 'chat-1',
          userId: 'mira',
          service: 'support-web',
          deviceType: 'customhttp',
          deviceId: 'dev-7f31c2',
          nodeGroup: 'gms-cluster-a',
          provider: undefined,
          debug: false,
          obfuscatedKey: OBFUSCATED_KEY,
          chatEnded: false,
          atMs: START_MS + 2_000,
          attempt: 0,
          position: 1,
          content: ['session-id', 'user-id'],
        },
      },
    ]);
  });

  it.each<{ name: string; values: OptionValues; content: string[]; secureKey: string | undefined }>([
    { name: 'the default', values: {}, content: ['session-id', 'user-id'], secureKey: undefined },
    { name: 'nothing (CONTRACT 6 #16)', values: { [CONTENT]: '' }, content: [], secureKey: undefined },
    {
      name: 'everything',
      values: { [CONTENT]: 'app-dbid, secure-key, session-id, user-id' },
      content: ['app-dbid', 'secure-key', 'session-id', 'user-id'],
      secureKey: SECURE_KEY,
    },
    {
      name: 'the secure key alone',
      values: { [CONTENT]: 'secure-key' },
      content: ['secure-key'],
      secureKey: SECURE_KEY,
    },
  ])('carries what flex-push-content asks for: $name', ({ values, content, secureKey }) => {
    const [job] = given(create()).set(values).when(join()).triggers;
    expect([job?.content, job?.secureKey]).toEqual([content, secureKey]);
  });

  it('tells the first position not yet retrieved (CONTRACT 6 #2, #3: nextPosition is this plus one)', () => {
    const story = given(create(), join(), message(), refresh(), send(), message());
    expect(story.transcript).toHaveLength(5);
    // Position 4 is her own message: it is pushed to nobody, but she has not retrieved it either.
    expect(story.triggers.map(({ position }) => position)).toEqual([1, 1, 4]);
  });

  it('numbers the first notice 0 and each resend one more, up to the limit (CONTRACT 6 #1, 4.4)', () => {
    const story = given(create(), join());
    const seen = [story.triggers[0]];
    const seconds: (number | undefined)[] = [story.timers.resend];
    for (let attempt = 1; attempt <= 10; attempt++) {
      seen.push(story.fire('resend').triggers[0]);
      seconds.push(story.timers.resend);
    }
    expect(seen.map((job) => job?.attempt)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(seen.map((job) => job?.n)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(seconds).toEqual([15, 30, 45, 60, 75, 90, 105, 120, 135, 150, undefined]);
    expect(story.subscription.schedule).toEqual({ n: 11, attempt: 10, status: 'exhausted' });
  });

  it('sends only the first notice when flex-push-resend-attempts is 0', () => {
    const story = given(create())
      .set({ [ATTEMPTS]: '0' })
      .when(join());
    expect(story.pushes).toEqual(['trigger attempt 0 position 1 (mira 1)']);
    expect(story.timers).toEqual({ ping: 300 });
  });

  it('starts anew after the limit when something new happens (I6)', () => {
    const story = given(create())
      .set({ [ATTEMPTS]: '1' })
      .when(join())
      .fire('resend')
      .after(60_000);
    expect(story.when(message()).pushes).toEqual(['trigger attempt 0 position 1 (mira 3)']);
    expect(story.timers).toEqual({ resend: 90, ping: 300 });
  });

  it('replaces the schedule by one from now when something new happens meanwhile (CONTRACT 6 #7, I5)', () => {
    const story = given(create(), join()).fire('resend', { times: 2 }).after(7_000);
    expect(story.when(message()).pushes).toEqual(['trigger attempt 0 position 1 (mira 4)']);
    expect(story.timers).toEqual({ resend: 52, ping: 300 });
    expect(story.fire('resend').pushes).toEqual(['trigger attempt 1 position 1 (mira 5)']);
  });

  it('is not due for its own position until the trigger before it was confirmed', () => {
    const story = given(create(), join(), refresh(), message(), message());
    expect(story.triggers.map(({ position }) => position)).toEqual([1, 3, 3]);
  });
});

describe('what confirms', () => {
  it.each([
    { name: 'without a position', position: undefined, page: { first: 1, last: 3 } },
    { name: 'from position 0', position: 0, page: { first: 1, last: 3 } },
    { name: 'from an old position (CONTRACT 6 #6)', position: 1, page: { first: 1, last: 3 } },
    { name: 'from the notified position', position: 2, page: { first: 2, last: 3 } },
    { name: 'from the end', position: 4, page: { first: 4, last: 3 } },
    { name: 'from beyond the end', position: 9_000, page: { first: 4, last: 3 } },
  ])('a refresh $name ends the schedule (CONTRACT 6 #5)', ({ position, page }) => {
    const story = given(create(), join(), message()).when(refresh({ transcriptPosition: position }));
    expect(story.pushes).toEqual(['withdraw chat-1:mira up to 2']);
    expect(story.reply).toEqual({ outcome: 'ok', chatEnded: false, monitored: false, nextPosition: 4, page });
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.subscription).toEqual(expect.objectContaining({ unread: 4, status: 'open' }));
    expect(story.subscription.schedule).toBeUndefined();
  });

  it('a refresh after the limit takes the last trigger back too', () => {
    const story = given(create())
      .set({ [ATTEMPTS]: '0' })
      .when(join());
    expect(story.when(refresh()).pushes).toEqual(['withdraw chat-1:mira up to 1']);
  });

  it.each([
    { name: 'a send', record: send() },
    { name: 'a send that reads the transcript', record: send({ transcriptPosition: 1 }) },
    { name: 'startTyping', record: startTyping() },
    { name: 'stopTyping', record: stopTyping() },
    { name: 'a refresh with a wrong key', record: refresh({ keyHash: WRONG_KEY_HASH }) },
    { name: 'a refresh of an unknown participant', record: refresh({ userId: 'nobody' }) },
    { name: 'a refresh in the name of the agent', record: refresh({ userId: 'jonas' }) },
    { name: 'somebody else leaving', record: leave() },
  ])('$name does not (CONTRACT 6 #5, I4)', ({ record }) => {
    const story = given(create(), join());
    expect(story.when(record).pushes).not.toContainEqual(expect.stringContaining('withdraw'));
    expect(story.timers.resend).toBe(15);
  });

  describe('with flex-push-confirm-on-send (CONTRACT 6 #5)', () => {
    const CONFIRM_ON_SEND = { 'settings/flex-push-confirm-on-send': 'true' };
    const told = () => given(create(), join(), message()).set(CONFIRM_ON_SEND);

    it('a send that reads the transcript does too', () => {
      const story = told().when(send({ transcriptPosition: 2 }));
      expect(story.pushes).toEqual(['withdraw chat-1:mira up to 2']);
      expect(story.reply).toMatchObject({ outcome: 'ok', nextPosition: 5, page: { first: 2, last: 4 } });
      expect([story.subscription.unread, story.timers.resend]).toEqual([5, undefined]);
      expect(story.when(message()).triggers.at(-1)).toMatchObject({ position: 5, attempt: 0 });
    });

    it.each([
      { name: 'one that does not read it', record: send() },
      { name: 'one with a wrong key', record: send({ transcriptPosition: 1, keyHash: WRONG_KEY_HASH }) },
      { name: 'another operation', record: startTyping() },
    ])('$name does not', ({ record }) => {
      const story = told().when(record);
      expect(story.pushes).not.toContainEqual(expect.stringContaining('withdraw'));
      expect([story.subscription.unread, story.timers.resend]).toEqual([1, 15]);
    });

    it('takes back what its own message caused by NotifyRequestor', () => {
      const own = createWith({ notifyRequestor: true });
      const story = given(own)
        .set(CONFIRM_ON_SEND)
        .when(send({ transcriptPosition: 1 }));
      expect(story.pushes.at(-1)).toMatch(/^withdraw /);
      expect(story.timers.resend).toBeUndefined();
    });
  });

  it('nothing is pushed after a refresh, and a stale fire changes nothing', () => {
    const story = given(create(), join());
    const dueAtMs = story.dueAtMs('resend');
    const { session } = story.when(refresh());
    story.after(60_000).when({
      type: 'timer.fire',
      kind: 'resend',
      sessionId: 'chat-1',
      userId: 'mira',
      scoreMs: dueAtMs,
    });
    expect([story.effects, story.session]).toEqual([[], session]);
  });
});

describe('whose activity pushes (CONTRACT 6 #34)', () => {
  it.each([
    { name: 'her own message', record: send(), quiet: true },
    { name: 'her own typing', record: startTyping(), quiet: true },
    { name: 'her own leave', record: disconnect(), quiet: true },
    { name: 'a message', record: message(), quiet: false },
    { name: 'a custom notice', record: notice(), quiet: false },
    { name: 'a pushed url', record: url(), quiet: false },
    { name: 'a leave', record: leave(), quiet: false },
    { name: 'another join', record: join({ userId: 'ada', nickname: 'Ada' }), quiet: false },
  ])('$name: not pushed is $quiet', ({ record, quiet }) => {
    const story = given(create(), join(), refresh()).when(record);
    expect(story.pushes).toEqual(quiet ? [] : ['trigger attempt 0 position 3 (mira 2)']);
  });

  it.each([
    { name: 'her own message', record: send() },
    { name: 'the message of somebody else', record: message() },
  ])('with NotifyRequestor all of it is pushed: $name', ({ record }) => {
    const story = given(createWith({ notifyRequestor: true }), join(), refresh()).when(record);
    expect(story.pushes).toEqual(['trigger attempt 0 position 3 (mira 3)']);
  });

  it.each<{ name: string; record: FoldInput; values: OptionValues; triggers: number }>([
    { name: 'typing', record: typingStart(), values: {}, triggers: 0 },
    { name: 'stopped typing', record: typingStop(), values: {}, triggers: 0 },
    {
      name: 'typing, unfiltered',
      record: typingStart(),
      values: { 'chat/filtering_chat_events': '' },
      triggers: 1,
    },
    {
      name: 'typing, unfiltered for this service',
      record: typingStart(),
      values: { 'chat.support-web/filtering_chat_events': '' },
      triggers: 1,
    },
    {
      name: 'a filtered message',
      record: message(),
      values: { 'chat/filtering_chat_events': 'message' },
      triggers: 0,
    },
    {
      name: 'a filtered url',
      record: url(),
      values: { 'chat/filtering_chat_events': 'url, notice' },
      triggers: 0,
    },
    {
      name: 'a filtered notice',
      record: notice(),
      values: { 'chat/filtering_chat_events': 'url, notice' },
      triggers: 0,
    },
    {
      name: 'a filtered join',
      record: join({ userId: 'ada', nickname: 'Ada' }),
      values: { 'chat/filtering_chat_events': 'join' },
      triggers: 0,
    },
    {
      name: 'a filtered leave',
      record: leave(),
      values: { 'chat/filtering_chat_events': 'leave' },
      triggers: 0,
    },
  ])('the filter decides (CONTRACT 6 #35): $name', ({ record, values, triggers }) => {
    const story = given(create(), join(), refresh()).set(values).when(record);
    expect(story.transcript).toHaveLength(3);
    expect(story.triggers).toHaveLength(triggers);
  });

  it('a filtered event is read with the next one that is not (CONTRACT 6 #35)', () => {
    const story = given(create(), join(), refresh(), typingStart()).when(message());
    expect(story.pushes).toEqual(['trigger attempt 0 position 3 (mira 2)']);
  });
});

describe('options in the middle of a schedule (CONTRACT 6 #8)', () => {
  it('a new delay counts from the next arming', () => {
    const story = given(create(), join()).set({ [DELAY]: '5' });
    expect(story.timers.resend).toBe(15);
    expect(story.fire('resend').timers.resend).toBe(20);
  });

  it.each([
    { name: 'below the attempts made: nothing more is sent', attempts: '1', pushes: [] },
    { name: 'at the attempts made: nothing more is sent', attempts: '2', pushes: [] },
    {
      name: 'above them: it goes on',
      attempts: '3',
      pushes: ['trigger attempt 3 position 1 (mira 4)'],
    },
  ])('a new limit is checked at the next resend, $name', ({ attempts, pushes }) => {
    const story = given(create(), join())
      .fire('resend', { times: 2 })
      .set({ [ATTEMPTS]: attempts });
    expect(story.fire('resend').pushes).toEqual(pushes);
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.subscription.schedule?.status).toBe('exhausted');
  });
});

describe('a late resend', () => {
  it.each([
    { name: 'in time', lateMs: 0, secondDue: 30 },
    { name: 'late by half a delay', lateMs: 7_500, secondDue: 30 },
    { name: 'late by more than half a delay: the base moves', lateMs: 7_501, secondDue: 37.501 },
    { name: 'late by an hour: no burst', lateMs: 3_600_000, secondDue: 3_630 },
  ])('$name', ({ lateMs, secondDue }) => {
    const story = given(create(), join()).fire('resend', { lateMs });
    expect(story.pushes).toEqual(['trigger attempt 1 position 1 (mira 2)']);
    expect(story.timers.resend).toBe(secondDue);
  });
});

describe('the end of a reliable registration', () => {
  it('removal by the agent side pushes position -1, and the chat goes on (CONTRACT 6 #4, #13, #15)', () => {
    const story = given(create(), join(), refresh()).when(leave({ userId: 'mira' }));
    expect(story.effects).toEqual([
      '#3 ParticipantLeft Mira',
      'trigger attempt 0 position 3 (mira 2)',
      'trigger attempt 0 position -1 (mira 3)',
    ]);
    expect(story.session?.status).toBe('open');
    expect(story.timers).toEqual({ resend: 15 });
  });

  it('the end of the chat pushes position -1 with chatEnded (CONTRACT 6 #15)', () => {
    const story = given(create(), join(), refresh()).when(end());
    expect(story.effects).toEqual([
      '#3 ParticipantLeft Jonas',
      'trigger attempt 0 position 3 (mira 2) ended',
      '#4 ParticipantLeft Mira',
      'trigger attempt 0 position 3 (mira 3) ended',
      'trigger attempt 0 position -1 (mira 4) ended',
    ]);
    expect(story.timers).toEqual({ resend: 15, purge: 600 });
  });

  it('the removal is pushed again by the schedule up to the limit (CONTRACT 6 #14)', () => {
    const story = given(create(), join(), refresh())
      .set({ [ATTEMPTS]: '2' })
      .when(end());
    expect(story.fire('resend').pushes).toEqual(['trigger attempt 1 position -1 (mira 5) ended']);
    expect(story.fire('resend').pushes).toEqual(['trigger attempt 2 position -1 (mira 6) ended']);
    expect(story.timers).toEqual({ purge: 600 });
  });

  it('a refused late refresh acknowledges the removal (CONTRACT 6 #14)', () => {
    const story = given(create(), join(), leave({ userId: 'mira' })).when(refresh());
    expect(story.reply).toEqual({ outcome: 'removed', chatEnded: false, monitored: false });
    expect(story.pushes).toEqual(['withdraw chat-1:mira up to 3']);
    expect(story.timers).toEqual({});
  });

  it('the removal is told even when leaving is a filtered event', () => {
    const story = given(create(), join(), refresh())
      .set({ 'chat/filtering_chat_events': 'leave' })
      .when(leave({ userId: 'mira' }));
    expect(story.pushes).toEqual(['trigger attempt 0 position -1 (mira 2)']);
  });

  it('nothing of the chat is pushed to who was removed', () => {
    const story = given(create(), join(), leave({ userId: 'mira' })).when(message());
    expect(story.effects).toEqual(['#4 Message Jonas: Hello']);
  });

  it('who leaves by itself is not told, and its unconfirmed trigger is taken back (I4)', () => {
    const story = given(create(), join()).when(disconnect());
    expect(story.effects).toEqual(['#3 ParticipantLeft Mira', 'withdraw chat-1:mira up to 1']);
    expect(story.timers).toEqual({});
  });

  it('who leaves by itself with NotifyRequestor is told position -1 (CONTRACT 6 #34)', () => {
    const story = given(createWith({ notifyRequestor: true }), join(), refresh()).when(disconnect());
    expect(story.pushes.at(-1)).toBe('trigger attempt 0 position -1 (mira 4)');
    expect(story.timers).toEqual({ resend: 15 });
  });
});

describe('a restored session (CONTRACT 6 #33 and the departures)', () => {
  it('goes on with the same position, attempt and due time', () => {
    const story = given(create(), join()).fire('resend', { times: 3 });
    story.session = JSON.parse(JSON.stringify(story.session));
    expect(story.timers).toEqual({ resend: 60, ping: 300 });
    expect(story.fire('resend').pushes).toEqual(['trigger attempt 4 position 1 (mira 5)']);
  });
});

describe('PushResend without PushIncludePayload (CONTRACT 6 #19)', () => {
  it.each([
    { name: 'absent', flag: undefined, option: 'false', bare: true },
    { name: 'false', flag: false, option: 'true', bare: true },
    { name: 'true', flag: true, option: 'false', bare: undefined },
    { name: 'absent, but the service option is true', flag: undefined, option: 'true', bare: undefined },
  ])('shows the fixed text or the trigger, and keeps the schedule: $name', ({ flag, option, bare }) => {
    const story = given(createWith({ includePayload: flag }))
      .set({ 'chat/push_notification_include_payload': option })
      .when(join());
    const [job] = story.raw.flatMap((effect) => (effect.kind === 'notify' ? [effect.job] : []));
    expect(job).toMatchObject({ kind: 'trigger', attempt: 0 });
    expect(job && 'bare' in job ? job.bare : undefined).toBe(bare);
    expect(story.fire('resend').triggers).toHaveLength(1);
  });

  it('is told to the operator', () => {
    expect(given().when(createWith({ includePayload: undefined })).effects).toContain(
      'tell push.resend-without-payload {"sessionId":"chat-1"}',
    );
  });
});
