import { z } from 'zod';
import { nodeIdSchema, sessionIdSchema, userIdSchema } from './ids';
import { deviceTypes, settleOutcomes } from './records';

/** Which keys of the push user data are wanted (option `flex-push-content`). */
export const pushContentKeys = ['app-dbid', 'secure-key', 'session-id', 'user-id'] as const;
export type PushContentKey = (typeof pushContentKeys)[number];

/** `GCTI_SYSTEM` of an event: why somebody left (CONTRACT 4.3), and that a party is a bot (4.7). */
export const gctiSystemSchema = z.object({
  'quit-reason-code': z.number().int().optional(),
  'party-info': z.object({ style: z.literal('BOT') }).optional(),
});

/** One chat event as the outside sees it (CONTRACT 1.4). `utcTime` is epoch ms. */
export const chatEventSchema = z.object({
  from: z.object({
    nickname: z.string(),
    participantId: z.number().int(),
    type: z.enum(['Client', 'Agent', 'Supervisor', 'External']),
  }),
  index: z.number().int().optional(),
  type: z.string(),
  utcTime: z.number(),
  text: z.string().optional(),
  messageType: z.string().optional(),
  userData: z.record(z.string(), z.string()).optional(),
  eventAttributes: z.object({ GCTI_SYSTEM: gctiSystemSchema }).optional(),
});
export type ChatEvent = z.infer<typeof chatEventSchema>;

const jobCommon = {
  /** `sessionId:userId:n`; the same id is the same notification, however often it is sent. */
  id: z.string().min(3).max(256),
  n: z.number().int().min(1),
  sessionId: sessionIdSchema,
  userId: userIdSchema,
  service: z.string(),
  deviceType: z.enum(deviceTypes),
  deviceId: z.string(),
  nodeGroup: z.string().optional(),
  provider: z.string().optional(),
  debug: z.boolean(),
  language: z.string().optional(),
  obfuscatedKey: z.string(),
  chatEnded: z.boolean(),
  /** Time of the record that caused it, epoch ms. */
  atMs: z.number(),
};

/** A notification, as it lies in the outbox and travels to a GMS node. */
export const pushJobSchema = z.discriminatedUnion('kind', [
  z.object({
    ...jobCommon,
    /** A reliable notification: content-free, "refresh now". */
    kind: z.literal('trigger'),
    attempt: z.number().int().min(0),
    /** First position not yet retrieved; -1 when the participant was removed. */
    position: z.number().int(),
    content: z.array(z.enum(pushContentKeys)),
    /** The payload was not asked for: the provider's fixed text goes out in place of the trigger object (CONTRACT 6 #19). */
    bare: z.literal(true).optional(),
    /** Only when `content` asks for it (I10). */
    secureKey: z.string().optional(),
  }),
  z.object({
    ...jobCommon,
    kind: z.literal('plain'),
    /** The event, when the payload is wanted; else the provider's fixed text is sent. */
    event: chatEventSchema.optional(),
  }),
]);
export type PushJob = z.infer<typeof pushJobSchema>;
export type TriggerJob = Extract<PushJob, { kind: 'trigger' }>;
export type PlainJob = Extract<PushJob, { kind: 'plain' }>;

/** session-actor -> gms-node, a NATS request. */
export const dispatchSchema = z.object({
  v: z.literal(1),
  /** Where the results go: `subjects.pushResult(actorId)`. */
  actorId: nodeIdSchema,
  /** The Chat Server application DBID that pushes show as `app-dbid`; it is the session's REST `alias`. */
  alias: z.string(),
  shards: z.array(
    z.object({ shard: z.number().int().min(0), term: z.number().int().min(0), jobs: z.array(pushJobSchema) }),
  ),
});
export type Dispatch = z.infer<typeof dispatchSchema>;

/** Answer to a dispatch. `busy`: nothing was taken, try again later. `oldTerms`: shards whose jobs were refused, with the newer term. */
export const dispatchAnswerSchema = z.discriminatedUnion('status', [
  z.object({ status: z.literal('accepted'), oldTerms: z.array(z.tuple([z.number(), z.number()])) }),
  z.object({ status: z.literal('busy'), retryAfterMs: z.number() }),
  z.object({ status: z.literal('malformed'), reason: z.string() }),
]);
export type DispatchAnswer = z.infer<typeof dispatchAnswerSchema>;

/** What became of a job. `returned`: not started, the owner must place it anew. */
export const pushOutcomes = [...settleOutcomes, 'returned'] as const;
export type PushOutcome = (typeof pushOutcomes)[number];

/** gms-node -> session-actor, batched. */
export const pushResultsSchema = z.object({
  v: z.literal(1),
  nodeId: nodeIdSchema,
  results: z.array(
    z.object({
      id: z.string(),
      shard: z.number().int(),
      outcome: z.enum(pushOutcomes),
      reason: z.string().optional(),
    }),
  ),
});
export type PushResults = z.infer<typeof pushResultsSchema>;

/** session-actor -> gms-node after a confirm: do not start triggers of this subscription up to `n`. */
export const withdrawSchema = z.object({
  v: z.literal(1),
  withdrawals: z.array(z.object({ subscription: z.string(), n: z.number().int() })),
});
export type Withdraw = z.infer<typeof withdrawSchema>;

export const termAnnouncementSchema = z.object({
  v: z.literal(1),
  shard: z.number().int(),
  term: z.number().int(),
});
export type TermAnnouncement = z.infer<typeof termAnnouncementSchema>;

/** `sessionId:userId`. */
export function subscriptionKey(sessionId: string, userId: string): string {
  return `${sessionId}:${userId}`;
}

/** The subscription part of a notification id. */
export function subscriptionOf(notificationId: string): string {
  return notificationId.slice(0, notificationId.lastIndexOf(':'));
}
