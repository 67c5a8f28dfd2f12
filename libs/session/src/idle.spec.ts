import {
  agentFile,
  create,
  createWith,
  join,
  leave,
  message,
  notice,
  refresh,
  send,
  typingStart,
  url,
} from './testing/records';
import { given, Story } from './testing/story';
import type { FoldInput } from './transition';

const ON = { 'inactivity-control/enabled': 'true' };
const ALERT = 'This chat will be closed soon if nobody writes.';
const CLOSE = 'This chat was closed because nobody wrote.';

/** The customer keeps asking, so that only the inactivity of the chat counts. */
const watched = (values = {}) =>
  new Story()
    .set({ ...ON, ...values, 'settings/flex-push-timeout': '1728000' })
    .when(create(), join(), refresh());

describe('inactivity of an ordinary chat (CONTRACT 4.2b)', () => {
  it('is watched only when [inactivity-control] is enabled', () => {
    expect(given(create(), join()).timers['idle-alert']).toBeUndefined();
    expect(watched().timers['idle-alert']).toBe(255);
  });

  it('goes alert, close, and everybody leaves with reason 7', () => {
    const story = watched().fire('idle-alert');
    expect(story.effects[0]).toBe(`#3 IdleAlert system: ${ALERT}`);
    expect(story.raw[0]).toMatchObject({
      event: { from: { nickname: 'system', participantId: 0, type: 'External' } },
    });
    expect(story.timers['idle-close']).toBe(300);
    story.fire('idle-close');
    expect(story.effects.filter((line) => line.startsWith('#'))).toEqual([
      `#4 IdleClose system: ${CLOSE}`,
      '#5 ParticipantLeft Jonas',
      '#6 ParticipantLeft Mira',
    ]);
    expect(story.session?.status).toBe('ended');
    expect(story.transcript.at(-1)?.eventAttributes).toEqual({ GCTI_SYSTEM: { 'quit-reason-code': 7 } });
    expect(story.timers['idle-close']).toBeUndefined();
  });

  it('alerts twice when timeout-alert2 says so, and pushes each alert', () => {
    const story = watched({
      'inactivity-control/timeout-alert2': '30',
      'inactivity-control/message-alert2': 'Hello?',
    });
    expect(story.fire('idle-alert').triggers).toHaveLength(1);
    expect(story.timers['idle-close']).toBe(285);
    expect(story.fire('idle-close').effects[0]).toBe('#4 IdleAlert system: Hello?');
    expect(story.timers['idle-close']).toBe(330);
    expect(story.fire('idle-close').session?.status).toBe('ended');
  });

  it('begins again with any message, also after the alert', () => {
    const story = watched().after(100_000).when(message());
    expect(story.timers['idle-alert']).toBe(255);
    expect(story.fire('idle-alert').effects).toEqual([]);
    expect(story.timers['idle-alert']).toBe(355);
    story.fire('idle-alert').after(10_000).when(send());
    expect([story.timers['idle-alert'], story.timers['idle-close']]).toEqual([620, undefined]);
  });

  it.each<{ name: string; level: string; record: FoldInput; counts: boolean }>([
    { name: 'a URL at major', level: 'major', record: url(), counts: true },
    { name: 'a file at major', level: 'major', record: agentFile(), counts: true },
    { name: 'a custom notice at major', level: 'major', record: notice(), counts: false },
    { name: 'a custom notice at major2', level: 'major2', record: notice(), counts: true },
    { name: 'typing at major2', level: 'major2', record: typingStart(), counts: false },
    { name: 'typing at typing', level: 'typing', record: typingStart(), counts: true },
    { name: 'a URL at none', level: 'none', record: url(), counts: false },
    { name: 'a message at none', level: 'none', record: message(), counts: true },
    { name: 'an agent who leaves', level: 'none', record: leave(), counts: true },
    { name: 'a refresh', level: 'all', record: refresh(), counts: false },
  ])('$name: counts $counts', ({ level, record, counts }) => {
    const story = watched({ 'inactivity-control/include-notices': level }).after(100_000).when(record);
    expect(story.fire('idle-alert').effects.length > 0).toBe(!counts);
  });

  it('is not closed by a fire that comes late after an outage', () => {
    const story = watched().fire('idle-alert', { lateMs: 60_000 });
    expect([story.effects, story.timers['idle-alert']]).toEqual([[], 570]);
    story.fire('idle-alert').fire('idle-close', { lateMs: 3_600_000 });
    expect(story.session?.status).toBe('open');
  });

  it('ends when it is switched off, and begins with the next message when it is switched on', () => {
    const story = watched().set({ 'inactivity-control/enabled': 'false' }).fire('idle-alert');
    expect([story.effects, story.timers['idle-alert']]).toEqual([[], undefined]);
    story.set(ON).when(message());
    expect(story.timers['idle-alert']).toBe(510);
  });
});

describe('inactivity of an asynchronous chat (CONTRACT 4.2c)', () => {
  const asyncChat = () =>
    new Story()
      .set({ 'settings/flex-push-timeout': '1728000' })
      .when(create({ ...createWith({ resend: false }), userData: { GCTI_Chat_AsyncMode: 'true' } }), join());
  const DAY_S = 86_400;

  it('alerts after a day, marks the user data, and closes an hour later', () => {
    const story = asyncChat();
    expect(story.timers['idle-alert']).toBe(DAY_S);
    expect(story.fire('idle-alert').effects[1]).toBe(`#3 IdleAlert system: ${ALERT}`);
    expect(story.session?.userData).toMatchObject({
      GCTI_Chat_AsyncStatus: '3',
      GCTI_Chat_AsyncCheckAt: String(story.nowMs + 3_600_000),
    });
    expect(story.timers['idle-close']).toBe(DAY_S + 3_600);
    expect(story.fire('idle-close').session?.status).toBe('ended');
  });

  it('stays open for weeks with a message a day, and takes its marks back after one', () => {
    const story = asyncChat();
    for (let day = 0; day < 21; day++) {
      story.after(23 * 3_600_000);
      while (story.dueAtMs('idle-alert') <= story.nowMs) story.fire('idle-alert');
      story.when(message());
    }
    expect(story.session?.status).toBe('open');
    story.fire('idle-alert').fire('idle-alert').after(60_000).when(send());
    expect(story.session?.userData).toEqual({ GCTI_Chat_AsyncMode: 'true' });
    expect(story.timers['idle-close']).toBeUndefined();
  });

  it('goes by its own options, not by those of ordinary chats', () => {
    const story = asyncChat()
      .set({ ...ON, 'settings/async-idle-notices': 'none' })
      .after(1_000)
      .when(url());
    expect(story.timers['idle-alert']).toBe(DAY_S);
    expect(story.fire('idle-alert').effects).not.toEqual([]);
  });
});
