import { check } from './check';
import { newChat, type ChatHistory, type Post, type Refresh, type SeenEvent } from './history';
import type { Terms, Violation } from './terms';

const TERMS: Terms = {
  resendDelayMs: 1_000,
  attemptsMax: 2,
  onItsWayMs: 5_000,
  clocksApartMs: 0,
  lateMs: 500,
  lostFromLog: [],
  lastSaidAtMs: 30_000,
};

function event(index: number, text?: string): SeenEvent {
  return { index, type: text === undefined ? 'ParticipantJoined' : 'Message', text, utcTime: index };
}
const joins = [event(1), event(2)];

function refresh(from: number, events: SeenEvent[], given: Partial<Refresh> = {}): Refresh {
  const nextPosition = from + events.length;
  return { from, startedAtMs: 40_000, answeredAtMs: 40_010, events, nextPosition, isFinal: false, ...given };
}

function said(text: string, atMs: number): ChatHistory['said'][number] {
  return { type: 'Message', text, who: 'agent', startedAtMs: atMs, acknowledgedAtMs: atMs + 5 };
}

function trigger(atMs: number, attempt: number, position: number): Post {
  return { kind: 'trigger', atMs, attempt, position, taken: true };
}

/** Two messages of the agent; the customer was told of the first by a trigger, and refreshed. */
function healthy(kind: ChatHistory['kind'] = 'refreshing'): ChatHistory {
  const chat = newChat('chat', kind);
  chat.said.push(said('one', 1_000), said('two', 20_000));
  const all = [...joins, event(3, 'one'), event(4, 'two')];
  chat.posts.push(trigger(1_020, 0, 1), trigger(20_020, 0, 4));
  chat.refreshes.push(
    refresh(1, all.slice(0, 3), { startedAtMs: 1_100, answeredAtMs: 1_120 }),
    refresh(4, all.slice(3), { startedAtMs: 20_100, answeredAtMs: 20_120 }),
    refresh(1, all, { isFinal: true }),
  );
  return chat;
}

function judge(chat: ChatHistory): string[] {
  const violations: Violation[] = check({ chats: new Map([[chat.chatId, chat]]) }, TERMS);
  return violations.map(({ rule, what }) => `${rule} ${what}`);
}

it('finds nothing wrong with a healthy history', () => {
  expect(judge(healthy())).toEqual([]);
});

const wrongs: { name: string; spoil: (chat: ChatHistory) => void; found: RegExp }[] = [
  {
    name: 'an acknowledged message that is not there',
    spoil: (chat) => chat.said.push(said('three', 25_000)),
    found: /I2 "three" was acknowledged/,
  },
  {
    name: 'a message that is there twice',
    spoil: ({ refreshes }) => {
      (refreshes[2] as Refresh).events.push(event(5, 'one'));
      (refreshes[2] as Refresh).nextPosition = 6;
    },
    found: /I1 "one" is in the transcript 2 times/,
  },
  {
    name: 'a gap',
    spoil: ({ refreshes }) => (refreshes[0] as Refresh).events.splice(1, 1),
    found: /I1 a refresh from 1 has 3 where 2/,
  },
  {
    name: 'an event that changed',
    spoil: ({ refreshes }) => ((refreshes[0] as Refresh).events[2] = event(3, 'another')),
    found: /I8 event 3 was "another"/,
  },
  {
    name: 'messages in another order',
    spoil: ({ refreshes }) => {
      const { events } = refreshes[2] as Refresh;
      [events[2], events[3]] = [event(3, 'two'), event(4, 'one')];
    },
    found: /I1 the agent's messages are in another order/,
  },
  {
    name: 'a trigger long after its confirm',
    spoil: ({ posts }) => posts.push(trigger(7_000, 1, 1)),
    found: /I5 attempt 1 at position 1 comes 5880 ms after its confirm/,
  },
  {
    name: 'a trigger for an event that does not exist yet',
    spoil: ({ posts }) => posts.push(trigger(15_000, 0, 4)),
    found: /I5 attempt 0 at position 4 comes before/,
  },
  {
    name: 'an attempt beyond the limit',
    spoil: ({ posts }) => posts.push(trigger(26_000, 3, 4)),
    found: /I5 attempt 3 at position 4 is beyond the limit/,
  },
  {
    name: 'an attempt before its time',
    spoil: (chat) => {
      chat.refreshes.splice(1, 1);
      chat.posts.push(trigger(26_000, 7, 4));
    },
    found: /I5 attempt 7 at position 4 comes 1000 ms early/,
  },
  {
    name: 'a schedule that begins anew for nothing',
    spoil: (chat) => {
      chat.refreshes.splice(1, 1);
      chat.posts.push(trigger(26_200, 2, 4), trigger(32_000, 0, 4));
    },
    found: /I8 attempt 0 at position 4 follows attempt 2/,
  },
  {
    name: 'an event that the customer was not told of',
    spoil: (chat) => chat.refreshes.splice(1, 1),
    found: /I6 nobody was told of event 4/,
  },
  {
    name: 'a last refresh without an answer',
    spoil: (chat) => chat.refreshes.pop(),
    found: /I6 the last refresh is never answered/,
  },
];

it.each(wrongs)('finds $name', ({ spoil, found }) => {
  const chat = healthy();
  spoil(chat);
  expect(judge(chat).join('\n')).toMatch(found);
});

describe('a silent customer in the end', () => {
  const silent = (...posts: Post[]): ChatHistory => {
    const chat = newChat('chat', 'silent');
    chat.said.push(said('one', 30_000));
    chat.posts.push(...posts);
    chat.refreshes.push(refresh(1, [...joins, event(3, 'one')], { isFinal: true }));
    return chat;
  };
  const whole = [trigger(30_020, 0, 1), trigger(31_020, 1, 1), trigger(32_020, 2, 1)];

  it('gets every attempt at its time', () => {
    expect(judge(silent(...whole))).toEqual([]);
  });
  it('misses one', () => {
    expect(judge(silent(...whole.slice(0, 2)))).toEqual([
      'I4 the last schedule has attempts 0 1 instead of 0 1 2',
    ]);
  });
  it('gets one late', () => {
    expect(judge(silent(...whole.slice(0, 2), trigger(32_900, 2, 1)))).toEqual([
      'I6 attempt 2 of the last schedule is 880 ms late',
    ]);
  });
  it('gets none', () => {
    expect(judge(silent())).toEqual(['I6 the last message causes no trigger']);
  });
});

describe('plain pushes', () => {
  const plain = (...indexes: number[]): ChatHistory => {
    const chat = healthy('plain');
    const post = (index: number): Post => ({ kind: 'event', atMs: index, index, text: '', taken: true });
    chat.posts.splice(0, chat.posts.length, ...indexes.map(post));
    return chat;
  };
  it('may come again, but each must come, and in order', () => {
    expect(judge(plain(2, 3, 3, 4, 3))).toEqual([]);
    expect(judge(plain(2, 4, 3))).toEqual(['I7 event 3 arrives for the first time behind 4']);
    expect(judge(plain(2, 3))).toEqual(['I6 event 4 was never pushed']);
  });
});
