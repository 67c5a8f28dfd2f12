import { z } from 'zod';
import { chatEventSchema } from './push';

/** Error codes that the contract shows (CONTRACT 1.6). */
export const errorCodes = {
  firstNameMissing: 102,
  lastNameMissing: 103,
  nicknameMissing: 161,
  tooManyFiles: 201,
  fileTooLarge: 202,
  fileTypeNotAllowed: 203,
  messageTooLong: 204,
  cannotStart: 240,
  mediaServer: 249,
  emailInvalid: 364,
  badRequest: 400,
  notFound: 404,
  payloadTooLarge: 413,
  unsupportedMediaType: 415,
  unavailable: 503,
} as const;

/** 0 ok; 1 error, the same request may be retried; 2 error, do not retry (CONTRACT 1.3). */
export type StatusCode = 0 | 1 | 2;

/** The response object of every Chat API v2 operation (CONTRACT 1.3). */
export const chatResponseSchema = z.object({
  statusCode: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  chatId: z.string(),
  userId: z.string().optional(),
  secureKey: z.string().optional(),
  alias: z.string().optional(),
  nextPosition: z.number().int().optional(),
  messages: z.array(chatEventSchema),
  chatEnded: z.boolean(),
  monitored: z.boolean().optional(),
  userData: z.record(z.string(), z.string()).optional(),
  errors: z.array(z.object({ code: z.number().int(), advice: z.string() })).optional(),
});
export type ChatResponse = z.infer<typeof chatResponseSchema>;

/** What the fold answers to an internal request; chat-api turns it into a `ChatResponse`. */
export const foldReplySchema = z.object({
  /** `ok`, or why not. */
  outcome: z.enum(['ok', 'unknown-session', 'unknown-participant', 'bad-key', 'removed', 'refused']),
  chatEnded: z.boolean(),
  monitored: z.boolean(),
  /** Present when the reply carries (a part of) the transcript. */
  nextPosition: z.number().int().optional(),
  userData: z.record(z.string(), z.string()).optional(),
  reason: z.string().optional(),
  /** Of a refusal that the contract gives a code (`errorCodes`); `reason` is its advice. */
  code: z.number().int().optional(),
  /** Messages without a position, such as the file limits; they come after those of the transcript. */
  notices: z.array(chatEventSchema).optional(),
  /** Of the file limits: an agent is in the chat. */
  hasAgent: z.boolean().optional(),
});
export type FoldReply = z.infer<typeof foldReplySchema>;

/** One reply on `subjects.reply(callerId)`. A long transcript comes in parts with the same id; the last has `more: false`. */
export const callReplySchema = z.object({
  id: z.string(),
  alias: z.string(),
  reply: foldReplySchema,
  messages: z.array(chatEventSchema),
  more: z.boolean(),
});
export type CallReply = z.infer<typeof callReplySchema>;
export const callRepliesSchema = z.object({ v: z.literal(1), replies: z.array(callReplySchema) });
export type CallReplies = z.infer<typeof callRepliesSchema>;
