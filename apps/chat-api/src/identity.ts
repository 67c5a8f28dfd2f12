import { createHash, createHmac, hash, randomFillSync, randomUUID } from 'node:crypto';
import type { SessionId, UserId } from '@flexpush/contracts';

/** What a new chat is known by. The secure key is the participant's secret (I10). */
export interface Identity {
  sessionId: SessionId;
  userId: UserId;
  secureKey: string;
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** Random or derived bytes that each id is made of. */
const ID_SOURCE_BYTES = 32;
const SESSION_ID_PREFIX = '00021';
const SESSION_ID_RANDOM_CHARS = 11;
const USER_ID_BYTES = 7;
const SECURE_KEY_BYTES = 10;

/** The shapes of CONTRACT 1.3 from ID_SOURCE_BYTES bytes per id; 16 of them make the bias of the modulo vanish. */
function identityFrom(bytes: (purpose: string) => Buffer): Identity {
  return {
    sessionId: `${SESSION_ID_PREFIX}${base62(bytes('session'))}` as SessionId,
    userId: `00${bytes('user').toString('hex', 0, USER_ID_BYTES).toUpperCase()}` as UserId,
    secureKey: bytes('secure-key').toString('hex', 0, SECURE_KEY_BYTES),
  };
}

function base62(bytes: Buffer): string {
  let rest = bytes.readBigUInt64BE(0) * 0x1_0000_0000_0000_0000n + bytes.readBigUInt64BE(8);
  let text = '';
  for (let i = 0; i < SESSION_ID_RANDOM_CHARS; i++) {
    text += BASE62[Number(rest % 62n)];
    rest /= 62n;
  }
  return text;
}

/** Random bytes of many identities at once: a call costs more than the bytes. Each is used once. */
const random = Buffer.alloc(3 * ID_SOURCE_BYTES * 64);
let randomTaken = random.length;

/** A fresh identity for a chat request without an Idempotency-Key. */
export function randomIdentity(): Identity {
  if (randomTaken === random.length) {
    randomFillSync(random);
    randomTaken = 0;
  }
  return identityFrom(() => random.subarray(randomTaken, (randomTaken += ID_SOURCE_BYTES)));
}

/**
 * The identity of a chat request with an Idempotency-Key: the same on every replica, so that a repeat writes the
 * identical record. Without the secret nobody can compute the secure key from the Idempotency-Key.
 */
export function derivedIdentity(secret: string, service: string, idempotencyKey: string): Identity {
  return identityFrom((purpose) => derive(secret, purpose, service, idempotencyKey));
}

/** The record id of a chat request with an Idempotency-Key. */
export function derivedCreateId(secret: string, service: string, idempotencyKey: string): string {
  return derive(secret, 'record', service, idempotencyKey).toString('base64url');
}

function derive(secret: string, ...parts: string[]): Buffer {
  // A NUL can be in none of the parts, so different parts never make the same text.
  return createHmac('sha256', secret)
    .update(`flexpush-identity\0${parts.join('\0')}`)
    .digest();
}

/** The SHA-256 of a secure key, in hex: all that requests carry of it (I10). */
export function keyHashOf(secureKey: string): string {
  return hash('sha256', secureKey, 'hex');
}

export function randomRecordId(): string {
  return randomUUID();
}

/**
 * The record id of an operation on a session with an Idempotency-Key. Replies are found by record id alone, so the id
 * must be the caller's own: participant, secret and operation go into it, and the same key from another participant,
 * or for another operation, is another record.
 */
export function derivedRequestId(request: {
  sessionId: string;
  userId: string;
  keyHash: string;
  operation: string;
  idempotencyKey: string;
}): string {
  const { sessionId, userId, keyHash, operation, idempotencyKey } = request;
  return createHash('sha256')
    .update([sessionId, userId, keyHash, operation, idempotencyKey].join('\0'))
    .digest('base64url');
}
