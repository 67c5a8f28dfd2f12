import * as fc from 'fast-check';
import { MESSAGE_BYTES_MAX, PlainJsonDeserializer, PlainJsonSerializer } from './plain-json-codec';

const REQUEST = 'flexpush.registry.view';
const deserializer = new PlainJsonDeserializer(new Set([REQUEST]));
const bytes = (text: string) => new TextEncoder().encode(text);
const read = (value: unknown, options: Record<string, unknown> = { channel: 'some.subject' }) =>
  deserializer.deserialize(value, options) as { data: unknown; id?: string; pattern: string };

describe('PlainJsonDeserializer', () => {
  it.each([
    { name: 'a data key', value: { data: { x: 1 } } },
    { name: 'a pattern key', value: { pattern: 'other.subject', data: 1, id: 'x' } },
    { name: 'null', value: null },
    { name: 'a list', value: [1] },
  ])('D2: hands on $name as it is', ({ value }) => {
    expect(read(bytes(JSON.stringify(value)))).toEqual({
      pattern: 'some.subject',
      data: { kind: 'json', value },
    });
  });

  it.each([
    { name: 'no JSON', value: bytes('not json'), reason: 'not-json' },
    { name: 'nothing', value: bytes(''), reason: 'not-json' },
    { name: 'no bytes', value: undefined, reason: 'not-json' },
    { name: 'broken UTF-8', value: Uint8Array.of(0x22, 0xff, 0x22), reason: 'not-json' },
    { name: 'too much', value: new Uint8Array(MESSAGE_BYTES_MAX + 1), reason: 'too-large' },
  ])('D1: calls $name malformed', ({ value, reason }) => {
    expect(read(value).data).toEqual({ kind: 'malformed', reason });
  });

  it('D1: never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (value) => {
        expect(['json', 'malformed']).toContain((read(value).data as { kind: string }).kind);
      }),
    );
  });

  it('D3: only request subjects get an id, and only when somebody waits', () => {
    const text = bytes('{"id":"mine"}');
    expect(read(text, { channel: REQUEST, replyTo: '_INBOX.1' }).id).toBe('_INBOX.1');
    expect(read(text, { channel: REQUEST }).id).toBeUndefined();
    expect(read(text, { channel: 'some.subject', replyTo: '_INBOX.1' }).id).toBeUndefined();
  });
});

describe('PlainJsonSerializer', () => {
  const written = (packet: object) =>
    new TextDecoder().decode(new PlainJsonSerializer().serialize(packet).data);

  it.each([
    { name: 'the value without an envelope', packet: { response: { a: 1 }, id: 'x' }, text: '{"a":1}' },
    { name: 'null for nothing', packet: { isDisposed: true }, text: 'null' },
    { name: 'no cause of an error', packet: { err: new Error('secret') }, text: '{"error":"failed"}' },
  ])('writes $name', ({ packet, text }) => {
    expect(written(packet)).toBe(text);
  });
});
