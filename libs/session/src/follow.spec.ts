import {
  ADDRESS,
  away,
  create,
  createWith,
  disconnect,
  end,
  follow,
  gone,
  join,
  message,
  refresh,
  registration,
  send,
  startTyping,
} from './testing/records';
import { given, Story } from './testing/story';

const OTHER = 'chat-api-2/client-9';
const plain = () => createWith({ resend: false });
const lines = (story: Story) => story.pushes;

describe('a CometD client that is connected (CONTRACT 2)', () => {
  it('asks for a chat and hears every event, its own too, without any push registration', () => {
    const story = new Story()
      .set({ 'settings/flex-push-on-join': 'false' })
      .when(create({ address: ADDRESS, subscription: undefined, subscriptionProblem: 'not-requested' }));
    expect(story.reply).toMatchObject({ outcome: 'ok', nextPosition: 1 });
    expect(story.effects).toEqual([
      '#1 ParticipantJoined Mira',
      `plain with #1 to comet ${ADDRESS} (mira 1)`,
    ]);
    expect(lines(story.when(send(), startTyping(), join()))).toEqual([
      `plain with #2 to comet ${ADDRESS} (mira 2)`,
      `plain with #3 to comet ${ADDRESS} (mira 3)`,
      `plain with #4 to comet ${ADDRESS} (mira 4)`,
    ]);
  });

  it('registers its device without flex-push-on-join, and says why when the type is not enabled (6 #11)', () => {
    const story = new Story()
      .set({ 'settings/flex-push-on-join': 'false' })
      .when(create({ address: ADDRESS }));
    expect(story.subscription).toMatchObject({ deviceType: 'customhttp', address: ADDRESS });
    const refused = new Story().set({ 'push/pushEnabled': 'comet' }).when(create({ address: ADDRESS }));
    expect(refused.reply?.userData).toEqual({
      'flexpush-push': 'off',
      'flexpush-push-reason': 'type-not-enabled',
    });
    expect(refused.subscription).toMatchObject({ deviceType: 'comet', address: ADDRESS });
  });

  it('cannot begin while flex-push-enabled is false, but a registration that exists goes on (6 #9)', () => {
    const off = { 'settings/flex-push-enabled': 'false' };
    const refused = new Story().set(off).when(create({ address: ADDRESS }));
    expect([refused.session, refused.reply?.outcome]).toEqual([undefined, 'refused']);
    expect(given(create()).set(off).when(follow()).reply?.outcome).toBe('ok');
    const polling = given(create({ subscription: undefined })).set(off);
    expect(polling.when(follow()).reply?.outcome).toBe('refused');
  });

  it('follows a chat that was opened by REST from the position it names, which ends the pushes (2.5)', () => {
    const story = given(create(), join(), message()).when(follow({ transcriptPosition: 2 }));
    expect(story.reply).toMatchObject({ outcome: 'ok', page: { first: 2, last: 3 }, nextPosition: 4 });
    expect(lines(story)).toEqual(['withdraw chat-1:mira up to 2']);
    expect(lines(story.when(message()))).toEqual([`plain with #4 to comet ${ADDRESS} (mira 3)`]);
    expect(story.timers.resend).toBeUndefined();
  });

  it.each([{ position: undefined }, { position: 0 }])(
    'gets all events from position $position',
    ({ position }) => {
      const story = given(create(), join()).when(follow({ transcriptPosition: position }));
      expect(story.reply?.page).toEqual({ first: 1, last: 2 });
    },
  );

  it('is pushed to as well when push_notification_to_active_client says so', () => {
    const story = given(plain(), join(), follow()).set({ 'chat/push_notification_to_active_client': 'true' });
    expect(lines(story.when(message()))).toEqual([
      `plain with #3 to comet ${ADDRESS} (mira 2)`,
      'plain with #3 (mira 3)',
    ]);
  });

  it('is pinged through its connection, and stays while it is refreshed for', () => {
    const story = given(create(), follow()).fire('ping');
    expect(lines(story)).toEqual([`plain without content to comet ${ADDRESS} (mira 1)`]);
    expect(story.when(refresh()).timers).toEqual({ ping: 600 });
  });

  it('reads its own leave, and the end of the chat', () => {
    const story = given(create(), join(), follow()).when(end());
    expect(lines(story)).toEqual([
      `plain with #3 to comet ${ADDRESS} (mira 2) ended`,
      `plain with #4 to comet ${ADDRESS} (mira 3) ended`,
    ]);
    expect(given(create(), follow()).when(disconnect()).pushes).toEqual([
      `plain with #2 to comet ${ADDRESS} (mira 1) ended`,
    ]);
  });
});

describe('a CometD client that goes away (CONTRACT 2.5)', () => {
  it('has pushed to its device what it has not read, and what comes', () => {
    const story = given(plain(), join(), follow(), message(), message()).when(
      away({ transcriptPosition: 3 }),
    );
    expect(lines(story)).toEqual(['plain with #4 (mira 4)']);
    expect(lines(story.when(message()))).toEqual(['plain with #5 (mira 5)']);
  });

  it('is triggered at the first position it has not read, when it asked for reliable delivery', () => {
    const story = given(create(), join(), follow(), message(), message()).when(
      away({ transcriptPosition: 3 }),
    );
    expect(lines(story)).toEqual(['trigger attempt 0 position 4 (mira 4)']);
    expect(story.timers.resend).toBe(15);
    const upToDate = given(create(), join(), follow(), message()).when(away({ transcriptPosition: 3 }));
    expect([lines(upToDate), upToDate.timers.resend]).toEqual([[], undefined]);
  });

  it('is told of its removal that it did not read', () => {
    const story = given(create(), join(), follow(), end()).when(away({ transcriptPosition: 2 }));
    expect(lines(story)).toEqual(['trigger attempt 0 position -1 (mira 4) ended']);
  });

  it('after its own disconnect leaves nothing to push', () => {
    const story = given(plain(), join(), follow(), message(), disconnect()).when(
      away({ transcriptPosition: 1 }),
    );
    expect([lines(story), story.subscription.address]).toEqual([[], undefined]);
  });

  it('without a device is pushed nothing, and removed like a polling client', () => {
    const story = given(create({ address: ADDRESS, subscription: undefined }), join());
    expect(lines(story.when(away({ transcriptPosition: 0 }), message()))).toEqual([]);
    expect(story.timers).toEqual({ disconnect: 45 });
  });

  it('is not away when it has come back elsewhere meanwhile', () => {
    const story = given(create(), follow(), follow({ address: OTHER })).when(away({ transcriptPosition: 0 }));
    expect([lines(story), story.subscription.address]).toEqual([[], OTHER]);
  });

  it('comes back with another device, and the later one counts (2.6)', () => {
    const device = { deviceId: 'dev-2', deviceType: 'fcm' as const, language: 'de-DE' };
    const story = given(plain(), join(), follow({ subscription: device }), away({ transcriptPosition: 2 }));
    story.when(message());
    expect(lines(story)).toEqual(['plain with #3 to fcm dev-2 (mira 2)']);
    expect(story.jobs[0]).toMatchObject({ language: 'de-DE' });
  });

  it.each([
    { name: 'a device', change: { deviceId: 'dev-2', deviceType: 'fcm' as const } },
    { name: 'a device id alone', change: { deviceId: 'dev-2' } },
    { name: 'a language alone', change: { language: 'de-DE' } },
    { name: 'a plain registration', change: { resend: false } },
  ])('overrides what it names and nothing else: $name (2.6)', ({ change }) => {
    const before = registration({ provider: 'second', nodeGroup: 'g1', notifyRequestor: true });
    const story = given(create({ subscription: before })).when(follow({ subscription: change }));
    expect(story.subscription).toMatchObject({ ...before, ...change });
  });

  it('stays reliable when it names a new device', () => {
    const device = { deviceId: 'dev-2', deviceType: 'fcm' as const };
    const story = given(create(), join(), follow({ subscription: device }), away({ transcriptPosition: 2 }));
    expect(story.when(message()).triggers.at(-1)).toMatchObject({ ...device, attempt: 0, position: 3 });
    expect(story.timers.resend).toBe(15);
  });

  it.each([{ change: { deviceId: 'dev-2' } }, { change: { deviceType: 'fcm' as const } }, { change: {} }])(
    'cannot register a first device by $change alone',
    ({ change }) => {
      const opened = create({ address: ADDRESS, subscription: undefined });
      const story = given(opened).when(follow({ subscription: { ...change, language: 'de-DE' } }));
      expect(story.reply?.outcome).toBe('ok');
      expect(story.subscription).toMatchObject({ deviceId: '-', deviceType: 'comet' });
      expect(story.subscription.language).toBeUndefined();
    },
  );

  it('changes its language whatever types are enabled now, its device only to one that is (6 #9)', () => {
    const story = given(create()).set({ 'push/pushEnabled': 'comet' });
    story.when(
      follow({ subscription: { language: 'de-DE' } }),
      follow({ subscription: { deviceId: 'dev-2' } }),
    );
    expect(story.subscription).toMatchObject({ deviceId: 'dev-7f31c2', language: 'de-DE' });
  });

  it('with a wrong key changes nothing', () => {
    const story = given(create(), follow()).when(away({ keyHash: 'b2'.repeat(32) }));
    expect([story.reply?.outcome, story.subscription.address]).toEqual(['bad-key', ADDRESS]);
  });
});

describe('who is found gone by a node', () => {
  it('a CometD client: the event that did not reach it, and those behind it, go to the device', () => {
    const story = given(plain(), join(), follow(), message(), message()).when(gone({ position: 3 }));
    expect(lines(story)).toEqual(['plain with #3 (mira 4)', 'plain with #4 (mira 5)']);
    expect(lines(story.when(gone({ position: 4 })))).toEqual([]);
  });

  it('a CometD client that did not answer a ping: it has what was sent to it', () => {
    const story = given(plain(), join(), follow(), message()).when(gone());
    expect([lines(story), story.subscription.unread]).toEqual([[], 4]);
  });

  it.each([{ position: undefined }, { position: 5 }])(
    'a CometD client with reliable delivery, found by $position: all that no reply brought is announced (I6)',
    ({ position }) => {
      const story = given(create(), join(), follow(), message(), message(), message());
      story.when(gone(position === undefined ? {} : { position }));
      expect(story.triggers.at(-1)).toMatchObject({ deviceType: 'customhttp', position: 3 });
      expect([story.subscription.unread, story.timers.resend]).toEqual([3, 15]);
    },
  );

  it('a device: its registration ends, with a word for the log, and the customer is a polling client now', () => {
    const story = given(create(), join(), message()).when(gone({ deviceId: 'dev-7f31c2', position: 3 }));
    expect(story.effects).toEqual([
      'withdraw chat-1:mira up to 2',
      'tell push.device-gone {"sessionId":"chat-1","userId":"mira","deviceType":"customhttp"}',
    ]);
    expect(story.timers).toEqual({ disconnect: 45 });
    expect(lines(story.when(message()))).toEqual([]);
  });

  it('a device: another one of the same customer is told as reliably (2.6: what is not named stays)', () => {
    const story = given(create(), join()).when(gone({ deviceId: 'dev-7f31c2' }));
    const change = { deviceId: 'dev-new', deviceType: 'customhttp' } as const;
    story
      .when(follow({ subscription: change }))
      .when(away({ transcriptPosition: 2 }))
      .when(message());
    expect(story.triggers.at(-1)).toMatchObject({ deviceId: 'dev-new', position: 3 });
  });

  it('an earlier device is no news', () => {
    const story = given(create(), join());
    const before = story.session;
    expect([story.when(gone({ deviceId: 'dev-old' })).effects, story.session]).toEqual([[], before]);
  });
});

describe('pushes to FCM and APNs', () => {
  it.each(['fcm', 'ios'] as const)('%s: say who did what, never what was said (6 #25)', (deviceType) => {
    const story = given(createWith({ deviceType, resend: false }), join()).when(message({ text: 'secret' }));
    expect(story.jobs).toEqual([
      expect.objectContaining({
        deviceType,
        event: {
          from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
          index: 3,
          type: 'Message',
          utcTime: story.nowMs,
        },
      }),
    ]);
    expect(JSON.stringify(story.jobs)).not.toContain('secret');
  });
});
