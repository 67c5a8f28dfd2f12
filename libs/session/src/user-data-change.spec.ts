import { chatNoticeSchema } from '@flexpush/contracts';
import { create, createWith, join, readReceipt, send, updateData } from './testing/records';
import { given, Story } from './testing/story';

/** The notices of the last records, as they are published; each fits what the document says of them. */
function notices(story: Story): unknown[] {
  return story.raw.flatMap((effect) => {
    if (effect.kind !== 'announce') return [];
    const { sessionId, notice } = effect;
    return [chatNoticeSchema.parse(JSON.parse(JSON.stringify({ v: 1, sessionId, ...notice })))];
  });
}

const common = (story: Story) => ({ v: 1, sessionId: 'chat-1', type: 'user-data', utcTime: story.nowMs });
const byMira = { userId: 'mira', participantId: 1 };

describe('user data of a chat are announced', () => {
  it('when it begins, with where it is to be routed', () => {
    const story = new Story()
      .set({ 'chat/default_chat_endpoint': 'Environment:web' })
      .when(create({ userData: { Subject: 'Order late' } }));
    expect(notices(story)).toEqual([
      {
        ...common(story),
        ...byMira,
        userData: { _chat_endpoint: 'Environment:web', Subject: 'Order late' },
      },
    ]);
  });

  it('when the customer changes them: what is new or different, once', () => {
    const story = given(create({ userData: { Order: '16', Lang: 'de' } }), join());
    story.when(updateData({ userData: { Order: '17', Lang: 'de', Shop: 'Bonn', constructor: 'x' } }));
    const userData = { Order: '17', Shop: 'Bonn', constructor: 'x' };
    expect(notices(story)).toEqual([{ ...common(story), ...byMira, userData }]);
    expect(notices(story.when(updateData({ id: 'again', userData: { Order: '17' } })))).toEqual([]);
  });

  it('not when there are none, nor when they are refused', () => {
    expect(notices(given().when(create({ userData: {} })))).toEqual([]);
    const wrongKey = updateData({ userData: { Order: '17' }, keyHash: 'b2'.repeat(32) });
    expect(notices(given(create()).when(wrongKey))).toEqual([]);
  });

  it.each(['GCTI_Chat_SessionPassword', 'GCTI_GMS_PushDeviceId', 'push_notification_deviceid'])(
    'without %s (CONTRACT 6 #40)',
    (key) => {
      const story = given().when(create({ userData: { [key]: 'secret', Order: '16' } }));
      expect(notices(story)).toEqual([{ ...common(story), ...byMira, userData: { Order: '16' } }]);
      expect(notices(story.when(updateData({ userData: { [key]: 'secret too' } })))).toEqual([]);
    },
  );

  it('when the server marks an asynchronous chat, and takes its marks back (CONTRACT 4.2c)', () => {
    const story = new Story()
      .set({ 'settings/flex-push-timeout': '1728000' })
      .when(create({ ...createWith({ resend: false }), userData: { GCTI_Chat_AsyncMode: 'true' } }), join());
    story.fire('idle-alert');
    const marks = {
      GCTI_Chat_AsyncStatus: '3',
      GCTI_Chat_AsyncCheckAt: String(story.nowMs + 3_600_000),
    };
    expect(notices(story)).toEqual([{ ...common(story), userData: marks }]);
    story.after(1_000).when(send());
    expect(notices(story)).toEqual([{ ...common(story), userData: {}, removed: Object.keys(marks) }]);
  });
});

it('read receipts are what the document says', () => {
  const story = given(create(), join()).when(readReceipt({ transcriptPosition: 2 }));
  expect(notices(story)).toEqual([{ ...common(story), ...byMira, type: 'read-receipt', position: 2 }]);
});
