import type { CallReply, ChatEvent } from '@flexpush/contracts';
import { ReplyParts } from './reply-parts';

function event(index: number | undefined): ChatEvent {
  return {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    ...(index === undefined ? {} : { index }),
    type: 'Message',
    utcTime: 1,
  };
}

function part(indexes: (number | undefined)[], more: boolean): CallReply {
  return {
    id: 'r',
    alias: '204',
    reply: { outcome: 'ok', chatEnded: false, monitored: false },
    messages: indexes.map(event),
    more,
  };
}

/** What the parts amount to: the indexes of the whole reply, or undefined. */
function put(wanted: number | undefined, ...parts: CallReply[]): (number | undefined)[] | undefined {
  const collected = new ReplyParts(wanted);
  const whole = parts.map((one) => collected.add(one));
  expect(whole.slice(0, -1).filter((reply) => reply !== undefined)).toEqual([]);
  return whole.at(-1)?.messages.map(({ index }) => index);
}

describe('the parts of a reply', () => {
  it.each([
    { name: 'one part', wanted: 3, parts: [part([3, 4], false)], whole: [3, 4] },
    { name: 'one part without events', wanted: 3, parts: [part([], false)], whole: [] },
    {
      name: 'a create, which asks for no position',
      wanted: undefined,
      parts: [part([1], false)],
      whole: [1],
    },
    { name: 'position 0', wanted: 0, parts: [part([1], false)], whole: [1] },
    {
      name: 'three parts',
      wanted: 1,
      parts: [part([1, 2], true), part([3], true), part([4], false)],
      whole: [1, 2, 3, 4],
    },
    {
      name: 'parts of no known position',
      wanted: undefined,
      parts: [part([5], true), part([6], false)],
      whole: [5, 6],
    },
    {
      name: 'events without an index',
      wanted: 1,
      parts: [part([1, undefined], true), part([2, undefined], false)],
      whole: [1, undefined, 2, undefined],
    },
    { name: 'an empty last part', wanted: 1, parts: [part([1], true), part([], false)], whole: [1] },
  ])('$name make a whole', ({ wanted, parts, whole }) => {
    expect(put(wanted, ...parts)).toEqual(whole);
  });

  it.each([
    { name: 'the first', parts: [part([3], false)] },
    { name: 'the middle', parts: [part([1, 2], true), part([4], false)] },
    {
      name: 'one of the middle, and then the end',
      parts: [part([1], true), part([3], true), part([4], false)],
    },
    { name: 'the last', parts: [part([1, 2], true)] },
  ])('$name missing, there is no reply', ({ parts }) => {
    expect(put(1, ...parts)).toBeUndefined();
  });

  it.each([
    { name: 'in time', before: [part([1], true)] },
    { name: 'after a gap', before: [part([1], true), part([3], true)] },
    { name: 'after a lost beginning', before: [part([3], false)] },
  ])('a new reply replaces a broken one, $name', ({ before }) => {
    expect(put(1, ...before, part([1, 2], true), part([3], false))).toEqual([1, 2, 3]);
  });

  it('a refusal counts whatever came before', () => {
    const parts = new ReplyParts(1);
    parts.add(part([1], true));
    parts.add(part([3], true));
    const refusal = {
      ...part([], false),
      reply: { outcome: 'removed' as const, chatEnded: false, monitored: false },
    };
    expect(parts.add(refusal)?.reply.outcome).toBe('removed');
  });
});
