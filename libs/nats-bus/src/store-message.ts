import { parseJson } from '@flexpush/contracts';
import { headers, NatsError } from 'nats';
import type { NatsBus } from './bus';

export type StoreResult =
  { kind: 'stored'; seq: number; duplicate: boolean } | { kind: 'refused'; reason: string };

interface Ack {
  seq?: number;
  duplicate?: boolean;
  error?: { description?: string };
}

/**
 * Asks JetStream to store a message. The reason `timeout`, which a lost connection gives at once, says that it may have
 * been stored all the same.
 */
export async function storeMessage(
  bus: NatsBus,
  subject: string,
  payload: string,
  { timeoutMs, messageId }: { timeoutMs: number; messageId?: string },
): Promise<StoreResult> {
  try {
    const options = { timeoutMs, endsWithConnection: true, ...headersOf(messageId) };
    const answer = await bus.requests.send(subject, payload, options);
    if (answer.kind === 'timeout') return { kind: 'refused', reason: 'timeout' };
    if (answer.kind === 'no-responders') return { kind: 'refused', reason: 'log-away' };
    const ack = (parseJson(answer.message.string()) ?? {}) as Ack;
    // A refusal has a sequence too, 0.
    if (ack.error) return { kind: 'refused', reason: ack.error.description ?? 'refused' };
    if (ack.seq === undefined) return { kind: 'refused', reason: 'the answer was not understood' };
    return { kind: 'stored', seq: ack.seq, duplicate: ack.duplicate === true };
  } catch (error) {
    return { kind: 'refused', reason: refusal(error) };
  }
}

/** The server's or the client's reason in a word or sentence. */
export function refusal(error: unknown): string {
  if (!(error instanceof NatsError)) return error instanceof Error ? error.message : String(error);
  if (error.api_error) return error.api_error.description;
  if (error.code === '503') return 'log-away';
  return error.code === 'TIMEOUT' ? 'timeout' : error.code;
}

function headersOf(messageId: string | undefined): { headers?: ReturnType<typeof headers> } {
  if (messageId === undefined) return {};
  const given = headers();
  given.set('Nats-Msg-Id', messageId);
  return { headers: given };
}
