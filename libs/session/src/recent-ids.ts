import { BOUNDS } from '@flexpush/contracts';
import type { RecentIds } from './session';

const GENERATION_MS = 300_000;
/** 54 bits, six to a character. */
const WIDTH = 9;
const DIGITS = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');

/** A 54-bit hash (two mixed 32-bit lanes, 27 bits of each), as text of fixed width. */
function hash(id: string): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x9e3779b1);
    b = Math.imul(b ^ unit, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return String.fromCharCode(
    digit(a, 0),
    digit(a, 6),
    digit(a, 12),
    digit(a, 18),
    // The last three bits of each lane share one.
    DIGITS[((a >>> 24) & 7) | (((b >>> 24) & 7) << 3)] as number,
    digit(b, 18),
    digit(b, 12),
    digit(b, 6),
    digit(b, 0),
  );
}

function digit(lane: number, shift: number): number {
  return DIGITS[(lane >>> shift) & 63] as number;
}

function holds(generation: string, hashed: string): boolean {
  for (let at = generation.indexOf(hashed); at >= 0; at = generation.indexOf(hashed, at + 1)) {
    if (at % WIDTH === 0) return true;
  }
  return false;
}

/**
 * Notes a record id. Returns undefined when it is known already. Ids are remembered for at least five minutes, unless
 * more than the bound came in that time; then the oldest are forgotten (I9).
 */
export function noteId(recent: RecentIds, id: string, atMs: number): RecentIds | undefined {
  const hashed = hash(id);
  if (holds(recent.now, hashed) || holds(recent.before, hashed)) return undefined;
  if (atMs - recent.sinceMs >= GENERATION_MS) {
    const before = atMs - recent.sinceMs >= 2 * GENERATION_MS ? '' : recent.now;
    return { sinceMs: atMs, now: hashed, before };
  }
  const now = recent.now + hashed;
  const lengthMax = BOUNDS.recentIdsPerGeneration * WIDTH;
  return now.length <= lengthMax ? { ...recent, now } : { ...recent, now: hashed, before: recent.now };
}
