import { create, end, join, refresh, timerFire } from './testing/records';
import { given, START_MS, Story } from './testing/story';
import { parseTimerMember, timerMember, timersOf, type TimerKind } from './timers';

describe('timer members', () => {
  it.each<{ kind: TimerKind; userId: string; member: string }>([
    { kind: 'resend', userId: 'mira', member: 'resend:chat-1:mira' },
    { kind: 'ping', userId: 'mira', member: 'ping:chat-1:mira' },
    { kind: 'disconnect', userId: 'mira', member: 'disconnect:chat-1:mira' },
    { kind: 'purge', userId: '-', member: 'purge:chat-1:-' },
  ])('$member is written and read', ({ kind, userId, member }) => {
    const name = { kind, sessionId: 'chat-1', userId };
    expect(timerMember(name)).toBe(member);
    expect(parseTimerMember(member)).toEqual(name);
  });

  it.each([
    '',
    'resend',
    'resend:chat-1',
    'resend::mira',
    'resend:chat-1:',
    'snooze:chat-1:mira',
    'ping:a:b:c',
  ])('%j is not one', (member) => {
    expect(parseTimerMember(member)).toBeUndefined();
  });

  it('every timer of a session is read back', () => {
    const story = given(create(), join(), end());
    const { session } = story;
    const members = session ? [...timersOf(session).keys()] : [];
    expect(members.map(parseTimerMember)).toEqual([
      { kind: 'resend', sessionId: 'chat-1', userId: 'mira' },
      { kind: 'purge', sessionId: 'chat-1', userId: '-' },
    ]);
  });
});

describe('a timer fire (DESIGN 8)', () => {
  const DUE_MS = START_MS + 15_000;

  it.each([
    { name: 'with the armed score', scoreMs: DUE_MS, counts: true },
    { name: 'with a later score, as a second claim reads it', scoreMs: DUE_MS + 1_000, counts: true },
    { name: 'with an earlier score', scoreMs: DUE_MS - 1, counts: false },
  ])('$name counts: $counts', ({ scoreMs, counts }) => {
    const story = given(create(), join());
    const { session } = story;
    story.after(16_000).when(timerFire('resend', scoreMs));
    expect(story.triggers).toHaveLength(counts ? 1 : 0);
    expect(story.session === session).toBe(!counts);
  });

  it.each([
    { name: 'of a kind that is not armed', fire: timerFire('disconnect', START_MS + 900_000) },
    { name: 'of a participant without push', fire: timerFire('resend', START_MS + 900_000, 'jonas') },
    { name: 'of an unknown participant', fire: timerFire('ping', START_MS + 900_000, 'nobody') },
    { name: 'of the purge of an open session', fire: timerFire('purge', START_MS + 900_000) },
  ])('$name changes nothing', ({ fire }) => {
    const story = given(create(), join());
    const { session } = story;
    expect(story.after(900_000).when(fire).effects).toEqual([]);
    expect(story.session).toBe(session);
  });

  it('of an unknown session changes nothing', () => {
    const story = new Story().when(timerFire('resend', DUE_MS));
    expect([story.session, story.effects]).toEqual([undefined, []]);
  });

  it.each([
    { name: 'in time', lateMs: 0 },
    { name: 'late', lateMs: 7_000 },
    { name: 'very late, claimed many times', lateMs: 120_000 },
  ])('counts once when it comes twice: $name', ({ lateMs }) => {
    const story = given(create(), join());
    const fire = timerFire('resend', DUE_MS + lateMs);
    story.after(15_000 + lateMs).when(fire, fire);
    expect(story.triggers.map(({ attempt }) => attempt)).toEqual([1]);
  });

  it('from before a new schedule does not fire the new one', () => {
    const story = given(create(), join());
    const stale = timerFire('resend', story.dueAtMs('resend'));
    story.when(refresh(), join({ userId: 'ada', nickname: 'Ada' })).after(14_000);
    story.when(join({ userId: 'bot', nickname: 'Bot' })).after(1_000);
    expect(story.when(stale).effects).toEqual([]);
  });
});
