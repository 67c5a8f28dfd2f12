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

/** 32-bit FNV-1a over the UTF-8 bytes; NATS's own `partition(N,1)` uses the same. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of utf8.encode(text)) {
    hash ^= byte;
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

/** The shard of a session. It must agree with the server's subject mapping (DESIGN section 4). */
export function shardOf(sessionId: string, shardCount: number): ShardId {
  return (fnv1a32(sessionId) % shardCount) as ShardId;
}
