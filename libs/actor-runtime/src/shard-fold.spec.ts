import type { LogRecord } from '@flexpush/contracts';
import { Outbox } from './outbox';
import { parseSession, unknownSession } from './session-cache';
import { ShardFold, type FoldedBatch } from './shard-fold';
import { create, end, fired, join, message, options, refresh, sessionIn, settled } from './testing/records';

const CHAT = sessionIn(1);
const MIRA = `${CHAT}:mira`;
const AT_MS = 1_790_000_000_000;

/** A fold with a chat that has an agent, and what is told next. */
class Rig {
  readonly fold = new ShardFold(Outbox.parse({}), { options: '', atMs: 0 }, 100);
  seq = 0;
  atMs = AT_MS;

  constructor(...records: LogRecord[]) {
    if (records.length > 0) this.batch(...records);
  }

  /** One batch, one message per record. */
  batch(...records: LogRecord[]): FoldedBatch {
    return this.at(records.map((record) => ({ seq: ++this.seq, record })));
  }

  at(placed: { seq: number; index?: number; record: LogRecord; atMs?: number }[], skips = new Set<string>()) {
    const records = placed.map(({ seq, index = 0, record, atMs = this.atMs }) => ({
      seq,
      index,
      atMs,
      decoded: { index, kind: 'record' as const, record },
    }));
    for (const sessionId of this.fold.missing(records)) this.fold.sessions.set(sessionId, unknownSession());
    return this.fold.fold(records, skips);
  }
}

const chat = (subscription = {}) => [options(1), create(CHAT, subscription), join(CHAT)];
const ids = (batch: FoldedBatch) => batch.notifications.map(({ job }) => job.id);

describe('ShardFold', () => {
  it('lets out only the last of the triggers of one batch', () => {
    const rig = new Rig(...chat());
    const batch = rig.batch(message(CHAT), message(CHAT));
    expect(ids(batch)).toEqual([`${MIRA}:3`]);
    expect(batch.writes.outbox).toEqual([[MIRA, expect.stringContaining(`${MIRA}:3`)]]);
  });

  it('lets out nothing that a refresh of the same batch has confirmed', () => {
    const rig = new Rig(...chat());
    const batch = rig.batch(message(CHAT), refresh(CHAT));
    expect(ids(batch)).toEqual([]);
    expect(batch.withdrawals).toMatchObject([{ entry: { key: MIRA }, n: 2 }]);
    expect(batch.writes.outbox).toEqual([[MIRA, undefined]]);
    expect(rig.fold.outbox.size).toBe(0);
  });

  it('lets out what comes after a confirm of the same batch', () => {
    const rig = new Rig(...chat());
    expect(ids(rig.batch(message(CHAT), refresh(CHAT), message(CHAT)))).toEqual([`${MIRA}:3`]);
  });

  it('keeps plain notifications of one batch, all and in order', () => {
    const rig = new Rig(...chat({ resend: false }));
    expect(ids(rig.batch(message(CHAT), message(CHAT)))).toEqual([`${MIRA}:2`, `${MIRA}:3`]);
  });

  it('writes every timer of a fire as it is wanted now, unknown ones too', () => {
    const rig = new Rig(...chat());
    const member = `resend:${MIRA}`;
    rig.atMs += 15_000;
    const batch = rig.batch(
      fired(
        [member, AT_MS + 15_000],
        ['resend:nowhere:mira', 1],
        [`ping:${MIRA}`, 1],
        [`resend:${CHAT}:nobody`, 5],
        ['garbage', 2],
      ),
    );
    expect(new Map(batch.writes.timers)).toEqual(
      new Map([
        [member, AT_MS + 30_000],
        ['resend:nowhere:mira', undefined],
        [`ping:${MIRA}`, AT_MS + 300_000],
        [`resend:${CHAT}:nobody`, undefined],
        ['garbage', undefined],
      ]),
    );
    expect(ids(batch)).toEqual([`${MIRA}:2`]);
  });

  it('ignores a fire with an older score, and the second of two equal ones', () => {
    const rig = new Rig(...chat());
    const member = `resend:${MIRA}`;
    rig.atMs += 15_000;
    expect(ids(rig.batch(fired([member, AT_MS + 14_999])))).toEqual([]);
    expect(ids(rig.batch(fired([member, AT_MS + 15_000], [member, AT_MS + 15_000])))).toEqual([`${MIRA}:2`]);
    const again = rig.batch(fired([member, AT_MS + 15_000]));
    expect(ids(again)).toEqual([]);
    expect(again.writes.timers).toEqual([[member, AT_MS + 30_000]]);
  });

  it('settles the notification that is meant, and no newer one', () => {
    const rig = new Rig(...chat());
    rig.batch(message(CHAT));
    const late = rig.batch(settled(`${MIRA}:1`));
    expect([late.settled, late.writes.outbox]).toEqual([[], []]);
    const batch = rig.batch(settled(`${MIRA}:2`, `${MIRA}:2`, 'nonsense', ':'));
    expect(batch.settled.map(({ job }) => job.id)).toEqual([`${MIRA}:2`]);
    expect(batch.writes.outbox).toEqual([[MIRA, undefined]]);
  });

  it('takes options of a higher revision only', () => {
    const rig = new Rig(options(5, { 'settings/flex-push-resend-delay': '30' }));
    expect(rig.batch(options(4)).writes.options).toBe('');
    expect(rig.batch(options(5)).writes.options).toBe('');
    rig.batch(create(CHAT), join(CHAT));
    expect(rig.fold.sessions.get(CHAT)?.session).toMatchObject({
      participants: [{ subscription: { schedule: { dueAtMs: AT_MS + 30_000 } } }, {}],
    });
    const newer = rig.batch(options(6));
    expect(JSON.parse(newer.writes.options)).toMatchObject({ revision: 6 });
    expect(rig.fold.options().revision).toBe(6);
  });

  it('changes nothing when records that a session has folded come again (F2)', () => {
    const rig = new Rig();
    const records = [...chat(), message(CHAT), fired([`resend:${MIRA}`, AT_MS + 15_000])];
    const placed = records.map((record, i) => ({ seq: i + 1, record }));
    rig.at(placed);
    const before = structuredClone(rig.fold.sessions.get(CHAT));
    const again = rig.at(placed);
    expect(rig.fold.sessions.get(CHAT)).toEqual(before);
    expect([again.notifications, again.writes.sessions, again.writes.outbox]).toEqual([[], [], []]);
    expect(again.writes.timers).toEqual([[`resend:${MIRA}`, AT_MS + 30_000]]);
  });

  it('folds each record of one message, and each timer of one record, once', () => {
    const rig = new Rig(...chat());
    const records = [message(CHAT), message(CHAT), message(CHAT)];
    rig.at(records.map((record, index) => ({ seq: 50, index, record })));
    expect(rig.fold.sessions.get(CHAT)?.session?.nextPosition).toBe(6);
  });

  it('never lets time run backwards, not by a skipped record either (F3)', () => {
    const rig = new Rig(...chat());
    rig.at(
      [
        { seq: 10, record: message(CHAT), atMs: AT_MS + 900 },
        { seq: 11, record: message(CHAT), atMs: AT_MS + 100 },
      ],
      new Set(['10.0']),
    );
    expect(rig.fold.timeMs()).toBe(AT_MS + 900);
    const tail = rig.fold.sessions.get(CHAT)?.tail.map((json) => JSON.parse(json) as { utcTime: number });
    expect(tail?.at(-1)?.utcTime).toBe(AT_MS + 900);
  });

  it('skips records that were refused before, but not another that stands there in a new log', () => {
    const rig = new Rig(...chat());
    const atMs = 1_790_000_100_000;
    const at = { seq: 10, index: 3, record: message(CHAT), atMs };
    const skipped = rig.at([at], new Set([`10.3.${atMs}`]));
    expect([skipped.notifications, skipped.writes.sessions]).toEqual([[], []]);
    expect(rig.at([at], new Set([`10.3.${atMs - 1}`])).writes.sessions).toHaveLength(1);
  });

  it('refuses a record that makes the fold throw, and goes on', () => {
    const rig = new Rig(...chat());
    const cached = rig.fold.sessions.get(CHAT);
    // Stored state that no fold has made: the participants are missing.
    if (cached?.session) cached.session = { ...cached.session, participants: undefined as never };
    const batch = rig.batch(message(CHAT, 'my card number'), options(2));
    expect(batch.letters).toEqual([
      expect.objectContaining({ seq: 4, index: 0, reason: expect.stringContaining('fold-failed') as string }),
    ]);
    expect(JSON.stringify(batch.letters)).not.toContain('card number');
    expect(rig.fold.options().revision).toBe(2);
  });

  it('refuses what the session does not allow, without a change', () => {
    const rig = new Rig(...chat());
    const batch = rig.batch(message(CHAT, 'x', { userId: 'stranger' }), message(sessionIn(1, 1)));
    expect(batch.letters.map(({ reason }) => reason)).toEqual(['unknown-participant', 'unknown-session']);
    expect(batch.writes.sessions).toEqual([]);
  });

  it('writes a purged session as gone, and shows nothing of it in a later one of the same id', () => {
    const rig = new Rig(...chat({ resend: false }), message(CHAT, 'old secret'), end(CHAT));
    rig.atMs += 600_000;
    const purged = rig.batch(fired([`purge:${CHAT}:-`, rig.atMs]));
    expect(purged.writes.sessions).toEqual([{ sessionId: CHAT, state: '', events: [] }]);
    expect(new Map(purged.writes.timers).get(`purge:${CHAT}:-`)).toBeUndefined();
    rig.batch(create(CHAT), join(CHAT));
    expect(rig.fold.sessions.get(CHAT)?.tail.join()).not.toContain('old secret');
    expect(rig.fold.sessions.get(CHAT)).toMatchObject({ tailFirst: 1 });
  });

  it('stores where each session is folded to', () => {
    const rig = new Rig();
    const batch = rig.at([
      { seq: 8, record: options(1) },
      { seq: 9, index: 2, record: create(CHAT) },
    ]);
    const stored = parseSession(CHAT, batch.writes.sessions[0]?.state ?? null);
    expect(stored.foldedTo).toEqual({ seq: 9, index: 2 });
  });
});
