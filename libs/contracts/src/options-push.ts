import type { OptionSpec } from './option-spec';
import { deviceTypes } from './records';

/** Options of delivery: `push`, and `push.provider.<name>` for one provider (CONTRACT 3.1, 3.2). */
export const pushOptions: readonly OptionSpec[] = [
  {
    sections: ['push', 'push.provider.*'],
    name: 'customhttp.url',
    type: { kind: 'url' },
    since: '8.5.1',
    readBy: ['delivery'],
    meaning: 'Where customhttp notifications are POSTed.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'customhttp.message',
    type: { kind: 'text', maxChars: 4_096 },
    since: '8.5.1',
    readBy: ['delivery'],
    meaning: 'The fixed text sent as message when no payload is included.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'debug.customhttp.url',
    type: { kind: 'url' },
    since: '8.5.1',
    readBy: ['delivery'],
    meaning: 'Used instead of customhttp.url for subscriptions with debug.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'debug.customhttp.message',
    type: { kind: 'text', maxChars: 4_096 },
    since: '8.5.1',
    readBy: ['delivery'],
    meaning: 'Used instead of customhttp.message for subscriptions with debug.',
  },
  {
    sections: ['push'],
    name: 'delivery-mode',
    type: { kind: 'choice', of: ['parallel', 'sequential'] },
    default: 'parallel',
    since: 'flexpush 0.1',
    readBy: ['delivery'],
    meaning:
      'sequential sends one notification at a time per GMS node, as the original does; for comparison.',
  },
  {
    sections: ['push'],
    name: 'pushEnabled',
    type: { kind: 'subset', of: [...deviceTypes, 'android', 'gcm', 'httpcb', 'orscb'] },
    default: 'comet',
    since: '8.5.103.10',
    readBy: ['fold', 'delivery', 'chat-api'],
    meaning:
      'Device types that are pushed to; of the rest neither registrations nor pushes are accepted. Empty: push is off. comet is needed for CometD. Older types are known and not served.',
  },
];
