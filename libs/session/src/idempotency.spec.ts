import { BOUNDS } from '@flexpush/contracts';
import { noteId } from './recent-ids';
import {
  create,
  disconnect,
  join,
  leave,
  message,
  refresh,
  send,
  startTyping,
  typingStart,
  WRONG_KEY_HASH,
} from './testing/records';
import { given, START_MS } from './testing/story';
import type { FoldInput } from './transition';

const ok = { outcome: 'ok', chatEnded: false, monitored: false };

describe('a record that is known already', () => {
  it.each<{ name: string; record: FoldInput }>([
    { name: 'join', record: join({ userId: 'ada' }) },
    { name: 'leave', record: leave() },
    { name: 'message', record: message() },
    { name: 'typing', record: typingStart() },
    { name: 'send', record: send() },
    { name: 'startTyping', record: startTyping() },
    { name: 'refresh', record: refresh({ preview: 'My' }) },
    { name: 'disconnect', record: disconnect() },
  ])('changes nothing, and is no refusal: $name', ({ record }) => {
    const story = given(create(), join(), record);
    const { session } = story;
    story.after(60_000).when(record);
    expect([story.effects, story.refusal]).toEqual([[], undefined]);
    expect(story.session).toBe(session);
  });

  it.each<{ name: string; record: FoldInput; reply: object }>([
    { name: 'send', record: send(), reply: ok },
    {
      name: 'send that reads',
      record: send({ transcriptPosition: 3 }),
      reply: { ...ok, nextPosition: 5, page: { first: 3, last: 4 } },
    },
    { name: 'refresh', record: refresh(), reply: { ...ok, nextPosition: 4, page: { first: 1, last: 3 } } },
  ])('is answered again from the present state: $name', ({ record, reply }) => {
    const story = given(create(), join(), record, message());
    expect(story.when(record).reply).toEqual(reply);
  });

  it('is not answered to somebody without the key', () => {
    const record = refresh();
    const story = given(create(), record);
    expect(story.when({ ...record, keyHash: WRONG_KEY_HASH }).reply).toEqual({ ...ok, outcome: 'bad-key' });
  });

  it('does not confirm again: what came after it stays announced', () => {
    const first = refresh();
    const story = given(create(), join(), first, message());
    expect(story.when(first).pushes).toEqual([]);
    expect(story.timers.resend).toBe(15);
  });

  it('is forgotten when others have come some minutes later', () => {
    const record = message();
    const story = given(create(), join(), record).after(600_000).when(message());
    expect(story.when(record).effects[0]).toBe('#5 Message Jonas: Hello');
  });
});

describe('the memory of record ids', () => {
  const empty = { sinceMs: START_MS, now: '', before: '' };
  const note = (recent: typeof empty, id: string, atMs: number) => noteId(recent, id, atMs) ?? recent;

  it('knows an id for five minutes at least, wherever in a generation it came', () => {
    for (const ageMs of [0, 1, 299_999, 300_000]) {
      for (const cameAtMs of [0, 1, 150_000, 299_999]) {
        let recent = note(empty, 'first', START_MS);
        recent = note(recent, 'looked-for', START_MS + cameAtMs);
        // Something else comes in between, so that the generation may change.
        recent = note(recent, 'between', START_MS + cameAtMs + ageMs);
        expect(noteId(recent, 'looked-for', START_MS + cameAtMs + ageMs)).toBeUndefined();
      }
    }
  });

  it('forgets everything after a silence of two generations', () => {
    expect(noteId(note(empty, 'a', START_MS), 'b', START_MS + 600_000)?.before).toBe('');
  });

  it('is bounded, and forgets the oldest first (I9)', () => {
    let recent = empty;
    const ids = Array.from({ length: 3 * BOUNDS.recentIdsPerGeneration }, (_, i) => `id-${i}`);
    for (const id of ids) recent = note(recent, id, START_MS);
    expect(recent.now.length + recent.before.length).toBeLessThanOrEqual(
      2 * BOUNDS.recentIdsPerGeneration * 11,
    );
    for (const id of ids.slice(-BOUNDS.recentIdsPerGeneration))
      expect(noteId(recent, id, START_MS)).toBeUndefined();
    expect(noteId(recent, 'id-0', START_MS)).toBeDefined();
  });

  it('tells ids apart that differ little', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 20_000; i++) seen.add(note(empty, `record-${i}`, START_MS).now);
    expect(seen.size).toBe(20_000);
  });

  it('writes every id in the same width, so that no two together look like a third', () => {
    const widths = new Set<number>();
    for (let i = 0; i < 5_000; i++) widths.add(note(empty, `${i}`, START_MS).now.length);
    expect([...widths]).toEqual([9]);
  });
});
