import {
  create,
  customNotice,
  disconnect,
  join,
  leave,
  message,
  pushUrl,
  readReceipt,
  refresh,
  send,
  updateData,
  updateNickname,
} from './testing/records';
import { given, Story } from './testing/story';

const chat = () => given(create({ subscription: undefined }), join());

describe('the other operations of a customer (CONTRACT 1.2, 1.4)', () => {
  it('pushes a URL, says a custom notice', () => {
    expect(chat().when(pushUrl(), customNotice()).effects).toEqual([
      '#3 PushUrl Mira: https://example.org/photo',
      '#4 CustomNotice Mira: looks at the cart',
    ]);
  });

  it('changes the nickname: in the event, and in all that follow', () => {
    expect(chat().when(updateNickname(), send({ text: 'Hi' })).effects).toEqual([
      '#3 NicknameUpdated Mira K.: Mira K.',
      '#4 Message Mira K.: Hi',
    ]);
  });

  it('keeps user data: new keys come, known ones change, no event says so', () => {
    const story = given(create({ subscription: undefined, userData: { Order: '16', Lang: 'de' } }), join());
    story.when(updateData({ userData: { Order: '17', Shop: 'Bonn' } }));
    expect(story.effects).toEqual([expect.stringMatching(/^announce /)]);
    expect(story.reply?.outcome).toBe('ok');
    expect(story.session?.userData).toMatchObject({ Order: '17', Lang: 'de', Shop: 'Bonn' });
  });

  it('does not subscribe by user data that come later (CONTRACT 6 #41)', () => {
    const story = chat().when(updateData({ userData: { GCTI_Chat_PushSubscribe: 'true' } }));
    expect([story.mira.subscription, story.when(message()).pushes]).toEqual([undefined, []]);
  });

  it('keeps a bounded number of user data keys', () => {
    const keys = (prefix: string) =>
      Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`${prefix}${i}`, 'x']));
    const story = given(create({ userData: keys('a') }), updateData({ userData: keys('b') }));
    expect(story.reply?.outcome).toBe('ok');
    const before = story.session?.userData;
    expect(story.when(updateData({ userData: { more: 'x' } })).reply?.outcome).toBe('refused');
    expect(story.session?.userData).toEqual(before);
  });

  it('tells agents how far it has read, once per progress and without an event (CONTRACT 6 #37)', () => {
    const story = chat().when(readReceipt({ transcriptPosition: 2 }));
    const notice = {
      type: 'read-receipt',
      userId: 'mira',
      participantId: 1,
      position: 2,
      utcTime: story.nowMs,
    };
    expect(story.effects).toEqual([`announce ${JSON.stringify(notice)}`]);
    expect(story.when(readReceipt({ transcriptPosition: 1 })).effects).toEqual([]);
    expect(story.when(readReceipt({ transcriptPosition: 99 })).effects).toEqual([]);
    expect(story.mira.readPosition).toBe(2);
  });

  it.each([
    { name: 'pushUrl', record: pushUrl() },
    { name: 'updateNickname', record: updateNickname() },
    { name: 'customNotice', record: customNotice() },
    { name: 'updateData', record: updateData() },
    { name: 'readReceipt', record: readReceipt() },
  ])('$name counts as a request, is nobody else’s, and is over after the leave', ({ record }) => {
    const story = chat().after(10_000).when(record);
    expect(story.mira.inactivity?.lastRequestAtMs).toBe(story.nowMs);
    const stranger = chat().when({ ...record, id: 'other', keyHash: 'b2'.repeat(32) });
    expect([stranger.effects, stranger.reply?.outcome]).toEqual([[], 'bad-key']);
    const late = chat().when(disconnect(), record);
    expect(late.reply?.outcome).toBe('removed');
  });
});

describe('a silent monitor (CONTRACT 6 #36)', () => {
  it('is seen by nobody, but every answer says that the chat is monitored', () => {
    const story = chat().when(
      join({ userId: 'ada', nickname: 'Ada', participantType: 'Supervisor', silent: true }),
    );
    expect([story.effects, story.when(refresh()).reply?.monitored]).toEqual([[], true]);
    expect(story.when(message({ userId: 'ada' })).refusal).toBe('silent-monitor');
    expect(story.when(leave({ userId: 'ada' })).effects).toEqual([]);
    expect(story.when(refresh()).reply?.monitored).toBe(false);
  });

  it('keeps no chat open', () => {
    const story = given(create(), join({ silent: true })).when(disconnect());
    expect(story.session?.status).toBe('ended');
  });

  it('is seen when it comes back openly', () => {
    const story = chat().when(join({ userId: 'ada', silent: true }), leave({ userId: 'ada' }));
    expect(story.when(join({ userId: 'ada', nickname: 'Ada' })).effects).toEqual([
      '#3 ParticipantJoined Ada',
    ]);
  });
});

it('marks a bot when it joins (CONTRACT 4.7)', () => {
  const story = chat().when(join({ userId: 'bot', nickname: 'Robo', style: 'BOT' }));
  expect(story.transcript.at(-1)?.eventAttributes).toEqual({
    GCTI_SYSTEM: { 'party-info': { style: 'BOT' } },
  });
});

it('keeps where the chat is to be routed, unless the client has named it (CONTRACT 1.2)', () => {
  const routed = (userData: Record<string, string>) =>
    new Story().set({ 'chat/default_chat_endpoint': 'Environment:web' }).when(create({ userData })).session
      ?.userData['_chat_endpoint'];
  expect([routed({}), routed({ _chat_endpoint: 'Environment:mine' })]).toEqual([
    'Environment:web',
    'Environment:mine',
  ]);
});
