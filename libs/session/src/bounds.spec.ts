import { BOUNDS } from '@flexpush/contracts';
import {
  create,
  disconnect,
  end,
  join,
  leave,
  message,
  notice,
  refresh,
  send,
  startTyping,
  typingStart,
  url,
} from './testing/records';
import { given, type Story } from './testing/story';
import type { FoldInput } from './transition';

const ok = { outcome: 'ok', chatEnded: false, monitored: false };

/** A chat with that many events: Mira's and Jonas's joins and messages of his. */
function chatOf(events: number): Story {
  return given(create(), join(), ...Array.from({ length: events - 2 }, () => message()));
}

describe('the bounds of a session (I9)', () => {
  const full = chatOf(BOUNDS.eventsPerSession);
  /** The same full chat for each test; a fold never touches what it is given. */
  const fullChat = () => {
    const story = given();
    story.session = full.session;
    return story;
  };

  it('takes events up to the bound', () => {
    expect(full.refusal).toBeUndefined();
    expect(full.transcript.at(-1)?.index).toBe(BOUNDS.eventsPerSession);
  });

  it.each<{ name: string; record: FoldInput }>([
    { name: 'message', record: message() },
    { name: 'typing', record: typingStart() },
    { name: 'notice', record: notice() },
    { name: 'url', record: url() },
    { name: 'join', record: join({ userId: 'ada' }) },
  ])('refuses more: $name', ({ record }) => {
    const story = fullChat().when(record);
    expect([story.effects, story.refusal]).toEqual([[], 'session-full']);
    expect(story.session).toBe(full.session);
  });

  it('refuses a send, also when it is repeated, and still counts it as a sign of life', () => {
    const reply = { ...ok, outcome: 'refused', reason: 'the chat has reached its limit of events' };
    const record = send();
    const story = fullChat().after(1_000).when(record);
    expect([story.effects, story.reply]).toEqual([[], reply]);
    expect(story.mira.inactivity?.lastRequestAtMs).toBe(story.nowMs);
    expect(story.when(record).reply).toEqual(reply);
  });

  it.each<{ name: string; record: FoldInput; reply: object | undefined; events: number }>([
    { name: 'typing is dropped', record: startTyping(), reply: ok, events: 0 },
    {
      name: 'a refresh is answered, its preview dropped',
      record: refresh({ transcriptPosition: 9_999, preview: 'My' }),
      reply: { ...ok, nextPosition: 10_001, page: { first: 9_999, last: 10_000 } },
      events: 0,
    },
    { name: 'a leave is told', record: leave(), reply: undefined, events: 1 },
    { name: 'a disconnect is told', record: disconnect(), reply: { ...ok, chatEnded: true }, events: 1 },
    { name: 'the end is told', record: end(), reply: undefined, events: 2 },
  ])('a full chat can still be read and left: $name', ({ record, reply, events }) => {
    const story = fullChat().when(record);
    expect([story.reply, story.refusal, story.transcript.length]).toEqual([reply, undefined, events]);
  });

  it('takes participants up to the bound, those that left included', () => {
    const joins = Array.from({ length: BOUNDS.participantsPerSession - 1 }, (_, i) =>
      join({ userId: `a-${i}` }),
    );
    const story = given(create(), ...joins, leave({ userId: 'a-0' }));
    expect(story.session?.participants).toHaveLength(BOUNDS.participantsPerSession);
    story.when(join({ userId: 'one-more' }));
    expect([story.effects, story.refusal]).toEqual([[], 'too-many-participants']);
    expect(story.when(join({ userId: 'a-0' })).refusal).toBeUndefined();
  });
});

describe('a transcript longer than one reply', () => {
  it('is read in pages, and what is left is announced anew at once (I6)', () => {
    const story = chatOf(1_203).when(refresh());
    expect(story.reply).toEqual({ ...ok, nextPosition: 501, page: { first: 1, last: 500 } });
    expect(story.pushes).toEqual([
      'withdraw chat-1:mira up to 1202',
      'trigger attempt 0 position 501 (mira 1203)',
    ]);
    expect(story.timers.resend).toBe(15);
    story.when(refresh({ transcriptPosition: 501 }));
    expect(story.reply).toEqual({ ...ok, nextPosition: 1_001, page: { first: 501, last: 1_000 } });
    expect(story.pushes.at(-1)).toBe('trigger attempt 0 position 1001 (mira 1204)');
    story.when(refresh({ transcriptPosition: 1_001 }));
    expect(story.reply).toEqual({ ...ok, nextPosition: 1_204, page: { first: 1_001, last: 1_203 } });
    expect(story.pushes).toEqual(['withdraw chat-1:mira up to 1204']);
    expect(story.timers).toEqual({ ping: 300 });
  });

  it('of exactly one page leaves nothing to announce', () => {
    const story = chatOf(500).when(refresh());
    expect(story.reply).toEqual({ ...ok, nextPosition: 501, page: { first: 1, last: 500 } });
    expect(story.pushes).toEqual(['withdraw chat-1:mira up to 499']);
  });

  it('read again from an old position is announced from where that page ends', () => {
    const story = chatOf(600).when(refresh({ transcriptPosition: 101 }));
    expect(story.timers).toEqual({ ping: 300 });
    expect(story.when(refresh({ transcriptPosition: 1 })).pushes).toEqual([
      'trigger attempt 0 position 501 (mira 600)',
    ]);
  });

  it('is read in pages after the end too, without announcements', () => {
    const story = chatOf(600).when(end(), refresh());
    expect(story.reply).toEqual({ ...ok, chatEnded: true, nextPosition: 501, page: { first: 1, last: 500 } });
    expect(story.pushes.at(-1)).toMatch(/^withdraw/);
    story.when(refresh({ transcriptPosition: 501 }));
    expect(story.reply).toEqual({
      ...ok,
      chatEnded: true,
      nextPosition: 603,
      page: { first: 501, last: 602 },
    });
  });
});
