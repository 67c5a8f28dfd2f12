import { z } from 'zod';
import { callerIdSchema, recordIdSchema, sessionIdSchema, userIdSchema } from './ids';
import { BOUNDS } from './bounds';

/**
 * Records are the entries of the log. Public ones come from anyone who may publish to `flexpush.event.*`;
 * internal ones only from our own services. One log message holds one record or an array of them.
 */

const nickname = z.string().min(1).max(BOUNDS.nicknameChars);
const text = z.string().max(BOUNDS.textChars);
export const userDataSchema = z
  .record(z.string().min(1).max(BOUNDS.userDataKeyChars), z.string().max(BOUNDS.userDataValueChars))
  .refine((data) => Object.keys(data).length <= BOUNDS.userDataKeys, `at most ${BOUNDS.userDataKeys} keys`);

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
    url: z.string().min(1).max(BOUNDS.urlChars),
  }),
  z.strictObject({ ...envelope, type: z.literal('session.end'), userId: userIdSchema.optional() }),
]);
export type PublicRecord = z.infer<typeof publicRecordSchema>;

/** What a customer asked for when the chat was created; derived from its user data by chat-api (`parseSubscription`). */
export const subscriptionRequestSchema = z.strictObject({
  deviceId: z.string().min(1).max(BOUNDS.deviceIdChars),
  deviceType: z.enum(['customhttp', 'fcm', 'ios', 'comet']),
  nodeGroup: z.string().max(64).optional(),
  notifyRequestor: z.boolean(),
  /** Absent when the user data does not say; then the service option decides. */
  includePayload: z.boolean().optional(),
  resend: z.boolean(),
  provider: z.string().max(64).optional(),
  debug: z.boolean(),
});
export type SubscriptionRequest = z.infer<typeof subscriptionRequestSchema>;

const timerEntry = z.tuple([
  /** `kind:sessionId:userId` */
  z.string().min(1).max(256),
  /** The score (epoch ms) that the claim read. */
  z.number(),
]);

export const settleOutcomes = ['delivered', 'failed', 'superseded', 'withdrawn', 'expired'] as const;
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
