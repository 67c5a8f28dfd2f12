import { z } from 'zod';

/**
 * Ids travel inside NATS subjects and Redis keys, so they are plain tokens: no dots, stars, blanks or braces.
 */
export const TOKEN_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

export const sessionIdSchema = z
  .string()
  .regex(TOKEN_PATTERN, 'must be 1-64 letters, digits, "_" or "-"')
  .brand<'SessionId'>();
export const userIdSchema = z
  .string()
  .regex(TOKEN_PATTERN, 'must be 1-64 letters, digits, "_" or "-"')
  .brand<'UserId'>();
export const nodeIdSchema = z
  .string()
  .regex(TOKEN_PATTERN, 'must be 1-64 letters, digits, "_" or "-"')
  .brand<'NodeId'>();
/** Who waits for a reply; a part of the reply's subject. */
export const callerIdSchema = z.string().regex(TOKEN_PATTERN, 'must be 1-64 letters, digits, "_" or "-"');
/** Any text; it is never part of a subject or key. */
export const recordIdSchema = z.string().min(1).max(128);

export type SessionId = z.infer<typeof sessionIdSchema>;
export type UserId = z.infer<typeof userIdSchema>;
export type NodeId = z.infer<typeof nodeIdSchema>;
export type ShardId = number & { readonly __shard: true };

const utf8 = new TextEncoder();
const FNV_BASIS = 0x811c9dc5;

/** 32-bit FNV-1a over the UTF-8 bytes; NATS's own `partition(N,1)` uses the same. */
export function fnv1a32(text: string): number {
  let hash = FNV_BASIS;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Ids are ASCII, where units are bytes already; every record is hashed, so the copy is worth saving.
    if (unit > 0x7f) return utf8.encode(text).reduce(stirred, FNV_BASIS) >>> 0;
    hash = stirred(hash, unit);
  }
  return hash >>> 0;
}

function stirred(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** The shard of a session. It must agree with the server's subject mapping (DESIGN section 4). */
export function shardOf(sessionId: string, shardCount: number): ShardId {
  return (fnv1a32(sessionId) % shardCount) as ShardId;
}
