import type { ConsumerDeserializer, IncomingEvent, IncomingRequest, Serializer } from '@nestjs/microservices';

/** Larger messages are malformed unread; the largest lawful one on our subjects is a full view. */
export const MESSAGE_BYTES_MAX = 1_048_576;

/** What a handler receives: the JSON value exactly as it was on the wire, or why there is none. */
export type Received =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'malformed'; readonly reason: 'not-json' | 'too-large' };

const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

function receive(bytes: unknown): Received {
  if (!(bytes instanceof Uint8Array)) return { kind: 'malformed', reason: 'not-json' };
  if (bytes.byteLength > MESSAGE_BYTES_MAX) return { kind: 'malformed', reason: 'too-large' };
  try {
    return { kind: 'json', value: JSON.parse(decoder.decode(bytes)) as unknown };
  } catch {
    return { kind: 'malformed', reason: 'not-json' };
  }
}

/**
 * Replaces Nest's own deserializer, which ends the process on a message that is not JSON (nobody catches its throw)
 * and takes a payload with a top-level `data` or `pattern` key for its own envelope.
 *
 * D1 Never throws: what cannot be read is handed on as `malformed`.
 * D2 Never guesses: the payload is data, whatever keys it has.
 * D3 Only the given subjects are requests. Nest answers whatever has an id, so an id is given where an answer is
 *    meant, and never because of what the sender wrote.
 */
export class PlainJsonDeserializer implements ConsumerDeserializer {
  constructor(private readonly requestSubjects: ReadonlySet<string>) {}

  deserialize(bytes: unknown, options?: Record<string, unknown>): IncomingRequest | IncomingEvent {
    const subject = String(options?.['channel']);
    const replyTo = options?.['replyTo'];
    const packet = { pattern: subject, data: receive(bytes) };
    if (typeof replyTo !== 'string' || replyTo === '' || !this.requestSubjects.has(subject)) return packet;
    return { ...packet, id: replyTo };
  }
}

interface OutgoingPacket {
  readonly response?: unknown;
  readonly err?: unknown;
}

/** The reply on the wire is the handler's value as plain JSON, without Nest's envelope: any NATS client can read it. */
export class PlainJsonSerializer implements Serializer<OutgoingPacket, { data: Uint8Array }> {
  serialize(packet: OutgoingPacket): { data: Uint8Array } {
    // The cause stays in our log; a stranger who asks learns only that it failed.
    const value = packet.err === undefined ? (packet.response ?? null) : { error: 'failed' };
    return { data: encoder.encode(JSON.stringify(value)) };
  }
}
