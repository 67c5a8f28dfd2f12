import { inForce } from './options-in-force';

const NAME = 'apple.title';

it.each([
  { section: 'push.provider.shop', set: ['push'], source: 'push' },
  { section: 'push.provider.shop', set: ['push.provider.other', 'push'], source: 'push' },
  {
    section: 'push.provider.shop',
    set: ['push.provider.event', 'push.provider.shop'],
    source: 'push.provider.shop',
  },
  {
    section: 'push.provider.event.Message',
    set: ['push.provider.event', 'push'],
    source: 'push.provider.event',
  },
  { section: 'push.provider.event', set: ['push'], source: 'push' },
  {
    section: 'push.provider.shop.event.Message',
    set: ['push.provider.shop.event', 'push.provider.event.Message'],
    source: 'push.provider.shop.event',
  },
  {
    section: 'push.provider.shop.event.Message',
    set: ['push.provider.event.Message', 'push.provider.shop'],
    source: 'push.provider.event.Message',
  },
  {
    section: 'push.provider.shop.event.Message',
    set: ['push.provider.shop', 'push'],
    source: 'push.provider.shop',
  },
])('of $set $source holds in $section', ({ section, set, source }) => {
  const values = Object.fromEntries(set.map((one) => [`${one}/${NAME}`, `of ${one}`]));
  expect(inForce(values, { section, name: NAME })).toEqual({ value: `of ${source}`, source });
});

it('a service has the value of all chats, and settings stand alone', () => {
  const values = { 'chat/push_notification_include_payload': 'false', 'settings/flex-push-timeout': '7' };
  const at = (section: string, name: string) => inForce(values, { section, name });
  expect(at('chat.support', 'push_notification_include_payload').source).toBe('chat');
  expect(at('settings', 'flex-push-timeout')).toEqual({ value: '7', source: 'settings' });
  expect(at('settings', 'flex-push-resend-delay')).toEqual({ value: '15', source: 'default' });
  expect(at('push', NAME)).toEqual({ value: null, source: null });
});

it('chats have the filter of section push, and nothing else of it', () => {
  const values = { 'push/filtering_chat_events': 'url', 'push/default_chat_endpoint': 'x' };
  const at = (section: string, name: string) => inForce(values, { section, name }).source;
  expect(at('chat.support', 'filtering_chat_events')).toBe('push');
  expect(at('chat', 'filtering_chat_events')).toBe('push');
  expect(at('chat', 'default_chat_endpoint')).toBe('default');
});
