import { sessionIdSchema, userIdSchema, type OptionValues, type PushJob } from '@flexpush/contracts';
import { isNoTarget, providerOptions } from './provider-options';
import { TextBook } from './push-texts';

function book(values: OptionValues, wanted: { provider?: string; debug?: boolean } = {}): TextBook {
  const options = providerOptions(values, { provider: wanted.provider, debug: wanted.debug ?? false });
  if (isNoTarget(options)) throw new Error(options.reason);
  return new TextBook(options, { title: 'fcm.title', body: 'fcm.body' });
}

function job(type: string | undefined, language?: string, nickname = 'Jonas'): PushJob {
  const event =
    type === undefined
      ? undefined
      : { from: { nickname, participantId: 2, type: 'Agent' as const }, index: 3, type, utcTime: 1 };
  return {
    id: 's:U:1',
    n: 1,
    sessionId: sessionIdSchema.parse('s'),
    userId: userIdSchema.parse('U'),
    service: 'chat',
    deviceType: 'fcm',
    deviceId: 'd',
    debug: false,
    obfuscatedKey: 'k',
    chatEnded: false,
    atMs: 1,
    kind: 'plain',
    ...(language === undefined ? {} : { language }),
    ...(event === undefined ? {} : { event }),
  };
}

const localization = JSON.stringify({
  de: { Message: { title: 'Chat', body: '{nickname} schreibt' }, default: { body: 'Es gibt Neues' } },
  'de-AT': { Message: { body: '{nickname} schreibt dir' } },
  'ru-RU': { default: { title: 'Чат' } },
});
const values = {
  'push/localization': localization,
  'push/fcm.title': 'Support chat',
  'push/fcm.body': 'Something is new',
  'push.provider.event/fcm.body': 'An event',
  'push.provider.event.Message/fcm.body': '{nickname} sent you a message',
  'push.provider.shop/fcm.title': 'Shop',
  'push.provider.shop.event/fcm.body': 'A shop event',
  'push.provider.shop.event.FileUploaded/fcm.body': '{nickname} sent a file',
  'push.provider.shop/localization': JSON.stringify({ de: { Message: { body: 'Laden' } } }),
};

it.each([
  {
    name: 'the text of the event',
    job: job('Message'),
    title: 'Support chat',
    body: 'Jonas sent you a message',
  },
  { name: 'the text for all events', job: job('PushUrl'), title: 'Support chat', body: 'An event' },
  { name: 'a push without an event', job: job(undefined), title: 'Support chat', body: 'An event' },
  { name: 'the language', job: job('Message', 'de'), title: 'Chat', body: 'Jonas schreibt' },
  {
    name: 'the language without its region',
    job: job('Message', 'de-DE'),
    title: 'Chat',
    body: 'Jonas schreibt',
  },
  { name: 'each field by itself', job: job('Message', 'de-AT'), title: 'Chat', body: 'Jonas schreibt dir' },
  {
    name: 'any case, and an underscore',
    job: job('Message', 'DE_at'),
    title: 'Chat',
    body: 'Jonas schreibt dir',
  },
  {
    name: 'the default of a language',
    job: job('FileUploaded', 'de'),
    title: 'Support chat',
    body: 'Es gibt Neues',
  },
  { name: 'no event in a language', job: job(undefined, 'de'), title: 'Support chat', body: 'Es gibt Neues' },
  {
    name: 'what a language lacks',
    job: job('Message', 'ru-RU'),
    title: 'Чат',
    body: 'Jonas sent you a message',
  },
  {
    name: 'an unknown language',
    job: job('Message', 'fr-FR'),
    title: 'Support chat',
    body: 'Jonas sent you a message',
  },
  {
    name: 'a language that is an attack',
    job: job('Message', '__proto__'),
    title: 'Support chat',
    body: 'Jonas sent you a message',
  },
])('finds $name', ({ job, title, body }) => {
  expect(book(values).textsOf(job)).toEqual({ title, body });
});

it('a named provider has its own texts first, then those of all', () => {
  const shop = book(values, { provider: 'shop' });
  expect(shop.textsOf(job('FileUploaded'))).toEqual({ title: 'Shop', body: 'Jonas sent a file' });
  expect(shop.textsOf(job('PushUrl'))).toEqual({ title: 'Shop', body: 'A shop event' });
  expect(shop.textsOf(job('Message', 'de'))).toEqual({ title: 'Shop', body: 'Laden' });
});

it('debug takes nothing from the production texts but the localization', () => {
  const debug = book({ ...values, 'push/debug.fcm.title': 'Test' }, { debug: true });
  expect(debug.textsOf(job('PushUrl'))).toEqual({ title: 'Test' });
  expect(debug.textsOf(job('Message', 'de'))).toEqual({ title: 'Chat', body: 'Jonas schreibt' });
});

it('texts are cut to what FCM and APNs take, and nicknames are no patterns', () => {
  const long = book({ 'push/fcm.title': '{nickname}'.repeat(20), 'push/fcm.body': '{nickname}'.repeat(80) });
  const texts = long.textsOf(job('Message', undefined, '$&'.repeat(64)));
  expect(texts.title).toBe('$&'.repeat(100));
  expect(texts.body).toHaveLength(800);
  expect(book({ 'push/fcm.body': 'x' }).textsOf(job('Message'))).toEqual({ body: 'x' });
});

it('a localization that is not of the form is left out', () => {
  for (const bad of ['nonsense', '[]', '{"de":5}', '{"de":{"Message":7}}', '{"de":{"Message":{"body":{}}}}'])
    expect(book({ ...values, 'push/localization': bad }).textsOf(job('Message', 'de'))).toEqual({
      title: 'Support chat',
      body: 'Jonas sent you a message',
    });
});
