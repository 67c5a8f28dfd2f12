import {
  BOUNDS,
  callRepliesSchema,
  chatEventSchema,
  chatNoticeSchema,
  cometPushAnswerSchema,
  cometPushSchema,
  dispatchAnswerSchema,
  dispatchSchema,
  gmsHeartbeatSchema,
  gmsViewSchema,
  internalRecordSchema,
  peerHeartbeatSchema,
  publicRecordSchema,
  pushResultsSchema,
  subjects,
  termAnnouncementSchema,
  withdrawSchema,
} from '@flexpush/contracts';
import { z } from 'zod';
import { mobileChannels } from './mobile-pushes';

type Json = Record<string, unknown>;

interface Channel {
  address: string;
  title: string;
  description: string;
  /** Who publishes, in the words of the architecture. */
  sentBy: string;
  payload: Json;
  /** Of a NATS request. */
  answer?: Json;
}

/** A letter for each token and a number for each shard: the functions that make subjects check them. */
const SHARD = 987_654;
const PART = 123_456;

/** `{name}` where the subject has the marker. */
function at(subject: string, markers: Record<string, string | number>): string {
  return Object.entries(markers).reduce(
    (address, [name, marker]) => address.replace(String(marker), `{${name}}`),
    subject,
  );
}

function schemaOf(schema: z.ZodType): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  }) as Json;
  return rest;
}

const oneOrMany = (schema: z.ZodType) =>
  schemaOf(z.union([schema, z.array(schema).min(1).max(BOUNDS.recordsPerMessage)]));

const deadLetterSchema = z.object({
  v: z.literal(1),
  shard: z.number().int(),
  seq: z.number().int(),
  index: z.number().int(),
  atMs: z.number(),
  reason: z.string(),
  record: z.unknown(),
});

const noPayload: Json = { type: 'string', maxLength: 0 };
const internalState: Json = { type: 'object', description: "The owner's own; no interface." };

/** Every subject of `subjects` that messages are published on, by its name there. */
export const channels: Readonly<Record<string, Channel>> = {
  event: {
    address: at(subjects.event('SESSION'), { sessionId: 'SESSION' }),
    title: 'Records of agents, bots and CRM programs',
    description: "The server maps it to the public part of the log of the session's shard.",
    sentBy: 'anyone who may publish',
    payload: oneOrMany(publicRecordSchema),
  },
  logPublic: {
    address: at(subjects.logPublic(SHARD), { shard: SHARD }),
    title: 'Public part of the log of a shard',
    description: 'What came by flexpush.event.{sessionId}.',
    sentBy: 'the server, by its mapping; flexpush publish where that is absent',
    payload: oneOrMany(publicRecordSchema),
  },
  logInternal: {
    address: at(subjects.logInternal(SHARD), { shard: SHARD }),
    title: 'Internal part of the log of a shard',
    description: 'Requests of customers, timers, results and options.',
    sentBy: 'chat-api, session-actor, resend-timer',
    payload: oneOrMany(internalRecordSchema),
  },
  deadLetter: {
    address: at(subjects.deadLetter(SHARD), { shard: SHARD }),
    title: 'Records that were refused, redacted',
    description: 'Kept in stream FLEXPUSH_DEAD_LETTER.',
    sentBy: 'session-actor',
    payload: schemaOf(deadLetterSchema),
  },
  snapshot: {
    address: at(subjects.snapshot(SHARD, 'SESSION'), { shard: SHARD, sessionId: 'SESSION' }),
    title: 'Newest snapshot of a session',
    description: 'Kept in stream FLEXPUSH_SNAPSHOT.',
    sentBy: 'session-actor',
    payload: internalState,
  },
  snapshotPart: {
    address: at(subjects.snapshotPart(SHARD, 'SESSION', 'PLACE', PART), {
      shard: SHARD,
      sessionId: 'SESSION',
      place: 'PLACE',
      part: PART,
    }),
    title: 'Part of a large snapshot',
    description: 'Kept in stream FLEXPUSH_SNAPSHOT.',
    sentBy: 'session-actor',
    payload: { type: 'string' },
  },
  snapshotOptions: {
    address: at(subjects.snapshotOptions(SHARD), { shard: SHARD }),
    title: "Options that a shard's log begins with",
    description: 'Kept in stream FLEXPUSH_SNAPSHOT.',
    sentBy: 'session-actor',
    payload: internalState,
  },
  reply: {
    address: at(subjects.reply('CALLER'), { callerId: 'CALLER' }),
    title: 'Replies to the process that waits for them',
    description: 'Many per message; a long transcript comes in parts.',
    sentBy: 'session-actor',
    payload: schemaOf(callRepliesSchema),
  },
  comet: {
    address: at(subjects.comet('CALLER'), { callerId: 'CALLER' }),
    title: 'One event for a CometD client of a chat-api',
    description: 'A NATS request.',
    sentBy: 'gms-node',
    payload: schemaOf(cometPushSchema),
    answer: schemaOf(cometPushAnswerSchema),
  },
  notice: {
    address: at(subjects.notice('SESSION'), { sessionId: 'SESSION' }),
    title: 'What agents may like to know of a chat and what is no event',
    description: 'Read receipts, and changes of the user data. At most once.',
    sentBy: 'session-actor',
    payload: schemaOf(chatNoticeSchema),
  },
  gmsHeartbeat: {
    address: subjects.gmsHeartbeat,
    title: 'Heartbeats of GMS nodes',
    description: 'Each heartbeat interval and on each change of state.',
    sentBy: 'gms-node',
    payload: schemaOf(gmsHeartbeatSchema),
  },
  gmsPush: {
    address: at(subjects.gmsPush('NODE'), { nodeId: 'NODE' }),
    title: 'Jobs for a GMS node',
    description: `A NATS request with at most ${BOUNDS.jobsPerDispatch} jobs.`,
    sentBy: 'session-actor',
    payload: schemaOf(dispatchSchema),
    answer: schemaOf(dispatchAnswerSchema),
  },
  gmsWithdraw: {
    address: at(subjects.gmsWithdraw('NODE'), { nodeId: 'NODE' }),
    title: 'Jobs that are to be started no more',
    description: 'After a confirmation.',
    sentBy: 'session-actor',
    payload: schemaOf(withdrawSchema),
  },
  gmsTerm: {
    address: subjects.gmsTerm,
    title: 'Term of a new owner of a shard',
    description: 'Before its first dispatch.',
    sentBy: 'session-actor',
    payload: schemaOf(termAnnouncementSchema),
  },
  pushResult: {
    address: at(subjects.pushResult('ACTOR'), { actorId: 'ACTOR' }),
    title: 'Results of jobs',
    description: 'Many per message.',
    sentBy: 'gms-node',
    payload: schemaOf(pushResultsSchema),
  },
  actorHeartbeat: {
    address: subjects.actorHeartbeat,
    title: 'Heartbeats of session-actors',
    description: 'Each heartbeat interval.',
    sentBy: 'session-actor',
    payload: schemaOf(peerHeartbeatSchema),
  },
  actorProbe: {
    address: at(subjects.actorProbe('ACTOR'), { actorId: 'ACTOR' }),
    title: 'Asks a session-actor whether it lives',
    description: 'A NATS request; any answer says that it does.',
    sentBy: 'session-actor',
    payload: noPayload,
    answer: { type: 'string' },
  },
  registryView: {
    address: subjects.registryView,
    title: 'Asks for the present view of the GMS nodes',
    description: 'A NATS request.',
    sentBy: 'session-actor',
    payload: {},
    answer: schemaOf(gmsViewSchema),
  },
  registryViewChanged: {
    address: subjects.registryViewChanged,
    title: 'View of the GMS nodes',
    description: 'On change and each second.',
    sentBy: 'gms-registry',
    payload: schemaOf(gmsViewSchema),
  },
  timerHeartbeat: {
    address: subjects.timerHeartbeat,
    title: 'Heartbeats of resend-timers',
    description: 'Each heartbeat interval.',
    sentBy: 'resend-timer',
    payload: schemaOf(peerHeartbeatSchema),
  },
};

const text = (value?: string): Json => (value === undefined ? { type: 'string' } : { const: value });

/** The bodies that customhttp POSTs to a receiver; `libs/delivery` writes them as text, and a spec holds these against it. */
export const customhttpBodies: Readonly<Record<string, Json>> = {
  reliable: {
    type: 'object',
    description: 'A reliable push: refresh now. It carries no content of the chat.',
    required: ['message', 'deviceId'],
    additionalProperties: false,
    properties: {
      deviceId: text(),
      message: {
        type: 'object',
        required: [
          'secureKey',
          'chatId',
          'nextPosition',
          'messages',
          'alias',
          'chatEnded',
          'userId',
          'statusCode',
          'monitored',
        ],
        additionalProperties: false,
        properties: {
          secureKey: { type: 'string', description: 'The obfuscated key.' },
          chatId: text('deprecated'),
          userId: text('deprecated'),
          alias: text('0'),
          nextPosition: { type: 'integer', minimum: 0 },
          chatEnded: { type: 'boolean' },
          statusCode: { const: 0 },
          monitored: { const: false },
          messages: {
            type: 'array',
            minItems: 1,
            maxItems: 1,
            items: {
              type: 'object',
              required: ['from', 'index', 'text', 'type', 'utcTime', 'userData'],
              additionalProperties: false,
              properties: {
                from: {
                  const: { nickname: '', participantId: 0, type: 'Client' },
                },
                index: { const: 0 },
                text: text('PUSH-NOTIFICATION'),
                type: text('PushUrl'),
                utcTime: { type: 'integer' },
                userData: {
                  type: 'object',
                  description: 'Keys besides notify-* by option flex-push-content.',
                  required: ['notify-attempt', 'notify-position'],
                  additionalProperties: false,
                  properties: {
                    'notify-attempt': { type: 'string', pattern: '^\\d+$' },
                    'notify-position': { type: 'string', pattern: '^(-1|\\d+)$' },
                    'secure-key': text(),
                    'app-dbid': text(),
                    'user-id': text(),
                    'session-id': text(),
                  },
                },
              },
            },
          },
        },
      },
    },
  },
  plain: {
    type: 'object',
    description: 'A plain push with the event.',
    required: ['deviceId', 'message'],
    additionalProperties: false,
    properties: {
      deviceId: text(),
      message: {
        type: 'object',
        required: [
          'messages',
          'chatId',
          'userId',
          'alias',
          'secureKey',
          'chatEnded',
          'statusCode',
          'monitored',
        ],
        additionalProperties: false,
        properties: {
          messages: { type: 'array', minItems: 1, maxItems: 1, items: schemaOf(chatEventSchema) },
          chatId: text(),
          userId: text(),
          alias: text(),
          secureKey: { type: 'string', description: 'The obfuscated key.' },
          nextPosition: { type: 'integer', minimum: 0 },
          chatEnded: { type: 'boolean' },
          statusCode: { const: 0 },
          monitored: { const: false },
        },
      },
    },
  },
  bare: {
    type: 'object',
    description:
      'A push whose payload was not asked for: the text of option customhttp.message, if there is one.',
    required: ['deviceId'],
    additionalProperties: false,
    properties: { deviceId: text(), message: text() },
  },
};

function parametersOf(address: string): Json {
  const names = [...address.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
  return names.length === 0 ? {} : { parameters: Object.fromEntries(names.map((name) => [name, {}])) };
}

function channelOf(name: string, { address, title, description, payload, answer }: Channel): [string, Json] {
  const messages = {
    [name]: { contentType: 'application/json', payload },
    ...(answer ? { [`${name}Answer`]: { contentType: 'application/json', payload: answer } } : {}),
  };
  return [
    name,
    {
      address,
      title,
      description,
      servers: [{ $ref: '#/servers/nats' }],
      ...parametersOf(address),
      messages,
    },
  ];
}

function operationOf([name, { title, sentBy, answer }]: [string, Channel]): [string, Json] {
  const channel = { $ref: `#/channels/${name}` };
  const message = (of: string) => ({ $ref: `#/channels/${name}/messages/${of}` });
  return [
    name,
    {
      action: 'send',
      channel,
      summary: title,
      description: `Sent by ${sentBy}.`,
      messages: [message(name)],
      ...(answer ? { reply: { channel, messages: [message(`${name}Answer`)] } } : {}),
    },
  ];
}

const mobile = Object.entries(mobileChannels);

const mobileServers = (): Json =>
  Object.fromEntries(
    mobile.map(([name, { host, endpointOption }]) => [
      name,
      { host, protocol: 'https', description: `Or where option ${endpointOption} points to.` },
    ]),
  );

const mobilePushChannels = (): Json =>
  Object.fromEntries(
    mobile.map(([name, { address, title, messages }]) => [
      name,
      {
        address,
        title,
        description: 'A POST each.',
        servers: [{ $ref: `#/servers/${name}` }],
        ...parametersOf(address),
        messages: Object.fromEntries(
          Object.entries(messages).map(([message, push]) => [
            message,
            { contentType: 'application/json', ...push },
          ]),
        ),
      },
    ]),
  );

const mobileOperations = (): Json =>
  Object.fromEntries(
    mobile.map(([name, { title, messages }]) => [
      name,
      {
        action: 'send',
        channel: { $ref: `#/channels/${name}` },
        summary: title,
        description: 'Sent by gms-node.',
        messages: Object.keys(messages).map((message) => ({
          $ref: `#/channels/${name}/messages/${message}`,
        })),
      },
    ]),
  );

/** Every NATS subject with its payload, and the bodies of pushes, as an AsyncAPI 3 document. */
export function asyncApiDocument(): Json {
  const pushMessages = Object.fromEntries(
    Object.entries(customhttpBodies).map(([name, payload]) => [
      name,
      { contentType: 'application/json;charset=UTF-8', payload },
    ]),
  );
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'flexpush messages',
      version: '1',
      description:
        'The NATS subjects of flexpush, and what it POSTs to receivers, to FCM and to APNs. Programs of others publish on flexpush.event.{sessionId} and may listen on flexpush.notice.{sessionId}; the rest is between the services.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      nats: { host: 'nats.example.org:4222', protocol: 'nats' },
      receiver: {
        host: 'receiver.example.org',
        protocol: 'https',
        description: 'Where option customhttp.url points to.',
      },
      ...mobileServers(),
    },
    channels: {
      ...Object.fromEntries(Object.entries(channels).map(([name, channel]) => channelOf(name, channel))),
      customhttp: {
        address: '/',
        title: 'Pushes of type customhttp',
        description: 'A POST each; any 2xx answer says that it was delivered.',
        servers: [{ $ref: '#/servers/receiver' }],
        messages: pushMessages,
      },
      ...mobilePushChannels(),
    },
    operations: {
      ...Object.fromEntries(Object.entries(channels).map(operationOf)),
      customhttp: {
        action: 'send',
        channel: { $ref: '#/channels/customhttp' },
        summary: 'Pushes of type customhttp',
        description: 'Sent by gms-node.',
        messages: Object.keys(customhttpBodies).map((name) => ({
          $ref: `#/channels/customhttp/messages/${name}`,
        })),
      },
      ...mobileOperations(),
    },
  };
}
