import { BOUNDS, shardOf } from '@flexpush/contracts';
import { decode } from './decode';
import type { LogMessage } from './ports';
import { create, message, options, sessionIn, SHARDS } from './testing/records';

const SHARD = 1;
const CHAT = sessionIn(SHARD);

function logMessage(payload: unknown, isPublic = true): LogMessage {
  const data = payload instanceof Uint8Array ? payload : new TextEncoder().encode(text(payload));
  return { seq: 7, atMs: 1, isPublic, data };
}

function text(payload: unknown): string {
  return typeof payload === 'string' ? payload : JSON.stringify(payload);
}

function reasons(payload: unknown, isPublic = true): string[] {
  return decode(logMessage(payload, isPublic), SHARD, SHARDS).map((one) =>
    one.kind === 'record' ? 'record' : one.reason,
  );
}

describe('decode', () => {
  it.each([
    ['no JSON', 'hello', ['not-json']],
    ['nothing', '', ['not-json']],
    ['bytes that are no UTF-8', new Uint8Array([0x22, 0xc3, 0x28, 0x22]), ['not-json']],
    ['more bytes than a record may have', 'x'.repeat(BOUNDS.recordBytes + 1), ['too-large']],
    ['an empty list', [], []],
    [
      'more records than a message may have',
      Array(BOUNDS.recordsPerMessage + 1).fill(null),
      ['too-many-records'],
    ],
    ['a session of another shard', message(sessionIn(SHARD + 1)), ['wrong-shard']],
  ])('refuses %s', (_name, payload, expected) => {
    expect(reasons(payload)).toEqual(expected);
  });

  it('takes the good records of a message whose others are refused, each with its index', () => {
    const decoded = decode(
      logMessage([message(CHAT), 5, { type: 'message.send' }, message(CHAT)]),
      SHARD,
      SHARDS,
    );
    expect(decoded.map(({ index, kind }) => [index, kind])).toEqual([
      [0, 'record'],
      [1, 'malformed'],
      [2, 'malformed'],
      [3, 'record'],
    ]);
  });

  it('refuses lists within lists', () => {
    expect(reasons([[message(CHAT)]])).toEqual([expect.not.stringMatching(/^record$/)]);
  });

  it.each([
    ['session.create', create(CHAT)],
    ['options.changed', options(1)],
    ['timers.fired', { v: 1, type: 'timers.fired', timers: [['ping:x:y', 1]] }],
    ['push.settled', { v: 1, type: 'push.settled', results: [['x:y:1', 'delivered']] }],
  ])('refuses the internal type %s on the public subject', (_type, record) => {
    expect(reasons(record)).toEqual([expect.stringContaining('type')]);
    expect(reasons(record, false)).toEqual(['record']);
  });

  it('refuses a public type on the internal subject, and fields that nobody asked for', () => {
    expect(reasons(message(CHAT), false)).toEqual([expect.stringContaining('type')]);
    expect(reasons({ ...message(CHAT), secureKey: 'x' })).toEqual([expect.stringContaining('secureKey')]);
  });

  it('shows no secret and no chat content of what it refuses (I10)', () => {
    const [decoded] = decode(logMessage(create(sessionIn(SHARD + 1)), false), SHARD, SHARDS);
    expect(JSON.stringify(decoded)).not.toContain('secret-of-mira');
    const [sent] = decode(logMessage({ ...message(CHAT, 'my card number'), v: 2 }), SHARD, SHARDS);
    expect(JSON.stringify(sent)).not.toContain('card number');
  });

  it('hashes a session to the shard that the message lies on', () => {
    expect(shardOf(CHAT, SHARDS)).toBe(SHARD);
    expect(reasons(message(CHAT))).toEqual(['record']);
  });
});
