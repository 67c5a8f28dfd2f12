import { apnsArguments, PUSH_BODY_CHARS, PUSH_TITLE_CHARS } from '@flexpush/contracts';

type Json = Record<string, unknown>;

/** What is POSTed to a push service: a body, and the headers that matter to who stands in for the service. */
interface MobilePush {
  description: string;
  headers: Json;
  payload: Json;
}

const text: Json = { type: 'string' };
const strict = (required: readonly string[], properties: Json): Json => ({
  type: 'object',
  required,
  additionalProperties: false,
  properties,
});

/** Where each service is, the options that say otherwise, and what one POST to it looks like. */
interface MobileChannel {
  host: string;
  /** The option that names another host. */
  endpointOption: string;
  address: string;
  title: string;
  messages: Readonly<Record<string, MobilePush>>;
}

const chatId: Json = { type: 'string', description: 'The chat to look at.' };

const fcmMessage: MobilePush = {
  description:
    'Who did what in which chat, never what was said. Without texts by the options there is no notification: a message for the app alone.',
  headers: strict(['content-type', 'authorization'], {
    'content-type': { const: 'application/json;charset=UTF-8' },
    authorization: { type: 'string', pattern: '^Bearer \\S+$', description: 'Of fcm.service-account.' },
  }),
  payload: strict(['message'], {
    message: strict(['token', 'data', 'android'], {
      token: { type: 'string', description: 'The device id of the subscription.' },
      notification: {
        ...strict([], {
          title: { type: 'string', maxLength: PUSH_TITLE_CHARS },
          body: { type: 'string', maxLength: PUSH_BODY_CHARS },
        }),
        minProperties: 1,
      },
      data: strict(['chatId'], {
        chatId,
        type: {
          type: 'string',
          description: 'Type of the chat event; absent in reliable pushes and pings.',
        },
        index: { type: 'string', pattern: '^\\d+$', description: 'Its position.' },
      }),
      android: { const: { priority: 'HIGH' } },
    }),
  }),
};

const apnsHeaders = (pushType: 'alert' | 'background', priority: '10' | '5'): Json =>
  strict(['content-type', 'apns-topic', 'apns-push-type', 'apns-priority', 'authorization'], {
    'content-type': { const: 'application/json' },
    'apns-topic': { type: 'string', description: 'Option apple.topic.' },
    'apns-push-type': { const: pushType },
    'apns-priority': { const: priority },
    authorization: { type: 'string', pattern: '^bearer \\S+$', description: 'A token by apple.key.' },
  });

const alert: Json = {
  oneOf: [
    { type: 'string', maxLength: PUSH_BODY_CHARS, description: 'Option apple.alert.' },
    {
      ...strict([], {
        title: { type: 'string', maxLength: PUSH_TITLE_CHARS },
        body: { type: 'string', maxLength: PUSH_BODY_CHARS },
        'loc-key': text,
        'loc-args': {
          type: 'array',
          items: text,
          maxItems: apnsArguments.length,
          description: `Of ${apnsArguments.join(' and ')}, as apple.alertMessage.loc-argnames says.`,
        },
        'action-loc-key': text,
        'launch-image': text,
      }),
      minProperties: 1,
    },
  ],
};

const apnsAlert: MobilePush = {
  description: 'A push that shows something: who acted, never what was said.',
  headers: apnsHeaders('alert', '10'),
  payload: strict(['aps', 'chatId'], {
    aps: {
      ...strict([], {
        alert,
        sound: text,
        badge: { type: 'integer', minimum: 0 },
        'content-available': { const: 1 },
      }),
      anyOf: [{ required: ['alert'] }, { required: ['sound'] }, { required: ['badge'] }],
    },
    chatId,
  }),
};

const apnsBackground: MobilePush = {
  description: 'A push for which the options have nothing to show: it wakes the app in silence.',
  headers: apnsHeaders('background', '5'),
  payload: strict(['aps', 'chatId'], { aps: { const: { 'content-available': 1 } }, chatId }),
};

/** The POSTs to FCM and APNs; `libs/delivery` writes them, and a spec holds these against what it sends. */
export const mobileChannels: Readonly<Record<'fcm' | 'apns', MobileChannel>> = {
  fcm: {
    host: 'fcm.googleapis.com',
    endpointOption: 'fcm.endpoint',
    address: '/v1/projects/{projectId}/messages:send',
    title: 'Pushes of type fcm: Firebase Cloud Messaging, HTTP v1',
    messages: { fcm: fcmMessage },
  },
  apns: {
    host: 'api.push.apple.com',
    endpointOption: 'apple.endpoint',
    address: '/3/device/{deviceId}',
    title: 'Pushes of type ios: APNs over HTTP/2',
    messages: { apnsAlert, apnsBackground },
  },
};
