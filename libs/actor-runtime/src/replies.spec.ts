import { BOUNDS, type ChatEvent } from '@flexpush/contracts';
import type { ShardStore } from './ports';
import { portionsOf, renderReplies } from './replies';
import { SessionCache } from './session-cache';
import type { PendingReply } from './shard-fold';

const LARGEST = { first: 1, last: BOUNDS.eventsPerReply };

const pending = (recordId: string, page: { first: number; last: number }): PendingReply => ({
  callerId: 'chat-api-1',
  recordId,
  sessionId: 'chat-1',
  reply: { outcome: 'ok', chatEnded: false, monitored: false, page },
  atMs: 1,
});

const event = (index: number): ChatEvent => ({
  from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
  index,
  type: 'Message',
  text: `text ${index}`,
  utcTime: 1,
});

/** A transcript that is read from the store, and how often. */
function storedTranscript() {
  const reads: { first: number; last: number }[] = [];
  const loadTranscript: ShardStore['loadTranscript'] = (_shard, _sessionId, { first, last }) => {
    reads.push({ first, last });
    return Promise.resolve(
      Array.from({ length: last - first + 1 }, (_, i) => JSON.stringify(event(first + i))),
    );
  };
  const store = { loadTranscript } as ShardStore;
  return { reads, source: { shard: 0, alias: '204', sessions: new SessionCache(10), store } };
}

describe('replies with pages of the transcript', () => {
  it('read a page once for all who ask for it, and each gets it whole', async () => {
    const { reads, source } = storedTranscript();
    const page = { first: 3, last: 40 };
    const rendered = await renderReplies(
      [pending('a', page), pending('b', page), pending('c', LARGEST)],
      source,
    );
    expect(reads).toEqual([page, LARGEST]);
    const replies = rendered.flatMap(
      ({ payload }) => (JSON.parse(payload) as { replies: { id: string; messages: ChatEvent[] }[] }).replies,
    );
    const indexes = (id: string) =>
      replies
        .filter((reply) => reply.id === id)
        .flatMap(({ messages }) => messages.map(({ index }) => index));
    expect(indexes('a')).toEqual(Array.from({ length: 38 }, (_, i) => i + 3));
    expect(indexes('b')).toEqual(indexes('a'));
    expect(indexes('c')).toHaveLength(BOUNDS.eventsPerReply);
  });

  it('are rendered a few at a time when they are large, all others at once', () => {
    const usual = Array.from({ length: 100 }, (_, i) => pending(`usual-${i}`, { first: 1, last: 8 }));
    const large = Array.from({ length: 40 }, (_, i) => pending(`large-${i}`, LARGEST));
    const portions = portionsOf([...large, ...usual]);
    expect(portions.map((portion) => portion.length)).toEqual([100, 16, 16, 8]);
    expect(portions.flat()).toEqual([...usual, ...large]);
  });
});
