import {
  create,
  disconnect,
  end,
  join,
  leave,
  message,
  refresh,
  send,
  startTyping,
  stopTyping,
  WRONG_KEY_HASH,
} from './testing/records';
import { given, START_MS, Story } from './testing/story';
import type { FoldInput } from './transition';

const ok = { outcome: 'ok', chatEnded: false, monitored: false };

describe('Chat API requests', () => {
  it('a refresh gives the transcript as sample R2', () => {
    const story = given(create(), join())
      .after(4_000)
      .when(message({ text: 'Hi Mira' }), startTyping());
    expect(story.when(refresh()).reply).toEqual({ ...ok, nextPosition: 5, page: { first: 1, last: 4 } });
    expect(story.transcript.slice(1)).toEqual([
      {
        from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
        index: 2,
        type: 'ParticipantJoined',
        utcTime: START_MS,
      },
      {
        from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
        index: 3,
        type: 'Message',
        messageType: 'text',
        text: 'Hi Mira',
        utcTime: START_MS + 4_000,
      },
      {
        from: { nickname: 'Mira', participantId: 1, type: 'Client' },
        index: 4,
        type: 'TypingStarted',
        utcTime: START_MS + 4_000,
      },
    ]);
  });

  it.each<{ name: string; record: FoldInput; effects: string[]; reply: object }>([
    {
      name: 'send',
      record: send({ text: 'Late again' }),
      effects: ['#3 Message Mira: Late again'],
      reply: ok,
    },
    {
      name: 'send that reads the transcript, its own message included',
      record: send({ transcriptPosition: 2 }),
      effects: ['#3 Message Mira: My order is late'],
      reply: { ...ok, nextPosition: 4, page: { first: 2, last: 3 } },
    },
    { name: 'startTyping', record: startTyping(), effects: ['#3 TypingStarted Mira'], reply: ok },
    {
      name: 'startTyping with a preview',
      record: startTyping({ text: 'My or' }),
      effects: ['#3 TypingStarted Mira: My or'],
      reply: ok,
    },
    { name: 'stopTyping', record: stopTyping(), effects: ['#3 TypingStopped Mira'], reply: ok },
    {
      name: 'disconnect',
      record: disconnect(),
      effects: ['#3 ParticipantLeft Mira', 'withdraw chat-1:mira up to 1'],
      reply: { ...ok, chatEnded: true },
    },
    {
      name: 'a wrong key',
      record: send({ keyHash: WRONG_KEY_HASH }),
      effects: [],
      reply: { ...ok, outcome: 'bad-key' },
    },
    {
      name: 'an unknown participant',
      record: send({ userId: 'nobody' }),
      effects: [],
      reply: { ...ok, outcome: 'unknown-participant' },
    },
    {
      name: 'a participant that has no key',
      record: send({ userId: 'jonas' }),
      effects: [],
      reply: { ...ok, outcome: 'bad-key' },
    },
  ])('$name', ({ record, effects, reply }) => {
    const story = given(create(), join()).when(record);
    expect([story.effects, story.reply]).toEqual([effects, reply]);
  });

  it('keeps the message type', () => {
    const story = given(create()).when(send({ messageType: 'html' }));
    expect(story.transcript.at(-1)).toEqual(expect.objectContaining({ messageType: 'html' }));
  });

  it('answers that a session is unknown, to requests of any kind', () => {
    for (const record of [refresh(), send(), startTyping(), stopTyping(), disconnect()])
      expect(new Story().when(record).reply).toEqual({
        outcome: 'unknown-session',
        chatEnded: true,
        monitored: false,
      });
  });

  it.each<{ name: string; record: FoldInput; outcome: string }>([
    { name: 'a wrong key', record: send({ keyHash: WRONG_KEY_HASH }), outcome: 'bad-key' },
    { name: 'an unknown participant', record: send({ userId: 'nobody' }), outcome: 'unknown-participant' },
  ])('$name changes nothing, and does not use the record id up', ({ record, outcome }) => {
    const story = given(create(), join());
    const { session } = story;
    expect(story.when(record).reply?.outcome).toBe(outcome);
    expect(story.session).toBe(session);
    // A stranger who guesses an id must not make the owner's own request look like a repeat.
    const own = 'id' in record ? send({ id: record.id }) : send();
    expect(story.when(own).effects).toEqual(['#3 Message Mira: My order is late']);
  });
});

describe('typing preview in a refresh', () => {
  it('starts typing when it appears, and stops when it is empty', () => {
    const story = given(create(), join());
    expect(story.when(refresh({ preview: 'My' })).effects[0]).toBe('#3 TypingStarted Mira: My');
    expect(story.reply).toEqual({ ...ok, nextPosition: 4, page: { first: 1, last: 3 } });
    expect(story.when(refresh({ preview: 'My order' })).effects).toEqual([]);
    expect(story.when(refresh()).effects).toEqual([]);
    expect(story.when(refresh({ preview: '' })).effects).toEqual(['#4 TypingStopped Mira']);
    expect(story.when(refresh({ preview: '' })).effects).toEqual([]);
  });

  it('a message ends typing without a notice', () => {
    const story = given(create(), join(), startTyping(), send());
    expect(story.when(refresh({ preview: '' })).pushes).toEqual(['withdraw chat-1:mira up to 1']);
    expect(story.transcript).toHaveLength(4);
  });
});

describe('the end of a chat', () => {
  it('is reached when the last one leaves', () => {
    const story = given(create()).after(5_000).when(disconnect());
    expect(story.effects).toEqual(['#2 ParticipantLeft Mira']);
    expect(story.session).toEqual(
      expect.objectContaining({
        status: 'ended',
        endedAtMs: START_MS + 5_000,
        purgeAtMs: START_MS + 605_000,
      }),
    );
  });

  it('is not reached while an agent stays', () => {
    const story = given(create(), join(), disconnect());
    expect(story.session?.status).toBe('open');
    expect(story.when(leave()).effects).toEqual(['#4 ParticipantLeft Jonas']);
    expect(story.session?.status).toBe('ended');
  });

  it('still gives the rest of the transcript for a grace time, then no more (CONTRACT 6 #39)', () => {
    const story = given(create(), join(), refresh(), end()).after(599_000);
    const reply = { ...ok, chatEnded: true, nextPosition: 5, page: { first: 3, last: 4 } };
    expect(story.when(refresh({ transcriptPosition: 3 })).reply).toEqual(reply);
    expect(story.pushes).toEqual(['withdraw chat-1:mira up to 4']);
    expect(story.fire('purge').session).toBeUndefined();
    expect(story.when(refresh()).reply).toEqual({
      outcome: 'unknown-session',
      chatEnded: true,
      monitored: false,
    });
  });

  it('shows nothing of what happened after the own leave, however late the refresh is', () => {
    const story = given(create(), join(), disconnect(), message({ text: 'Between us' }), leave());
    expect(story.session?.status).toBe('ended');
    const reply = { ...ok, chatEnded: true, nextPosition: 4, page: { first: 1, last: 3 } };
    const late = refresh();
    expect(story.when(late).reply).toEqual(reply);
    expect(story.when(late).reply).toEqual(reply);
    expect(story.when(refresh({ transcriptPosition: 5 })).reply).toEqual({
      ...reply,
      page: { first: 4, last: 3 },
    });
  });

  it.each<{ name: string; record: FoldInput; reply: object }>([
    { name: 'send', record: send(), reply: { ...ok, outcome: 'removed', chatEnded: true } },
    { name: 'startTyping', record: startTyping(), reply: { ...ok, outcome: 'removed', chatEnded: true } },
    { name: 'stopTyping', record: stopTyping(), reply: { ...ok, outcome: 'removed', chatEnded: true } },
    { name: 'disconnect', record: disconnect(), reply: { ...ok, chatEnded: true } },
    {
      name: 'a wrong key',
      record: refresh({ keyHash: WRONG_KEY_HASH }),
      reply: { ...ok, outcome: 'bad-key', chatEnded: true },
    },
  ])('changes nothing afterwards, also when it is repeated: $name', ({ record, reply }) => {
    const story = given(create(), join(), end());
    expect([story.when(record).effects, story.reply]).toEqual([[], reply]);
    expect([story.when(record).effects, story.reply]).toEqual([[], reply]);
  });

  it.each<{ name: string; record: FoldInput; reply: object }>([
    { name: 'send', record: send(), reply: { ...ok, outcome: 'removed' } },
    { name: 'refresh', record: refresh(), reply: { ...ok, outcome: 'removed' } },
    { name: 'disconnect', record: disconnect(), reply: { ...ok, chatEnded: true } },
  ])('is known to who was removed from a chat that goes on: $name', ({ record, reply }) => {
    const story = given(create(), join(), leave({ userId: 'mira' }));
    expect(story.when(record).reply).toEqual(reply);
    expect(story.when(record).reply).toEqual(reply);
  });
});

describe('the purge', () => {
  it('waits while a removal is still being told', () => {
    const story = given(create())
      .set({ 'settings/flex-push-resend-delay': '900', 'settings/flex-push-resend-attempts': '1' })
      .when(end());
    expect(story.timers).toEqual({ resend: 900, purge: 600 });
    expect(story.fire('purge').timers).toEqual({ resend: 900, purge: 1_200 });
    expect(story.fire('resend').timers).toEqual({ purge: 1_200 });
    expect(story.fire('purge').session).toBeUndefined();
    expect(story.timers).toEqual({});
  });

  it('does not come before its time', () => {
    const story = given(create(), end());
    const { session } = story;
    story.when({
      type: 'timer.fire',
      kind: 'purge',
      sessionId: 'chat-1',
      userId: '-',
      scoreMs: START_MS + 599_999,
    });
    expect(story.session).toBe(session);
  });
});
