import { chatEventSchema } from '@flexpush/contracts';
import type { PendingReply } from './shard-fold';
import type { ShardStore } from './ports';
import { parseStored, RubbishStateError, type SessionCache } from './session-cache';

/** A part of a reply stays below the server's default max_payload. */
const PART_CHARS_MAX = 200_000;
/** Replies to one caller that travel in one message. */
const REPLIES_PER_MESSAGE = 100;

/** Events of a page that is no usual one: such replies are rendered and sent a few at a time, for each may have megabytes. */
const LARGE_PAGE_EVENTS = 9;
const LARGE_AT_ONCE = 16;

/** Replies that are rendered together: the usual ones all at once, those with large pages in portions. */
export function portionsOf(replies: readonly PendingReply[]): PendingReply[][] {
  const isLarge = ({ reply: { page } }: PendingReply) =>
    page !== undefined && page.last - page.first + 1 >= LARGE_PAGE_EVENTS;
  const usual = replies.filter((reply) => !isLarge(reply));
  const large = replies.filter(isLarge);
  const portions = usual.length > 0 ? [usual] : [];
  for (let at = 0; at < large.length; at += LARGE_AT_ONCE) portions.push(large.slice(at, at + LARGE_AT_ONCE));
  return portions;
}

/**
 * The payloads for the callers of a portion of a committed batch's replies. Events are taken from memory where they are
 * new, else read; they are JSON already and are not parsed again.
 */
export async function renderReplies(
  replies: readonly PendingReply[],
  source: { shard: number; alias: string; sessions: SessionCache; store: ShardStore },
): Promise<{ callerId: string; payload: string }[]> {
  // Who repeats a call that takes long asks for the same page: it is read once.
  const pages = new Map<string, Promise<string[]>>();
  const eventsFor = (reply: PendingReply): Promise<string[]> => {
    const key = `${reply.sessionId}:${reply.reply.page?.first}-${reply.reply.page?.last}`;
    const page = pages.get(key) ?? eventsOf(reply, source);
    pages.set(key, page);
    return page;
  };
  const rendered = await Promise.all(
    replies.map(async (reply) => ({
      reply,
      parts: renderParts(reply, source.alias, await eventsFor(reply)),
    })),
  );
  const byCaller = new Map<string, string[]>();
  for (const { reply, parts } of rendered) {
    const known = byCaller.get(reply.callerId);
    if (known) known.push(...parts);
    else byCaller.set(reply.callerId, parts);
  }
  return [...byCaller].flatMap(([callerId, parts]) =>
    packs(parts).map((pack) => ({ callerId, payload: `{"v":1,"replies":[${pack.join(',')}]}` })),
  );
}

async function eventsOf(
  pending: PendingReply,
  source: { shard: number; sessions: SessionCache; store: ShardStore },
): Promise<string[]> {
  const { page } = pending.reply;
  if (!page || page.last < page.first) return [];
  const cached = source.sessions.get(pending.sessionId);
  if (
    cached &&
    cached.tail.length > 0 &&
    page.first >= cached.tailFirst &&
    page.last < cached.tailFirst + cached.tail.length
  ) {
    return cached.tail.slice(page.first - cached.tailFirst, page.last - cached.tailFirst + 1);
  }
  const stored = await source.store.loadTranscript(source.shard, pending.sessionId, page);
  return wholeTranscript(pending.sessionId, stored, page.first);
}

/** The events from position `first` on. A missing or broken one would spoil every reply of its message for its callers. */
export function wholeTranscript(
  sessionId: string,
  stored: readonly (string | null)[],
  first: number,
): string[] {
  const what = `transcript of ${sessionId}`;
  return stored.map((json, i) => {
    const event = json === null ? undefined : chatEventSchema.safeParse(parseStored(what, json));
    if (json === null || event?.data?.index !== first + i) throw new RubbishStateError(what);
    return json;
  });
}

function renderParts(pending: PendingReply, alias: string, events: readonly string[]): string[] {
  const { page: _page, ...reply } = pending.reply;
  const head = `{"id":${JSON.stringify(pending.recordId)},"alias":${JSON.stringify(alias)},"reply":${JSON.stringify(reply)},"messages":[`;
  const parts: string[] = [];
  let start = 0;
  let chars = 0;
  events.forEach((json, i) => {
    if (chars > 0 && chars + json.length > PART_CHARS_MAX) {
      parts.push(`${head}${events.slice(start, i).join(',')}],"more":true}`);
      start = i;
      chars = 0;
    }
    chars += json.length;
  });
  parts.push(`${head}${events.slice(start).join(',')}],"more":false}`);
  return parts;
}

/** Small replies travel together, large parts alone. */
function packs(parts: readonly string[]): string[][] {
  const result: string[][] = [];
  let chars = 0;
  for (const part of parts) {
    const last = result.at(-1);
    if (last && last.length < REPLIES_PER_MESSAGE && chars + part.length <= PART_CHARS_MAX) last.push(part);
    else {
      result.push([part]);
      chars = 0;
    }
    chars += part.length;
  }
  return result;
}
