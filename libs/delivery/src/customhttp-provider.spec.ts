import type { PushJob } from '@flexpush/contracts';
import type { OptionValues } from '@flexpush/contracts';
import { customhttpProvider, type CustomhttpTarget } from './customhttp-provider';

const options = {
  'push/customhttp.url': 'http://receiver.test:8080/a?b=c',
  'push/customhttp.message': 'default text',
  'push/debug.customhttp.url': 'http://debug.test/',
  'push.provider.other/customhttp.url': 'https://user:p%40ss@other.test/o',
  'push.provider.texts/customhttp.message': 'text of texts',
};
const target = (provider: string | undefined, debug = false) =>
  customhttpProvider.target(options, { provider, debug });

it('the default provider is the section push', () => {
  expect(target(undefined)).toEqual({
    kind: 'target',
    destination: 'http://receiver.test:8080',
    connection: { origin: 'http://receiver.test:8080' },
    path: '/a?b=c',
    headers: ['content-type', 'application/json;charset=UTF-8'],
    message: 'default text',
  });
});

it('a named provider wins over push, and takes from push what it does not have', () => {
  expect(target('other')).toMatchObject({
    destination: 'https://other.test',
    path: '/o',
    message: 'default text',
  });
  expect(target('texts')).toMatchObject({
    destination: 'http://receiver.test:8080',
    message: 'text of texts',
  });
});

it('credentials in the url become basic authorization and are not part of the destination', () => {
  const found = target('other');
  expect(found).toMatchObject({
    headers: [
      'content-type',
      'application/json;charset=UTF-8',
      'authorization',
      `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
    ],
  });
  expect(JSON.stringify(found)).not.toContain('p@ss');
});

it('an unknown provider is not delivered to the default one', () => {
  expect(target('nobody')).toEqual({ kind: 'no-target', reason: 'unknown-provider' });
  expect(target('oth')).toEqual({ kind: 'no-target', reason: 'unknown-provider' });
});

it('debug takes the debug options and nothing from the production ones', () => {
  const found = target(undefined, true);
  expect(found).toMatchObject({ destination: 'http://debug.test', path: '/' });
  expect(found).not.toHaveProperty('message');
});

it.each<{ name: string; values: OptionValues; reason: string }>([
  { name: 'no url', values: {}, reason: 'no-url-configured' },
  {
    name: 'a text that is no url',
    values: { 'push/customhttp.url': 'receiver' },
    reason: 'url-not-usable',
  },
  {
    name: 'broken credentials',
    values: { 'push/customhttp.url': 'http://a%:b@receiver.test' },
    reason: 'url-not-usable',
  },
  {
    name: 'another scheme',
    values: { 'push/customhttp.url': 'file:///etc/passwd' },
    reason: 'url-not-usable',
  },
])('says why there is no target: $name', ({ values, reason }) => {
  expect(customhttpProvider.target(values, { provider: undefined, debug: false })).toEqual({
    kind: 'no-target',
    reason,
  });
});

it('writes the fixed text for a trigger whose payload was not asked for (CONTRACT 6 #19)', () => {
  const job = {
    kind: 'trigger',
    bare: true,
    deviceId: 'dev-7',
    sessionId: 's',
    userId: 'u',
    obfuscatedKey: 'k',
    chatEnded: false,
  } as PushJob;
  const target: CustomhttpTarget = {
    kind: 'target',
    destination: 'http://a',
    connection: { origin: 'http://a' },
    path: '/',
    headers: [],
    message: 'You have a new chat event',
  };
  expect(customhttpProvider.request(job, { alias: '1', target }).body).toBe(
    '{"deviceId":"dev-7","message":"You have a new chat event"}',
  );
});
