import { generateKeyPairSync } from 'node:crypto';
import { checkOption, describeRange, findOption } from './options';
import { pushOptions } from './options-push';

const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n';
/** As in a .p8 file, of a curve. */
const ecKey = (namedCurve: string) =>
  generateKeyPairSync('ec', {
    namedCurve,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  }).privateKey;
const rsaKey = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
}).privateKey;
const SIGNING_KEY = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const ACCOUNT = JSON.stringify({ client_email: 'a@b.test', private_key: KEY, project_id: 'p' });

it.each(pushOptions.map((spec) => ({ name: spec.name, spec })))(
  '$name has a range, a meaning, and a place in push, a provider or gms',
  ({ name, spec }) => {
    const section = spec.sections[0] ?? '';
    expect(findOption(section, name)).toBe(spec);
    expect(describeRange(spec.type)).toBeTruthy();
    expect(spec.meaning).toMatch(/\.$/);
  },
);

it('names no option twice', () => {
  const names = pushOptions.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

it('every option of a provider has a variant for debug, which is as secret', () => {
  const ofProviders = pushOptions.filter(({ name }) => /^(customhttp|fcm|apple)\./.test(name));
  expect(ofProviders.length).toBeGreaterThan(30);
  for (const spec of ofProviders)
    expect(findOption('push.provider.a', `debug.${spec.name}`)?.type).toEqual(spec.type);
});

it.each([
  ['customhttp.ca', CERTIFICATE],
  ['customhttp.ca', `${CERTIFICATE}${CERTIFICATE}`],
  ['customhttp.ca', CERTIFICATE.replace('MIIB', 'M'.repeat(60_000))],
  ['customhttp.client-key', KEY],
  ['customhttp.client-key', KEY.replaceAll('PRIVATE', 'EC PRIVATE')],
  ['customhttp.headers', '{"X-Api-Key":"a b"}'],
  ['customhttp.headers', '{}'],
  ['customhttp.proxy', 'http://proxy.test:3128'],
  ['customhttp.signing-key', SIGNING_KEY],
  ['customhttp.signing-key', `whsec_${Buffer.alloc(64, 7).toString('base64')}`],
  ['fcm.service-account', ACCOUNT],
  ['fcm.body', '{nickname} schreibt'],
  ['apple.badge', '0'],
  ['apple.topic', 'com.example.chat.voip'],
  ['localization', '{"de":{"Message":{"title":"a","body":"b"},"default":{"body":"c"}}}'],
  ['localization', `{"de":{"Message":{"body":"${'x'.repeat(60_000)}"}}}`],
])('%s takes a good value', (name, value) => {
  expect(checkOption('push', name, value)).toMatchObject({ kind: 'ok', value });
});

it.each([
  ['customhttp.ca', 'certificate'],
  ['customhttp.ca', KEY],
  ['customhttp.ca', CERTIFICATE.replace('MIIB', 'M'.repeat(70_000))],
  ['customhttp.client-key', CERTIFICATE],
  [
    'customhttp.client-key',
    '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----',
  ],
  ['customhttp.headers', '[]'],
  ['customhttp.headers', '{"a":1}'],
  ['customhttp.headers', '{"a b":"c"}'],
  ['customhttp.headers', '{"a":"b\\r\\nc: d"}'],
  ['customhttp.headers', '{"Content-Type":"text/plain"}'],
  ['customhttp.headers', '{"Webhook-Id":"1"}'],
  [
    'customhttp.headers',
    JSON.stringify(Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`h${n}`, 'x']))),
  ],
  ['customhttp.connection-timeout', '0'],
  ['customhttp.socket-timeout', '121'],
  ['customhttp.proxy', 'http://user:secret@proxy.test'],
  ['customhttp.proxy-authorization', 'Basic a\nb'],
  ['customhttp.signing-key', 'whsec_'],
  ['customhttp.signing-key', `whsec_${Buffer.alloc(23, 7).toString('base64')}`],
  ['customhttp.signing-key', `whsec_${Buffer.alloc(65, 7).toString('base64')}`],
  ['customhttp.signing-key', SIGNING_KEY.slice('whsec_'.length)],
  ['fcm.service-account', 'key.json'],
  ['fcm.service-account', '{"client_email":"a"}'],
  ['fcm.service-account', '{"client_email":"a","private_key":"b"}'],
  ['fcm.body', 'x'.repeat(801)],
  ['apple.key', 'AuthKey.p8'],
  ['apple.key-id', 'a"b'],
  ['apple.topic', 'a\nb'],
  ['localization', 'de'],
  ['localization', '{"de":{"Message":"text"}}'],
  ['localization', '{"de":{"Message":{"text":"a"}}}'],
  ['localization', '{"de":{"Message":{"body":1}}}'],
])('%s refuses %j', (name, value) => {
  expect(checkOption('push', name, value)).toMatchObject({
    kind: 'refused',
    reason: expect.stringContaining(`push/${name}: `) as string,
  });
});

it('what was refused of a secret does not show', () => {
  for (const { name, type } of pushOptions.filter((spec) => spec.type.kind === 'secret' && spec.problem)) {
    const checked = checkOption('push', name, 'hunter2\u0000');
    expect([name, type.kind, checked.kind]).toEqual([name, 'secret', 'refused']);
    expect(JSON.stringify({ ...checked, spec: undefined })).not.toContain('hunter2');
  }
});

describe.each(['apple.key', 'debug.apple.key'])('%s', (name) => {
  it('takes a key of the curve that Apple uses', () => {
    expect(checkOption('push', name, ecKey('P-256'))).toMatchObject({ kind: 'ok' });
  });

  it.each([
    { what: 'a P-384 key', value: ecKey('P-384'), is: 'a private key of the curve P-256' },
    { what: 'an RSA key', value: rsaKey, is: 'a private key of the curve P-256' },
    { what: 'PEM that holds no key', value: KEY, is: 'a private key of the curve P-256' },
    { what: 'no PEM', value: 'key', is: 'PEM text with a PRIVATE KEY' },
  ])('refuses $what, and says what it must be but not what it was', ({ value, is }) => {
    const check = checkOption('push.provider.shop', name, value);
    const reason = check.kind === 'refused' ? check.reason : '';
    expect(reason).toContain(`push.provider.shop/${name}: the value is not valid; it must be ${is}`);
    expect(reason).not.toContain('MI');
  });
});
