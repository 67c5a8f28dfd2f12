import { AgeList, type Aged } from '@flexpush/contracts';
import {
  packedVersion,
  packSession,
  SESSION_VERSION,
  unpackSession,
  type PackedSession,
  type Session,
} from '@flexpush/session';

/** A session in memory, with what the runtime keeps beside it. */
export interface CachedSession {
  /** undefined: there is no such session. */
  session: Session | undefined;
  /** Where it is folded to; older records are skipped. */
  foldedTo: { seq: number; index: number };
  /** It came from a snapshot and is ahead of the shard: records up to `foldedTo` are in it already. */
  isAhead?: boolean | undefined;
  /** Association: user id -> GMS node id. Soft: it is never input to the fold. */
  nodes: Record<string, string>;
  /** JSON of the newest events, so that usual refreshes need no read. `tail[0]` is at position `tailFirst`. */
  tail: string[];
  tailFirst: number;
}

const TAIL_EVENTS_MAX = 8;
const NEWER_VERSIONS_MAX = 1_000;

/** A newer release wrote this session: this node must not fold the shard (DESIGN section 4). */
export class NewerStateError extends Error {
  readonly code = 'NEWER_STATE';
  readonly retryable = false;
  constructor(sessionId: string, version: unknown) {
    super(
      `session ${sessionId} has state version ${String(version)}, this node reads ${SESSION_VERSION}: update this node`,
    );
  }
}

/** What is stored of a shard is none of ours: it is dropped, and comes back from snapshots and log (I8). */
export class RubbishStateError extends Error {
  readonly code = 'RUBBISH_STATE';
  readonly retryable = true;
  /** `what` names the place and never shows what stands there (I10). */
  constructor(readonly what: string) {
    super(`stored state cannot be read: ${what}`);
  }
}

/** JSON, or a `RubbishStateError`. */
export function parseStored(what: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new RubbishStateError(what);
  }
}

interface Stored {
  q: [number, number];
  n?: Record<string, string>;
  /** 1: ahead of the shard. */
  a?: 1;
  s: PackedSession;
}

export function unknownSession(): CachedSession {
  return { session: undefined, foldedTo: { seq: 0, index: 0 }, nodes: {}, tail: [], tailFirst: 1 };
}

export function parseSession(sessionId: string, text: string | null): CachedSession {
  if (text === null) return unknownSession();
  const { stored, session } = readStored(sessionId, text);
  const [seq, index] = stored.q;
  return {
    session,
    foldedTo: { seq, index },
    isAhead: stored.a === 1,
    nodes: stored.n ?? {},
    tail: [],
    tailFirst: session.nextPosition,
  };
}

function readStored(sessionId: string, text: string): { stored: Stored; session: Session } {
  const what = `session ${sessionId}`;
  const stored = parseStored(what, text) as Partial<Stored> | null;
  const version = packedVersion(stored?.s);
  if (isNewer(version)) throw new NewerStateError(sessionId, version);
  const session = unpackSession(stored?.s, sessionId);
  if (!stored || !isPlace(stored.q) || !session) throw new RubbishStateError(what);
  if (stored.n !== undefined && !isTexts(stored.n)) throw new RubbishStateError(what);
  return { stored: stored as Stored, session };
}

/** Releases count up by one. What claims more than a few of them more is of none: it would stop the shard for ever. */
function isNewer(version: unknown): boolean {
  return (
    Number.isSafeInteger(version) &&
    (version as number) > SESSION_VERSION &&
    (version as number) <= SESSION_VERSION + NEWER_VERSIONS_MAX
  );
}

function isPlace(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && value.every((part) => Number.isFinite(part));
}

export function isTexts(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every((text) => typeof text === 'string');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** '' for a session that is gone. */
export function formatSession(cached: CachedSession): string {
  if (!cached.session) return '';
  const stored: Stored = { q: [cached.foldedTo.seq, cached.foldedTo.index], s: packSession(cached.session) };
  if (cached.isAhead) stored.a = 1;
  if (Object.keys(cached.nodes).length > 0) stored.n = cached.nodes;
  return JSON.stringify(stored);
}

export function pushTail(cached: CachedSession, position: number, json: string): void {
  if (cached.tail.length === 0) cached.tailFirst = position;
  cached.tail.push(json);
  if (cached.tail.length > TAIL_EVENTS_MAX) {
    cached.tail.shift();
    cached.tailFirst++;
  }
}

interface CacheEntry extends Aged<CacheEntry> {
  readonly sessionId: string;
  cached: CachedSession;
}

/** Sessions of one shard, the least recently used ones dropped first (I9). Dropping only costs a read. */
export class SessionCache {
  private readonly entries = new Map<string, CacheEntry>();
  private readonly byAge = new AgeList<CacheEntry>();

  constructor(private readonly sessionsMax: number) {}

  get(sessionId: string): CachedSession | undefined {
    const entry = this.entries.get(sessionId);
    if (!entry) return undefined;
    this.byAge.renew(entry);
    return entry.cached;
  }

  set(sessionId: string, cached: CachedSession): void {
    const known = this.entries.get(sessionId);
    if (known) {
      known.cached = cached;
      return;
    }
    const entry: CacheEntry = { sessionId, cached, older: undefined, newer: undefined };
    this.entries.set(sessionId, entry);
    this.byAge.append(entry);
  }

  has(sessionId: string): boolean {
    return this.entries.has(sessionId);
  }

  delete(sessionId: string): void {
    const entry = this.entries.get(sessionId);
    if (!entry) return;
    this.entries.delete(sessionId);
    this.byAge.remove(entry);
  }

  /** Called between batches, so that no session of a running batch disappears. */
  trim(): void {
    const { byAge, entries } = this;
    for (let it = byAge.oldest; it && entries.size > this.sessionsMax; it = byAge.oldest)
      this.delete(it.sessionId);
  }

  get size(): number {
    return this.entries.size;
  }
}
