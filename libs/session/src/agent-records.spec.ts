import {
  create,
  disconnect,
  end,
  join,
  leave,
  message,
  notice,
  typingStart,
  typingStop,
  url,
} from './testing/records';
import { given, START_MS, Story } from './testing/story';
import type { FoldInput } from './transition';

describe('records of the agent side', () => {
  it.each<{ name: string; record: FoldInput; event: object }>([
    {
      name: 'message.send',
      record: message(),
      event: { type: 'Message', text: 'Hello', messageType: 'text' },
    },
    {
      name: 'message.send with a type',
      record: message({ messageType: 'html' }),
      event: { type: 'Message', text: 'Hello', messageType: 'html' },
    },
    { name: 'typing.start', record: typingStart(), event: { type: 'TypingStarted' } },
    {
      name: 'typing.start with a preview',
      record: typingStart({ text: 'Hel' }),
      event: { type: 'TypingStarted', text: 'Hel' },
    },
    { name: 'typing.stop', record: typingStop(), event: { type: 'TypingStopped' } },
    { name: 'notice.custom', record: notice(), event: { type: 'CustomNotice', text: 'looked-up' } },
    { name: 'url.push', record: url(), event: { type: 'PushUrl', text: 'https://example.org/offer' } },
    { name: 'participant.leave', record: leave(), event: { type: 'ParticipantLeft' } },
  ])('$name becomes one event', ({ record, event }) => {
    const story = given(create(), join()).after(1_000).when(record);
    expect(story.raw[0]).toEqual({
      kind: 'append',
      event: {
        from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
        index: 3,
        utcTime: START_MS + 1_000,
        ...event,
      },
    });
  });

  it.each<{ name: string; story: () => Story; record: FoldInput; refusal: string }>([
    { name: 'an unknown session', story: () => new Story(), record: message(), refusal: 'unknown-session' },
    {
      name: 'a session that ended',
      story: () => given(create(), end()),
      record: join(),
      refusal: 'session-ended',
    },
    { name: 'a second end', story: () => given(create(), end()), record: end(), refusal: 'session-ended' },
    {
      name: 'an unknown participant',
      story: () => given(create()),
      record: message(),
      refusal: 'unknown-participant',
    },
    {
      name: 'a participant that has left',
      story: () => given(create(), join(), leave()),
      record: message(),
      refusal: 'participant-left',
    },
    {
      name: 'a second leave',
      story: () => given(create(), join(), leave()),
      record: leave(),
      refusal: 'participant-left',
    },
    {
      name: 'a second join',
      story: () => given(create(), join()),
      record: join(),
      refusal: 'already-joined',
    },
    {
      name: 'joining in the name of the customer that left',
      story: () => given(create(), join(), disconnect()),
      record: join({ userId: 'mira' }),
      refusal: 'not-an-agent',
    },
  ])('are refused with a reason and change nothing: $name', ({ story: begin, record, refusal }) => {
    const story = begin();
    const { session } = story;
    story.when(record);
    expect([story.session, story.effects, story.refusal]).toEqual([session, [], refusal]);
    expect(story.session).toBe(session);
  });

  it('a refused record is accepted under the same id once it is allowed', () => {
    const early = message();
    const story = given(create(), early, join()).when(early);
    expect(story.effects[0]).toBe('#3 Message Jonas: Hello');
  });

  it('who comes back keeps its number, under the name and type it comes back with', () => {
    const story = given(create(), join(), leave()).when(
      join({ nickname: 'Jonas K.', participantType: 'Supervisor' }),
    );
    expect(story.transcript.at(-1)).toEqual({
      from: { nickname: 'Jonas K.', participantId: 2, type: 'Supervisor' },
      index: 4,
      type: 'ParticipantJoined',
      utcTime: START_MS,
    });
  });

  it('participants are numbered in the order of their coming', () => {
    const story = given(
      create(),
      join(),
      join({ userId: 'ada', nickname: 'Ada', participantType: 'Supervisor' }),
      join({ userId: 'bot', nickname: 'Bot', participantType: 'External' }),
    );
    expect(story.transcript.map(({ from }) => from)).toEqual([
      { nickname: 'Mira', participantId: 1, type: 'Client' },
      { nickname: 'Jonas', participantId: 2, type: 'Agent' },
      { nickname: 'Ada', participantId: 3, type: 'Supervisor' },
      { nickname: 'Bot', participantId: 4, type: 'External' },
    ]);
  });

  it('the end takes everybody out, agents before customers', () => {
    const story = given(
      create({ subscription: undefined }),
      join(),
      join({ userId: 'ada', nickname: 'Ada' }),
    );
    expect(story.when(end()).effects).toEqual([
      '#4 ParticipantLeft Jonas',
      '#5 ParticipantLeft Ada',
      '#6 ParticipantLeft Mira',
    ]);
  });
});
