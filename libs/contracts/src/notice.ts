import { z } from 'zod';
import { cometUserDataKeys, userDataKeys } from './user-data';

const envelope = { v: z.literal(1), sessionId: z.string(), utcTime: z.number() };

/** What agents may like to know of a chat and what is no event of it; published at most once. */
export const chatNoticeSchema = z.discriminatedUnion('type', [
  z.strictObject({
    ...envelope,
    type: z.literal('read-receipt'),
    userId: z.string(),
    participantId: z.number().int(),
    position: z.number().int().describe('Index of the last event read.'),
  }),
  z.strictObject({
    ...envelope,
    type: z.literal('user-data'),
    userId: z.string().optional().describe('Whose request changed it; absent: the server did.'),
    participantId: z.number().int().optional(),
    userData: z
      .record(z.string(), z.string())
      .describe('Keys that are new or have another value; those of secrets are left out.'),
    removed: z.array(z.string()).optional().describe('Keys that are no more.'),
  }),
]);
export type ChatNotice = z.infer<typeof chatNoticeSchema>;

/** User data that agents are not shown (CONTRACT 6 #40). */
export const secretUserDataKeys: ReadonlySet<string> = new Set([
  userDataKeys.deviceId,
  userDataKeys.sessionPassword,
  cometUserDataKeys.deviceId,
]);
