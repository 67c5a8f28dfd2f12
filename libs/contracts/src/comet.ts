import { z } from 'zod';
import { BOUNDS } from './bounds';
import { sessionIdSchema, userIdSchema } from './ids';
import { chatEventSchema } from './push';

/** Leaving and ending go beyond the bound of events, by a few. */
const INDEX_MAX = 2 * BOUNDS.eventsPerSession;

/** gms-node -> chat-api, a NATS request on `subjects.comet(callerId)`: one notification for a connected CometD client. */
export const cometPushSchema = z.object({
  v: z.literal(1),
  /** Bayeux client id: the part of the address behind the slash. */
  clientId: z.string(),
  sessionId: sessionIdSchema,
  userId: userIdSchema,
  /** The session's REST `alias` at present. */
  alias: z.string(),
  chatEnded: z.boolean(),
  /** Absent: a ping of the inactivity ladder; chat-api answers it with a refresh, for the client is connected. */
  event: chatEventSchema
    .refine(({ index = 1 }) => index >= 1 && index <= INDEX_MAX, 'has an index that no chat has')
    .optional(),
});
export type CometPush = z.infer<typeof cometPushSchema>;

/** `taken`: queued for the client. `gone`: this chat-api has no such client (any more). */
export const cometPushAnswerSchema = z.object({ v: z.literal(1), status: z.enum(['taken', 'gone']) });
export type CometPushAnswer = z.infer<typeof cometPushAnswerSchema>;
