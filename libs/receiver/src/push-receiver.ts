import { Webhook } from 'standardwebhooks';
import { parsePush, type Push } from './push';
import { RepeatFilter } from './repeat-filter';

export interface PushReceiverOptions {
  /**
   * The signing keys (`whsec_...`) that are taken: the present one, and during a rotation the other one too. An empty
   * list switches verification off, and with it the dropping of repeats, which goes by the signed `webhook-id`.
   */
  signingKeys: readonly string[];
  /** Ids that are remembered; the oldest is forgotten beyond it. */
  repeatsMax?: number;
  /** Monotonic ms; for tests. */
  nowMs?: () => number;
}

export type Received =
  | { kind: 'push'; push: Push; /** Undefined when nothing is verified. */ id: string | undefined }
  /** Taken before; answer 200 and do nothing. */
  | { kind: 'repeated'; id: string }
  /** Answer with this status; nothing of the body can be trusted. */
  | {
      kind: 'refused';
      status: 400 | 401;
      reason: 'not-signed' | 'signature-wrong' | 'not-json' | 'not-a-push';
    };

export interface PushReceiver {
  /** `body`: exactly the bytes that came, for the signature covers them. Never throws on what comes from outside. */
  receive(headers: Headers, body: string | Buffer): Received;
  /** The push could not be handled after all: should it come again, it is not a repeat. */
  forget(id: string | undefined): void;
}

/** As node:http, fastify and express give them. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const REPEATS_MAX = 100_000;
/** Longer than signatures are good for (five minutes either way), so a copied request cannot outlive the memory. */
const REMEMBER_MS = 15 * 60_000;
const WEBHOOK_HEADERS = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const;

/**
 * What a web server does with a flexpush notification before it acts on it. It is not bound to any framework: give it
 * headers and body, and answer with what it says. Throws when a key cannot be read.
 */
export function createPushReceiver(options: PushReceiverOptions): PushReceiver {
  const webhooks = options.signingKeys.map((key) => new Webhook(key));
  const nowMs = options.nowMs ?? (() => performance.now());
  const repeats = new RepeatFilter({
    entriesMax: options.repeatsMax ?? REPEATS_MAX,
    rememberMs: REMEMBER_MS,
  });
  return {
    receive(headers, body) {
      const signed =
        webhooks.length === 0 ? { kind: 'good' as const, id: undefined } : verified(webhooks, headers, body);
      if (signed.kind !== 'good') return { kind: 'refused', status: 401, reason: signed.kind };
      const parsed = parsedJson(body.toString());
      if (parsed === undefined) return { kind: 'refused', status: 400, reason: 'not-json' };
      const push = parsePush(parsed.value);
      if (push === undefined) return { kind: 'refused', status: 400, reason: 'not-a-push' };
      // Last, so that only what is handed out counts as taken.
      if (signed.id !== undefined && !repeats.take(signed.id, nowMs()))
        return { kind: 'repeated', id: signed.id };
      return { kind: 'push', push, id: signed.id };
    },
    forget(id) {
      if (id !== undefined) repeats.forget(id);
    },
  };
}

function verified(
  webhooks: readonly Webhook[],
  headers: Headers,
  body: string | Buffer,
): { kind: 'good'; id: string } | { kind: 'not-signed' } | { kind: 'signature-wrong' } {
  const found: Record<string, string> = {};
  for (const name of WEBHOOK_HEADERS) {
    const value = headers[name];
    if (typeof value !== 'string' || value === '') return { kind: 'not-signed' };
    found[name] = value;
  }
  const id = found['webhook-id'] ?? '';
  // A dot would shift the border between id and time stamp in what is signed.
  if (id.includes('.')) return { kind: 'signature-wrong' };
  const isGood = webhooks.some((webhook) => verifies(webhook, found, body));
  return isGood ? { kind: 'good', id } : { kind: 'signature-wrong' };
}

function verifies(webhook: Webhook, headers: Record<string, string>, body: string | Buffer): boolean {
  try {
    webhook.verify(body.toString(), headers, { jsonParse: false });
    return true;
  } catch {
    // Which of the rules it broke helps only who tries them out.
    return false;
  }
}

function parsedJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    // The caller answers 400.
    return undefined;
  }
}
