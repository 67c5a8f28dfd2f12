import type { OptionValues } from '@flexpush/contracts';
import {
  create,
  createWith,
  KEY_HASH,
  join,
  message,
  OBFUSCATED_KEY,
  registration,
  SECURE_KEY,
} from './testing/records';
import { given, START_MS, Story } from './testing/story';
import type { FoldInput } from './transition';

const firstReply = {
  outcome: 'ok',
  chatEnded: false,
  monitored: false,
  nextPosition: 1,
  page: { first: 1, last: 0 },
};

function withoutPush(reason: string) {
  return { ...firstReply, userData: { 'flexpush-push': 'off', 'flexpush-push-reason': reason } };
}

describe('subscribing when a chat is created', () => {
  it('creates session and participant, and answers as sample R1', () => {
    const story = given(create({ id: 'create-1', userData: { GCTI_Other: 'kept' } }));
    expect(story.reply).toEqual(firstReply);
    const [announced, ...raw] = story.raw;
    expect(announced).toMatchObject({ kind: 'announce', notice: { userData: { GCTI_Other: 'kept' } } });
    expect(raw).toEqual([
      {
        kind: 'append',
        event: {
          from: { nickname: 'Mira', participantId: 1, type: 'Client' },
          index: 1,
          type: 'ParticipantJoined',
          utcTime: START_MS,
        },
      },
    ]);
    expect(story.session).toEqual({
      v: 3,
      status: 'open',
      sessionId: 'chat-1',
      service: 'support-web',
      createdAtMs: START_MS,
      nextPosition: 2,
      nextParticipantId: 2,
      userData: { GCTI_Other: 'kept' },
      recent: { sinceMs: START_MS, now: expect.stringMatching(/^[\w-]{9}$/), before: '' },
      participants: [
        {
          userId: 'mira',
          participantId: 1,
          nickname: 'Mira',
          type: 'Client',
          status: 'in',
          typing: false,
          secureKey: SECURE_KEY,
          keyHash: KEY_HASH,
          obfuscatedKey: OBFUSCATED_KEY,
          inactivity: { lastRequestAtMs: START_MS, step: 'quiet', dueAtMs: START_MS + 300_000 },
          subscription: {
            ...registration(),
            lastN: 0,
            unread: 1,
            status: 'open',
          },
        },
      ],
    });
    expect(story.timers).toEqual({ ping: 300 });
  });

  it('appends the first message when the request carries one', () => {
    expect(given(create({ text: 'Where is it?' })).effects).toEqual([
      '#1 ParticipantJoined Mira',
      '#2 Message Mira: Where is it?',
    ]);
  });

  it.each<{ name: string; values: OptionValues; record: FoldInput; reason: string }>([
    {
      name: 'flex-push-on-join is not true (CONTRACT 6 #10)',
      values: { 'settings/flex-push-on-join': 'false' },
      record: create(),
      reason: 'on-join-disabled',
    },
    {
      name: 'flex-push-enabled is false (CONTRACT 6 #9)',
      values: { 'settings/flex-push-enabled': 'false' },
      record: create(),
      reason: 'push-disabled',
    },
    {
      name: 'pushEnabled has another type only',
      values: { 'push/pushEnabled': 'comet, fcm' },
      record: create(),
      reason: 'type-not-enabled',
    },
    {
      name: 'the user data do not ask for push',
      values: {},
      record: create({ subscription: undefined }),
      reason: 'not-requested',
    },
    {
      name: 'the device id is missing',
      values: {},
      record: create({ subscription: undefined, subscriptionProblem: 'missing-device-id' }),
      reason: 'missing-device-id',
    },
    {
      name: 'the device type is unknown',
      values: {},
      record: create({ subscription: undefined, subscriptionProblem: 'unknown-device-type' }),
      reason: 'unknown-device-type',
    },
  ])('starts the chat without push, and says why, when $name', ({ values, record, reason }) => {
    const story = new Story().set(values).when(record);
    expect(story.reply).toEqual(withoutPush(reason));
    expect(story.effects).toEqual([
      `tell chat.started-without-push {"sessionId":"chat-1","reason":"${reason}"}`,
      '#1 ParticipantJoined Mira',
    ]);
    expect(story.timers).toEqual({ disconnect: 45 });
    expect(story.when(join(), message()).pushes).toEqual([]);
  });

  it('keeps existing registrations when flex-push-enabled becomes false (CONTRACT 6 #9)', () => {
    const story = given(create()).set({ 'settings/flex-push-enabled': 'false' }).when(join());
    expect(story.pushes).toEqual(['trigger attempt 0 position 1 (mira 1)']);
  });

  it('does not let flex-push-on-join decide about existing registrations', () => {
    const story = given(create()).set({ 'settings/flex-push-on-join': 'false' }).when(join());
    expect(story.pushes).toEqual(['trigger attempt 0 position 1 (mira 1)']);
  });

  it('answers a repeated creation in the same way and changes nothing', () => {
    const story = given(create());
    const { session } = story;
    story.after(1_000).when(create());
    expect([story.session, story.effects, story.reply]).toEqual([session, [], firstReply]);
  });

  it('tells the reason again when a creation without push is repeated', () => {
    const first = create({ subscription: undefined });
    expect(given(first).when(first).reply).toEqual(withoutPush('not-requested'));
  });

  it('refuses to create a chat over that of somebody else', () => {
    const story = given(create());
    const { session } = story;
    story.when(create({ keyHash: 'c3'.repeat(32) }));
    expect([story.session, story.effects, story.reply]).toEqual([
      session,
      [],
      { outcome: 'refused', chatEnded: false, monitored: false, reason: 'the chat exists already' },
    ]);
  });

  it('pushes the own join at once with NotifyRequestor (CONTRACT 6 #34)', () => {
    const story = given(createWith({ notifyRequestor: true }));
    expect(story.pushes).toEqual(['trigger attempt 0 position 1 (mira 1)']);
    expect(story.timers).toEqual({ resend: 15, ping: 300 });
  });
});
