import fc from 'fast-check';
import { KeyObfuscator } from './obfuscated-key';

const obfuscator = new KeyObfuscator('a secret of forty characters, for tests.');
const content = {
  sessionId: '00021bBKRTX9M01C',
  userId: '00A1653C92D4000F',
  secureKey: '5be07d19c2f8a4360e77',
};

describe('the obfuscated key', () => {
  it('is read back, with the service only when it was given', () => {
    expect(obfuscator.decode(obfuscator.encode(content))).toEqual(content);
    const withService = { ...content, service: 'support-web' };
    expect(obfuscator.decode(obfuscator.encode(withService))).toEqual(withService);
  });

  it('is base64, fits the record, shows nothing, and is the same every time', () => {
    const key = obfuscator.encode({ ...content, service: 's'.repeat(64) });
    expect(key).toMatch(/^[A-Za-z0-9+/]+=*$/);
    expect(key.length).toBeLessThanOrEqual(512);
    expect(Buffer.from(key, 'base64').toString('latin1')).not.toContain(content.secureKey);
    expect(obfuscator.encode({ ...content, service: 's'.repeat(64) })).toBe(key);
  });

  it('of other credentials is another, nonce included', () => {
    const nonce = (key: string) => Buffer.from(key, 'base64').toString('hex', 0, 12);
    const other = obfuscator.encode({ ...content, userId: '00A1653C92D40010' });
    expect(nonce(other)).not.toBe(nonce(obfuscator.encode(content)));
  });

  it('of another secret is not read', () => {
    const other = new KeyObfuscator('another secret of forty characters......');
    expect(other.decode(obfuscator.encode(content))).toBeUndefined();
  });

  it('is not read when any byte is changed', () => {
    const bytes = Buffer.from(obfuscator.encode(content), 'base64');
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(obfuscator.decode(changed.toString('base64'))).toBeUndefined();
    }
  });

  it('reads nothing from anything else, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 700 }), fc.base64String({ maxLength: 700 })), (text) => {
        expect(obfuscator.decode(text)).toBeUndefined();
      }),
    );
  });
});
