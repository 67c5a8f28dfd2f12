import { parseJson } from '@flexpush/contracts';
import { z } from 'zod';
import { COMETD_BOUNDS } from './bounds';

const channelName = z.string().min(1).max(COMETD_BOUNDS.channelChars);
const shortText = z.string().max(COMETD_BOUNDS.idChars);

/** A message of a client. What the protocol does not name is left out. */
export const bayeuxMessageSchema = z.object({
  channel: channelName,
  id: z.union([shortText, z.number()]).optional(),
  clientId: shortText.optional(),
  supportedConnectionTypes: z.array(shortText).max(16).optional(),
  subscription: z
    .union([channelName, z.array(channelName).max(COMETD_BOUNDS.subscriptionsPerMessage)])
    .optional(),
  advice: z.object({ timeout: z.number().optional() }).optional().catch(undefined),
  ext: z.record(z.string(), z.unknown()).optional().catch(undefined),
  data: z.unknown().optional(),
  /** Of `/meta/disconnect`, where one page of the original shows it (CONTRACT 6 #28). */
  transcriptPosition: z.unknown().optional(),
});
export type BayeuxMessage = z.infer<typeof bayeuxMessageSchema>;

export interface Advice {
  reconnect: 'retry' | 'handshake' | 'none';
  interval: number;
  timeout?: number;
  maxInterval?: number;
}

/** A message to a client. */
export interface BayeuxReply {
  channel: string;
  id?: string | number;
  successful?: boolean;
  error?: string;
  advice?: Advice;
  [field: string]: unknown;
}

/** Errors in the form `<code>:<args>:<text>` of the protocol. */
export const bayeuxErrors = {
  malformed: (reason: string) => `400::${reason}`,
  unknownClient: '402::Unknown client',
  denied: (channel: string, reason: string) => `403:${channel}:${reason}`,
  unknownChannel: (channel: string) => `404:${channel}:Unknown channel`,
  tooMany: (what: string) => `429::${what}`,
  unavailable: (reason: string) => `503::${reason}`,
} as const;

/** For messages that name no channel of their own. */
const NO_CHANNEL = '/meta/unsuccessful';

export const HANDSHAKE_ADVICE: Advice = { reconnect: 'handshake', interval: 0 };
export const NO_ADVICE: Advice = { reconnect: 'none', interval: 0 };

export function unsuccessful(
  message: Pick<BayeuxMessage, 'channel' | 'id'>,
  error: string,
  advice?: Advice,
): BayeuxReply {
  return {
    channel: message.channel,
    ...(message.id === undefined ? {} : { id: message.id }),
    successful: false,
    error,
    ...(advice === undefined ? {} : { advice }),
  };
}

/** What cannot even be told apart into messages gets one answer. */
export function refusedBatch(reason: string, code = 400): BayeuxReply {
  return unsuccessful({ channel: NO_CHANNEL }, `${code}::${reason}`);
}

export type ReadBatch =
  | {
      kind: 'messages';
      messages: ({ kind: 'ok'; message: BayeuxMessage } | { kind: 'bad'; reply: BayeuxReply })[];
    }
  | { kind: 'refused'; reply: BayeuxReply };

/** One message or an array of them. A bad one is answered for itself and spoils no other. */
export function readBatch(text: string): ReadBatch {
  const content = parseJson(text);
  if (content === undefined) return { kind: 'refused', reply: refusedBatch('the messages are not JSON') };
  const items: unknown[] = Array.isArray(content) ? content : [content];
  if (items.length === 0) return { kind: 'refused', reply: refusedBatch('there is no message') };
  const { messagesPerBatch } = COMETD_BOUNDS;
  if (items.length > messagesPerBatch)
    return {
      kind: 'refused',
      reply: refusedBatch(`at most ${messagesPerBatch} messages are accepted at once`),
    };
  return { kind: 'messages', messages: items.map(readMessage) };
}

function readMessage(
  item: unknown,
): { kind: 'ok'; message: BayeuxMessage } | { kind: 'bad'; reply: BayeuxReply } {
  const parsed = bayeuxMessageSchema.safeParse(item);
  if (parsed.success) return { kind: 'ok', message: parsed.data };
  const given = (item ?? {}) as { channel?: unknown; id?: unknown };
  const channel = channelName.safeParse(given.channel);
  const id = bayeuxMessageSchema.shape.id.safeParse(given.id);
  const field = parsed.error.issues[0]?.path.join('.') || 'the message';
  return {
    kind: 'bad',
    reply: unsuccessful(
      { channel: channel.success ? channel.data : NO_CHANNEL, id: id.success ? id.data : undefined },
      bayeuxErrors.malformed(`${field.slice(0, COMETD_BOUNDS.idChars)} is missing or not valid`),
    ),
  };
}

/** Ten digits are far beyond any transcript and safely an integer. */
const POSITION_PATTERN = /^\d{1,10}$/;

/** The position of a client that goes (CONTRACT 2.5): in `ext` or at top level, as text or number; else undefined. */
export function positionOf({ ext, transcriptPosition }: BayeuxMessage): number | undefined {
  for (const given of [ext?.['transcriptPosition'], transcriptPosition]) {
    if (typeof given !== 'string' && typeof given !== 'number') continue;
    const position = readPosition(String(given));
    if (position !== undefined) return position;
  }
  return undefined;
}

/** A position from 0, or undefined. */
export function readPosition(given: string): number | undefined {
  const text = given.trim();
  return POSITION_PATTERN.test(text) ? Number(text) : undefined;
}
