import { BOUNDS } from '@flexpush/contracts';
import type { RecentIds } from './session';

const GENERATION_MS = 300_000;
/** 53 bits in base 36. */
const WIDTH = 11;

/** A 53-bit hash (two mixed 32-bit lanes), as text of fixed width. */
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
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36).padStart(WIDTH, '0');
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
