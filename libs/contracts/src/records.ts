import { z } from 'zod';
import { callerIdSchema, recordIdSchema, sessionIdSchema, TOKEN_PATTERN, userIdSchema } from './ids';
import { BOUNDS } from './bounds';

/**
 * Records are the entries of the log. Public ones come from anyone who may publish to `flexpush.event.*`;
 * internal ones only from our own services. One log message holds one record or an array of them.
 */

const WEB_URL_WORDS = 'must be an absolute http or https URL';
const nickname = z.string().min(1).max(BOUNDS.nicknameChars);
const text = z.string().max(BOUNDS.textChars);
const url = z.string().min(1).max(BOUNDS.urlChars);
/** What agents push is opened by customers' browsers: no scripts, no local files, nothing that a page would complete. */
const webUrl = z
  .string()
  .max(BOUNDS.urlChars, { abort: true })
  .regex(/^[hH][tT][tT][pP][sS]?:\/\/\S+$/, { error: WEB_URL_WORDS, abort: true })
  .refine((text) => URL.canParse(text), WEB_URL_WORDS);
const fileId = z.string().regex(TOKEN_PATTERN, 'must be 1-64 letters, digits, "_" or "-"');
const position = z.number().int().min(0);
export const userDataSchema = z
  .record(z.string().min(1).max(BOUNDS.userDataKeyChars), z.string().max(BOUNDS.userDataValueChars))
  .refine((data) => Object.keys(data).length <= BOUNDS.userDataKeys, `at most ${BOUNDS.userDataKeys} keys`);

/** A file of a chat; its content is in the file store under the same id. */
export const fileSchema = z.strictObject({
  fileId,
  name: z.string().min(1).max(BOUNDS.fileNameChars),
  sizeBytes: z.number().int().min(0),
  /** What else the uploader says of it, `file-description` for one. */
  userData: userDataSchema.optional(),
});
export type ChatFile = z.infer<typeof fileSchema>;

const envelope = { v: z.literal(1), id: recordIdSchema, sessionId: sessionIdSchema };

/** Who an internal request speaks for: the participant and the SHA-256 (hex) of its secure key, and who waits for the reply. */
const request = {
  ...envelope,
  userId: userIdSchema,
  keyHash: z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex'),
  replyTo: callerIdSchema.optional(),
};

export const participantTypes = ['Client', 'Agent', 'Supervisor', 'External'] as const;
export type ParticipantType = (typeof participantTypes)[number];

/** The public record types: what an agent-side program, bot or CRM publishes. */
export const publicRecordSchema = z.discriminatedUnion('type', [
  z.strictObject({
    ...envelope,
    type: z.literal('participant.join'),
    userId: userIdSchema,
    nickname,
    participantType: z.enum(['Agent', 'Supervisor', 'External']),
    /** Marks a bot (CONTRACT 4.7). */
    style: z.literal('BOT').optional(),
    /** A silent monitor: customers see nothing of it but `monitored` (CONTRACT 6 #36). */
    silent: z.literal(true).optional(),
  }),
  z.strictObject({
    ...envelope,
    type: z.literal('participant.leave'),
    userId: userIdSchema,
    removedBy: userIdSchema.optional(),
  }),
  z.strictObject({
    ...envelope,
    type: z.literal('message.send'),
    userId: userIdSchema,
    text: text.min(1),
    messageType: z.string().min(1).max(32).optional(),
  }),
  z.strictObject({
    ...envelope,
    type: z.literal('typing.start'),
    userId: userIdSchema,
    text: text.optional(),
  }),
  z.strictObject({
    ...envelope,
    type: z.literal('typing.stop'),
    userId: userIdSchema,
    text: text.optional(),
  }),
  z.strictObject({ ...envelope, type: z.literal('notice.custom'), userId: userIdSchema, text }),
  z.strictObject({
    ...envelope,
    type: z.literal('url.push'),
    userId: userIdSchema,
    url: webUrl,
  }),
  /** A file that the agent side has put into the file store under this id. */
  z.strictObject({ ...envelope, type: z.literal('file.upload'), userId: userIdSchema, file: fileSchema }),
  z.strictObject({ ...envelope, type: z.literal('file.delete'), userId: userIdSchema, fileId }),
  z.strictObject({ ...envelope, type: z.literal('session.end'), userId: userIdSchema.optional() }),
]);
export type PublicRecord = z.infer<typeof publicRecordSchema>;

export const deviceTypes = ['customhttp', 'fcm', 'ios', 'comet'] as const;
export type DeviceType = (typeof deviceTypes)[number];

/** Where a CometD client is connected: `<callerId>/<client id>` of the chat-api that has it. */
export const cometAddressSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}\/[A-Za-z0-9_-]{1,64}$/, 'must be <callerId>/<clientId>');

/** What a customer asked for when the chat was created; derived from its user data by chat-api (`parseSubscription`). */
export const subscriptionRequestSchema = z.strictObject({
  deviceId: z.string().min(1).max(BOUNDS.deviceIdChars),
  deviceType: z.enum(deviceTypes),
  nodeGroup: z.string().max(64).optional(),
  notifyRequestor: z.boolean(),
  /** Absent when the user data does not say; then the service option decides. */
  includePayload: z.boolean().optional(),
  resend: z.boolean(),
  provider: z.string().max(64).optional(),
  debug: z.boolean(),
  /** As in `de-DE`; the texts of FCM and APNs go by it. */
  language: z.string().max(BOUNDS.languageChars).optional(),
});
export type SubscriptionRequest = z.infer<typeof subscriptionRequestSchema>;

/** What a CometD client names when it comes back: this alone overrides its registration (CONTRACT 2.6). */
export const subscriptionChangeSchema = subscriptionRequestSchema.partial();
export type SubscriptionChange = z.infer<typeof subscriptionChangeSchema>;

const timerEntry = z.tuple([
  /** `kind:sessionId:userId` */
  z.string().min(1).max(256),
  /** The score (epoch ms) that the claim read. */
  z.number(),
]);

/** `gone`: the device, or the CometD client, is no more; `push.gone` says so to the session. */
export const settleOutcomes = ['delivered', 'failed', 'superseded', 'withdrawn', 'expired', 'gone'] as const;
export type SettleOutcome = (typeof settleOutcomes)[number];

/** The internal record types, written by chat-api, resend-timer and session-actor. */
export const internalRecordSchema = z.discriminatedUnion('type', [
  z.strictObject({
    ...envelope,
    type: z.literal('session.create'),
    service: z.string().min(1).max(64),
    userId: userIdSchema,
    /** The participant's secret. Only this record carries it (I10). */
    secureKey: z.string().min(8).max(64),
    keyHash: z.string().regex(/^[0-9a-f]{64}$/),
    /** The opaque key that a push shows as `message.secureKey` (CONTRACT 6 #29). */
    obfuscatedKey: z.string().max(512),
    nickname,
    subject: z.string().max(BOUNDS.textChars).optional(),
    /** First message, if the client sent one with the request. */
    text: text.optional(),
    userData: userDataSchema,
    subscription: subscriptionRequestSchema.optional(),
    /** Why no subscription was asked for or understood; shown to the caller, e.g. `missing-device-id`. */
    subscriptionProblem: z.string().max(64).optional(),
    /** Where the CometD client that asks is connected; it hears every event there (`request.follow`). */
    address: cometAddressSchema.optional(),
    replyTo: callerIdSchema.optional(),
  }),
  z.strictObject({
    ...request,
    type: z.literal('request.refresh'),
    transcriptPosition: z.number().int().min(0).optional(),
    preview: text.optional(),
  }),
  z.strictObject({
    ...request,
    type: z.literal('request.send'),
    text: text.min(1),
    messageType: z.string().min(1).max(32).optional(),
    transcriptPosition: z.number().int().min(0).optional(),
  }),
  z.strictObject({ ...request, type: z.literal('request.startTyping'), text: text.optional() }),
  z.strictObject({ ...request, type: z.literal('request.stopTyping'), text: text.optional() }),
  z.strictObject({ ...request, type: z.literal('request.disconnect') }),
  z.strictObject({ ...request, type: z.literal('request.pushUrl'), url }),
  z.strictObject({ ...request, type: z.literal('request.updateNickname'), nickname }),
  z.strictObject({ ...request, type: z.literal('request.customNotice'), text }),
  z.strictObject({ ...request, type: z.literal('request.updateData'), userData: userDataSchema }),
  z.strictObject({ ...request, type: z.literal('request.readReceipt'), transcriptPosition: position }),
  z.strictObject({ ...request, type: z.literal('request.fileLimits') }),
  /** The content is in the file store already; the fold judges the limits, and who is refused deletes it there. */
  z.strictObject({ ...request, type: z.literal('request.fileUpload'), file: fileSchema }),
  /** May this file be downloaded? Counts as an attempt. */
  z.strictObject({ ...request, type: z.literal('request.fileDownload'), fileId }),
  z.strictObject({ ...request, type: z.literal('request.fileDelete'), fileId }),
  /**
   * A CometD client is connected at this address and wants every event from this position on: the reply carries what
   * there is, notifications of type `comet` the rest. Pushes to its device stop meanwhile. Counts as a refresh.
   */
  z.strictObject({
    ...request,
    type: z.literal('request.follow'),
    address: cometAddressSchema,
    transcriptPosition: position.optional(),
    /** The device that is pushed to while it is away; what is absent is as before. A first one needs its id and type. */
    subscription: subscriptionChangeSchema.optional(),
  }),
  /** The CometD client of this address has gone; it has every event up to this position. Pushes to its device go on behind it. */
  z.strictObject({
    ...request,
    type: z.literal('request.away'),
    address: cometAddressSchema,
    transcriptPosition: position.optional(),
  }),
  /** A node found the device, or the CometD client, gone; written by the session's owner. */
  z.strictObject({
    ...envelope,
    type: z.literal('push.gone'),
    userId: userIdSchema,
    deviceId: z.string().min(1).max(BOUNDS.deviceIdChars),
    /** Position of the event that could not be delivered, if there was one. */
    position: position.optional(),
  }),
  /** One record of a shard, many timers. */
  z.strictObject({
    v: z.literal(1),
    type: z.literal('timers.fired'),
    timers: z.array(timerEntry).min(1).max(BOUNDS.timersPerRecord),
  }),
  /** One record of a shard, many results: [notification id, outcome]. */
  z.strictObject({
    v: z.literal(1),
    type: z.literal('push.settled'),
    results: z
      .array(z.tuple([z.string().min(1).max(256), z.enum(settleOutcomes)]))
      .min(1)
      .max(BOUNDS.resultsPerRecord),
  }),
  /** The options that the fold reads, all of them, at one revision of the option bucket. */
  z.strictObject({
    v: z.literal(1),
    type: z.literal('options.changed'),
    revision: z.number().int().min(0),
    values: z.record(z.string(), z.string()),
  }),
  /** Written at start-up to see that the server's mapping agrees with `shardOf`; changes nothing. */
  z.strictObject({ v: z.literal(1), type: z.literal('probe') }),
]);
export type InternalRecord = z.infer<typeof internalRecordSchema>;

export type LogRecord = PublicRecord | InternalRecord;
export type RecordOf<T extends LogRecord['type']> = Extract<LogRecord, { type: T }>;
/** Records that belong to one session (the others belong to a shard). */
export type SessionRecord = Exclude<
  LogRecord,
  RecordOf<'timers.fired' | 'push.settled' | 'options.changed' | 'probe'>
>;
