import { createHash } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

const ID_CHARS = 22;

/** Signs bodies by Standard Webhooks, with each of the keys. */
export interface WebhookSigner {
  /** `webhook-id`, `webhook-timestamp` and `webhook-signature`, names and values in turn. */
  sign(notificationId: string, body: string, atMs: number): string[];
}

/** Undefined: one of the keys cannot be read. */
export function webhookSigner(keys: readonly string[]): WebhookSigner | undefined {
  const webhooks = keys.map(webhookOf);
  if (webhooks.some((webhook) => webhook === undefined)) return undefined;
  return {
    sign(notificationId, body, atMs) {
      const id = webhookId(notificationId);
      const at = new Date(atMs);
      const signatures = webhooks.map((webhook) => webhook?.sign(id, at, body)).join(' ');
      return [
        'webhook-id',
        id,
        'webhook-timestamp',
        String(Math.floor(atMs / 1000)),
        'webhook-signature',
        signatures,
      ];
    },
  };
}

/**
 * The same for the same notification, however often it is dispatched. A digest, because notification ids hold session
 * and user, which a receiver gets only where `flex-push-content` says so (I10).
 */
export function webhookId(notificationId: string): string {
  return `msg_${createHash('sha256').update(notificationId).digest('base64url').slice(0, ID_CHARS)}`;
}

function webhookOf(key: string): Webhook | undefined {
  try {
    return new Webhook(key);
  } catch {
    // The library's words may show the key; the option's check says what it must be.
    return undefined;
  }
}
