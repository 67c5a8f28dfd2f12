import { redact } from './redaction';

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
    { name: 'a number', value: 7, shown: 7 },
    { name: 'a short text', value: 'abc', shown: 'abc' },
    { name: 'a long text', value: 'x'.repeat(600), shown: `${'x'.repeat(512)}... (600 characters)` },
  ])('shows $name', ({ value, shown }) => {
    expect(redact(value)).toEqual(shown);
  });

  it('is bounded in items, fields and depth (I9)', () => {
    expect(redact(Array.from({ length: 500 }, (_, i) => i))).toHaveLength(100);
    const wide = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, i]));
    expect(Object.keys(redact(wide) as object)).toHaveLength(100);
    let deep: unknown = { secureKey: 'x' };
    for (let i = 0; i < 10_000; i++) deep = { deep };
    expect(JSON.stringify(redact(deep))).toBe(`${'{"deep":'.repeat(8)}"[deep]"${'}'.repeat(8)}`);
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
