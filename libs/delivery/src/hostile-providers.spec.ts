import { checkOption, pushOptions, type OptionValues, type PushJob } from '@flexpush/contracts';
import fc from 'fast-check';
import { generateKeyPairSync } from 'node:crypto';
import { createApnsProvider } from './apns-provider';
import { createFcmProvider } from './fcm-provider';
import type { PostOutcome } from './channel';
import { customhttpProvider } from './customhttp-provider';
import type { Provider } from './provider';

const { privateKey } = generateKeyPairSync('ec', {
  namedCurve: 'prime256v1',
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const account = JSON.stringify({ client_email: 'a@b', private_key: privateKey, project_id: 'p/../q r' });
const good: OptionValues = {
  'push/customhttp.url': 'https://receiver.test/x?y#z',
  'push/fcm.service-account': account,
  'push/apple.key': privateKey,
  'push/apple.key-id': 'K',
  'push/apple.team-id': 'T',
  'push/apple.topic': 'a.b',
};
const parts = { nowMs: () => 0, log: { warn: () => undefined } };
const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.string({ maxLength: 50 }));
const providers: Provider[] = [
  customhttpProvider,
  createFcmProvider(parts),
  createApnsProvider({
    ...parts,
    openHttp2: () => {
      throw new Error('nothing is opened here');
    },
  }),
];

const names = pushOptions.map((spec) => `${spec.sections[0] ?? ''}/${spec.name}`);
const value = fc.oneof(
  text,
  fc.constantFrom(
    ...Object.values(good),
    '{}',
    '[]',
    '{"de":{"Message":{"title":"t"}}}',
    '{"a":"b"}',
    'whsec_AA==',
  ),
  fc.jsonValue().map((json) => JSON.stringify(json)),
);
/** Whatever stands in the bucket, the good settings below most of it. */
const options = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 6 });

function jobs(text: string): PushJob[] {
  const common = {
    id: 's:U:1',
    n: 1,
    sessionId: 's',
    userId: 'U',
    service: 'chat',
    deviceId: text,
    language: text,
    debug: false,
    obfuscatedKey: 'obfuscated-key',
    chatEnded: false,
    atMs: 1,
  };
  const from = { nickname: text, participantId: 1, type: 'Agent' };
  return [
    { ...common, deviceType: 'fcm', kind: 'plain' },
    { ...common, deviceType: 'fcm', kind: 'plain', event: { from, type: text, utcTime: 1, index: 1 } },
    {
      ...common,
      deviceType: 'ios',
      kind: 'trigger',
      attempt: 0,
      position: 1,
      content: [],
      secureKey: 'secret-key',
    },
  ] as unknown as PushJob[];
}

it('whatever the options hold, a target is found or named as missing; what was checked makes sound requests', () => {
  let targets = 0;
  fc.assert(
    fc.property(options, text, (given, words) => {
      const checked = Object.fromEntries(
        Object.entries(given).filter(([key, raw]) => {
          const [section = '', name = ''] = key.split('/');
          return checkOption(section, name, raw).kind === 'ok';
        }),
      );
      for (const provider of providers) {
        // Unchecked values may lead nowhere, but never throw.
        expect(provider.target({ ...good, ...given }, { provider: undefined, debug: false }).kind).toMatch(
          /target/,
        );
        const target = provider.target({ ...good, ...checked }, { provider: undefined, debug: false });
        if (target.kind === 'no-target') continue;
        targets += 1;
        for (const job of jobs(words)) {
          const { path, headers, body } = provider.request(job, { alias: '1', target });
          expect(JSON.parse(body)).toBeTruthy();
          expect([path, ...headers].join('')).not.toMatch(/[\r\n\0]/);
          expect(path).toMatch(/^\//);
          if (provider !== customhttpProvider) expect(body).not.toMatch(/secret-key|obfuscated-key/);
        }
      }
    }),
    { numRuns: 600, endOnFailure: true },
  );
  expect(targets).toBeGreaterThan(1_000);
});

it('whatever FCM or APNs answers, the job has a result with a word of a small set', () => {
  const reasons = new Set<string>();
  const answer = fc.oneof(
    text,
    fc.jsonValue().map((json) => JSON.stringify({ error: json })),
    fc.jsonValue().map((json) => JSON.stringify({ reason: json })),
    fc
      .record({ error: fc.record({ status: text, details: fc.array(fc.jsonValue()) }) })
      .map((json) => JSON.stringify(json)),
  );
  fc.assert(
    fc.property(answer, fc.constantFrom(200, 301, 400, 404, 410, 500), (words, status) => {
      const outcome: PostOutcome = { kind: 'answered', status, answer: words };
      for (const provider of providers) {
        const result = provider.judge?.(outcome, undefined as never);
        if (result?.reason !== undefined) reasons.add(result.reason);
        if (status < 300) expect(result).toBeUndefined();
        if (result?.outcome === 'gone')
          expect(status === 410 || /UNREGISTERED|INVALID_ARGUMENT/.test(words)).toBe(true);
      }
    }),
    { numRuns: 2_000, endOnFailure: true },
  );
  expect(reasons.size).toBeLessThan(10);
});
