import type { OptionValues } from '@flexpush/contracts';
import { createWith, end, join, leave, message, refresh, send, typingStart } from './testing/records';
import { given, START_MS } from './testing/story';

const plain = (more = {}) => createWith({ resend: false, ...more });

describe('a plain push', () => {
  it('carries the event with all that the receiver is shown', () => {
    const story = given(plain(), join()).after(3_000).when(message());
    expect(story.raw[1]).toEqual({
      kind: 'notify',
      job: {
        kind: 'plain',
        id: 'chat-1:mira:2',
        n: 2,
        sessionId: 'chat-1',
        userId: 'mira',
        service: 'support-web',
        deviceType: 'customhttp',
        deviceId: 'dev-7f31c2',
        nodeGroup: 'gms-cluster-a',
        provider: undefined,
        debug: false,
        obfuscatedKey: 'b3BhcXVlLWtleS1vZi1taXJh',
        chatEnded: false,
        atMs: START_MS + 3_000,
        event: story.transcript[2],
      },
    });
  });

  it('goes out once per event, and is not scheduled', () => {
    const story = given(plain()).when(join(), message(), message());
    expect(story.pushes).toEqual([
      'plain with #2 (mira 1)',
      'plain with #3 (mira 2)',
      'plain with #4 (mira 3)',
    ]);
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.when(refresh()).pushes).toEqual([]);
  });

  const OPTION = 'push_notification_include_payload';
  it.each<{ name: string; flag: boolean | undefined; values: OptionValues; content: boolean }>([
    { name: 'flag true, option false', flag: true, values: {}, content: true },
    { name: 'flag true, option true', flag: true, values: { [`chat/${OPTION}`]: 'true' }, content: true },
    { name: 'flag absent, option false', flag: undefined, values: {}, content: false },
    {
      name: 'flag absent, option true',
      flag: undefined,
      values: { [`chat/${OPTION}`]: 'true' },
      content: true,
    },
    {
      name: 'flag absent, option true for this service',
      flag: undefined,
      values: { [`chat.support-web/${OPTION}`]: 'true' },
      content: true,
    },
    {
      name: 'flag absent, option true for another service',
      flag: undefined,
      values: { [`chat.other/${OPTION}`]: 'true' },
      content: false,
    },
    {
      name: 'flag absent, the service wins over all chats',
      flag: undefined,
      values: { [`chat/${OPTION}`]: 'true', [`chat.support-web/${OPTION}`]: 'false' },
      content: false,
    },
    { name: 'flag false wins', flag: false, values: { [`chat/${OPTION}`]: 'true' }, content: false },
  ])('has content or not by flag and option (CONTRACT 6 #18): $name', ({ flag, values, content }) => {
    const story = given(plain({ includePayload: flag }))
      .set(values)
      .when(join());
    expect(story.pushes).toEqual([content ? 'plain with #2 (mira 1)' : 'plain without content (mira 1)']);
  });

  it('leaves out own activity, unless NotifyRequestor asks for it (CONTRACT 6 #34)', () => {
    expect(given(plain(), join()).when(send()).pushes).toEqual([]);
    expect(given(plain({ notifyRequestor: true }), join()).when(send()).pushes).toEqual([
      'plain with #3 (mira 3)',
    ]);
  });

  it('leaves out typing by the filter (CONTRACT 6 #35)', () => {
    const story = given(plain(), join());
    expect(story.when(typingStart()).pushes).toEqual([]);
    expect(story.set({ 'chat/filtering_chat_events': '' }).when(typingStart()).pushes).toEqual([
      'plain with #4 (mira 2)',
    ]);
  });

  it('tells a removal by its event', () => {
    const story = given(plain(), join()).when(leave({ userId: 'mira' }));
    expect(story.pushes).toEqual(['plain with #3 (mira 2)']);
    expect(story.when(message()).pushes).toEqual([]);
    expect(story.timers).toEqual({});
  });

  it('tells the end of the chat by its events', () => {
    const story = given(plain(), join()).when(end());
    expect(story.pushes).toEqual(['plain with #3 (mira 2) ended', 'plain with #4 (mira 3) ended']);
    expect(story.timers).toEqual({ purge: 600 });
  });

  it('pings without content (CONTRACT 6 #12)', () => {
    expect(given(plain()).fire('ping').pushes).toEqual(['plain without content (mira 1)']);
  });
});
