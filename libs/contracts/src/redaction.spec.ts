import { describeProblems, redact } from './redaction';
import { publicRecordSchema } from './records';

describe('redact (I10)', () => {
  it('hides secrets and chat content at any depth, and shows the rest', () => {
    const record = {
      type: 'session.create',
      sessionId: 'chat-1',
      secureKey: '5be07d19c2f8a4360e77',
      obfuscatedKey: 'b3BhcXVl',
      keyHash: 'a1'.repeat(32),
      text: 'my card number',
      userData: { GCTI_GMS_PushDeviceId: 'dev', GCTI_Chat_SessionPassword: 'p', GCTI_LanguageCode: 'de-DE' },
      subscription: { deviceId: 'dev', deviceType: 'customhttp', debug: false, provider: undefined },
      list: [{ 'secure-key': 'x', password: 'y', preview: 'z', authorization: 'Basic', secret: 1, n: 7 }],
    };
    const hidden = '[redacted]';
    expect(redact(record)).toEqual({
      type: 'session.create',
      sessionId: 'chat-1',
      secureKey: hidden,
      obfuscatedKey: hidden,
      keyHash: hidden,
      text: hidden,
      userData: {
        GCTI_GMS_PushDeviceId: hidden,
        GCTI_Chat_SessionPassword: hidden,
        GCTI_LanguageCode: 'de-DE',
      },
      subscription: { deviceId: hidden, deviceType: 'customhttp', debug: false, provider: undefined },
      list: [
        {
          'secure-key': hidden,
          password: hidden,
          preview: hidden,
          authorization: hidden,
          secret: hidden,
          n: 7,
        },
      ],
    });
  });

  it('hides a secret whatever its type', () => {
    expect(redact({ secureKey: { inner: ['x'] }, text: null })).toEqual({
      secureKey: '[redacted]',
      text: '[redacted]',
    });
  });

  it.each([
    { name: 'null', value: null, shown: null },
    { name: 'undefined', value: undefined, shown: undefined },
    { name: 'no number without a known name', value: 4111, shown: '[redacted]' },
    { name: 'no text without a known name', value: ['my card'], shown: ['[redacted]'] },
    { name: 'nothing of a misspelt field', value: { txet: 'my card' }, shown: { txet: '[redacted]' } },
    { name: 'no name that may be content', value: { 'my card': true }, shown: { '[redacted]': true } },
    {
      name: 'a name that means something to objects',
      value: JSON.parse('{"__proto__":{"n":1}}'),
      shown: JSON.parse('{"__proto__":{"n":1}}'),
    },
    {
      name: 'the beginning of a long text',
      value: { id: 'x'.repeat(600) },
      shown: { id: `${'x'.repeat(512)}... (600 characters)` },
    },
  ])('shows $name', ({ value, shown }) => {
    expect(redact(value)).toEqual(shown);
    expect(JSON.stringify(redact(value))).toBe(JSON.stringify(shown));
  });

  it('is bounded in items, fields and depth (I9)', () => {
    expect(redact(Array.from({ length: 500 }, (_, i) => i))).toHaveLength(100);
    const wide = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, i]));
    expect(Object.keys(redact(wide) as object)).toHaveLength(100);
    let deep: unknown = { secureKey: 'x' };
    for (let i = 0; i < 10_000; i++) deep = { deep };
    expect(JSON.stringify(redact(deep))).toBe(`${'{"deep":'.repeat(8)}"[deep]"${'}'.repeat(8)}`);
  });

  it('is bounded as a whole: whatever is refused fits into a dead letter (I9)', () => {
    const wide = (depth: number): unknown =>
      depth === 0 ? { id: '\u0001'.repeat(600) } : Array.from({ length: 60 }, () => wide(depth - 1));
    expect(Buffer.byteLength(JSON.stringify(redact(wide(3))))).toBeLessThan(600_000);
    const nothings = Array.from({ length: 100 }, () =>
      Array.from({ length: 100 }, () => Array(100).fill([])),
    );
    expect(Buffer.byteLength(JSON.stringify(redact(nothings)))).toBeLessThan(600_000);
    expect(JSON.stringify(redact({ ['k'.repeat(1_000_000)]: 1 })).length).toBeLessThan(100);
  });

  it('leaves what it is given as it is', () => {
    const value = Object.freeze({ secureKey: 'x', list: Object.freeze([Object.freeze({ text: 'y' })]) });
    redact(value);
    expect(value).toEqual({ secureKey: 'x', list: [{ text: 'y' }] });
  });
});

it('shows of user data only the switches of the page', () => {
  const userData = { GCTI_GMS_PushResend: 'true', GCTI_GMS_PushDeviceId: 'token', Subject: 'my illness' };
  expect(redact({ userData, url: 'https://example.org/secret' })).toEqual({
    userData: { GCTI_GMS_PushResend: 'true', GCTI_GMS_PushDeviceId: '[redacted]', Subject: '[redacted]' },
    url: '[redacted]',
  });
});

it('says of a refused value where it is wrong, and nothing of what stood there (I10)', () => {
  const { error } = publicRecordSchema.safeParse({
    v: 1,
    id: 'r',
    sessionId: 'my secret',
    type: 'message.send',
    userId: 'ada',
    text: 7,
    secureKey: 'x',
    'my card number': '4111',
  });
  expect(error && describeProblems(error)).toBe(
    'sessionId: must be 1-64 letters, digits, "_" or "-"; text: Invalid input: expected string, received number; message: unknown fields: secureKey, [redacted]',
  );
});
