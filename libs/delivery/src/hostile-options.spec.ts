import { checkOption, foldValues, optionCatalogue, optionKey, sessionOptions } from '@flexpush/contracts';
import { hostileValue, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { customhttpProvider } from './customhttp-provider';

const section = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('settings', 'chat', 'push', 'chat.support', 'push.provider.a') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'chat.',
      'chat..a',
      'push.provider.__proto__',
      '__proto__',
      '',
      'a b',
      '*',
      '>',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
);
const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...optionCatalogue.map((spec) => spec.name)) },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', '', 'customhttp.url ', '*') },
);
const value = fc.oneof(
  { weight: 3, arbitrary: hostileValue.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        'true',
        'TRUE ',
        '15',
        '015',
        '1e3',
        '99999999999',
        '-1',
        'typing, url',
        'session-id',
        'sequential',
      ],
      ...[
        'http://a',
        'https://u:p@h:1/x?y',
        'http://u:%zz@h',
        'http://[::1]:9/',
        'ftp://a',
        'http://',
        'javascript:0',
      ],
      ...['http://a/\r\nx: y', `http://a/${'x'.repeat(3_000)}`, 'http://é.example/ü?q=#f'],
    ),
  },
);

it('an option value is taken or refused with its range; what is taken can be used, and checked again stays as it is', async () => {
  const uncaught = watchUncaught();
  const seen = { ok: 0, refused: 0 };
  fc.assert(
    fc.property(section, name, value, (where, what, raw) => {
      const checked = checkOption(where, what, raw);
      seen[checked.kind]++;
      if (checked.kind === 'refused') {
        expect(checked.reason.length).toBeGreaterThan(10);
        expect(checked.reason.length).toBeLessThan(1_000);
        return;
      }
      expect(checkOption(where, what, checked.value)).toEqual(checked);
      const values = { [optionKey(where, what)]: checked.value };
      expect(Object.keys(foldValues(values)).length).toBe(checked.spec.readBy.includes('fold') ? 1 : 0);
      const options = sessionOptions(values, 'support');
      expect(Number.isSafeInteger(options.resendDelayMs) && options.resendDelayMs > 0).toBe(true);
      for (const debug of [true, false]) {
        const target = customhttpProvider.target(values, { provider: undefined, debug });
        if (target.kind === 'target') expect([target.path, ...target.headers].join('')).not.toMatch(/[\r\n]/);
      }
    }),
    { numRuns: 10_000, endOnFailure: true },
  );
  expect(Math.min(seen.ok, seen.refused)).toBeGreaterThan(200);
  await uncaught.none();
  uncaught.stop();
});

it('values that nobody has checked fold to the defaults', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.tuple(section, name).map((at) => at.join('/')),
        value,
      ),
      (values) => {
        const options = sessionOptions(values, 'support');
        expect(Number.isSafeInteger(options.resendAttemptMax)).toBe(true);
        expect(Number.isSafeInteger(options.pushTimeoutMs)).toBe(true);
      },
    ),
    { numRuns: 1_000, endOnFailure: true },
  );
});
