import {
  BOUNDS,
  foldValues,
  redact,
  sessionOptions,
  type ChatEvent,
  type LogRecord,
  type OptionValues,
  type RecordOf,
  type SessionOptions,
  type SessionRecord,
} from '@flexpush/contracts';
import {
  armedTimers,
  dueAtMsOf,
  needsTranscript,
  parseTimerMember,
  timerMember,
  transition,
  type Effect,
  type FoldInput,
  type Outcome,
  type Reply,
  type TimerName,
} from '@flexpush/session';
import type { Decoded } from './decode';
import type { Commit, DeadLetter, LogMessage } from './ports';
import { OutboxEntry, type Outbox } from './outbox';
import {
  formatSession,
  isTexts,
  parseStored,
  pushTail,
  RubbishStateError,
  SessionCache,
  type CachedSession,
} from './session-cache';

/** One record with its place and time. */
export interface PlacedRecord {
  seq: number;
  index: number;
  atMs: number;
  decoded: Decoded;
}

/** A reply that waits for its commit. */
export interface PendingReply {
  callerId: string;
  recordId: string;
  sessionId: string;
  reply: Reply;
  /** Time of the record, epoch ms. */
  atMs: number;
}

/** What a folded batch writes and, after its commit, lets out. */
export interface FoldedBatch {
  writes: Omit<Commit, 'expectedCheckpoint' | 'checkpoint'>;
  replies: PendingReply[];
  /** New outbox entries, in order. */
  notifications: OutboxEntry[];
  withdrawals: { entry: OutboxEntry; n: number }[];
  /** Entries that left the outbox because their results are folded, or for their bound. */
  settled: OutboxEntry[];
  dropped: OutboxEntry[];
  /** `byFold`: what the sessions were decided it; else the record could not be read at all. */
  letters: (Omit<DeadLetter, 'shard'> & { byFold: boolean })[];
  facts: Extract<Effect, { kind: 'tell' }>[];
  announcements: Extract<Effect, { kind: 'announce' }>[];
  /** Sessions that are gone, with their time of creation, epoch ms. */
  purged: { sessionId: string; createdAtMs: number }[];
  /** Where options changed, for a replay that begins behind it. */
  optionChanges: { seq: number; options: string }[];
  /** Records of the batch that were folded. */
  records: number;
}

/** A session that the batch changes: as it was before, and its new events. */
interface SessionChange {
  cached: CachedSession;
  before: CachedSession['session'];
  events: [number, string][];
}

interface Changes {
  sessions: Map<string, SessionChange>;
  /** Members that fired, each with its parts and its session, where the name can be read. */
  fired: Map<string, { name: TimerName; cached: CachedSession } | undefined>;
  outbox: Map<string, OutboxEntry | undefined>;
  options: boolean;
  snapshots: Map<string, number | undefined>;
}

/**
 * The state of one shard as its owner folds it: sessions, options, outbox.
 *
 * F1. Folding touches memory only. If the commit does not succeed, the whole object is dropped (I2, I3).
 * F2. A session skips records that are not newer than what it is folded to, so that a replay is harmless (I1, I8).
 * F3. Time is the record's and never runs backwards within the shard.
 * F4. Whatever a record touches is written as the fold now wants it: timers and outbox are set or removed, never counted.
 */
export class ShardFold {
  readonly sessions: SessionCache;
  private optionValues: OptionValues;
  private optionRevision: number;
  private readonly optionsByService = new Map<string, SessionOptions>();
  private lastAtMs = 0;
  /** Stretches of transcripts that records of the next batch need; new events join them. */
  private readonly transcripts = new Map<string, { first: number; events: string[] }>();
  /** Since when the options are surely the present ones, epoch ms. */
  private optionsSinceMs: number;

  constructor(
    readonly outbox: Outbox,
    stored: { options: string; atMs: number },
    sessionsMax: number,
    private readonly foldSession: typeof transition = transition,
  ) {
    this.sessions = new SessionCache(sessionsMax);
    const options = stored.options ? parseOptions(stored.options) : { revision: 0, values: {} };
    this.optionValues = options.values;
    this.optionRevision = options.revision;
    this.lastAtMs = stored.atMs;
    this.optionsSinceMs = stored.atMs;
  }

  /** The options that this shard folds with. */
  options(): { revision: number; values: OptionValues } {
    return { revision: this.optionRevision, values: this.optionValues };
  }

  /** Time of the fold, epoch ms (F3). */
  timeMs(): number {
    return this.lastAtMs;
  }

  /** The sessions that these records touch and that are not in memory yet. */
  missing(records: readonly PlacedRecord[]): string[] {
    const wanted = new Set<string>();
    for (const { decoded } of records) {
      if (decoded.kind !== 'record') continue;
      for (const sessionId of sessionsOf(decoded.record))
        if (!this.sessions.has(sessionId)) wanted.add(sessionId);
    }
    return [...wanted];
  }

  /** The transcripts that these records need, each from a position to its end. The sessions must be in memory. */
  wantedTranscripts(records: readonly PlacedRecord[]): { sessionId: string; first: number; last: number }[] {
    const wanted = new Map<string, number>();
    for (const { decoded } of records) {
      if (decoded.kind !== 'record') continue;
      const first = needsTranscript(decoded.record);
      if (first === undefined || !('sessionId' in decoded.record)) continue;
      const { sessionId } = decoded.record;
      wanted.set(sessionId, Math.min(first, wanted.get(sessionId) ?? Infinity));
    }
    return [...wanted].map(([sessionId, first]) => {
      const last = (this.sessions.get(sessionId)?.session?.nextPosition ?? 1) - 1;
      const earliest = last + 1 - BOUNDS.plainNotificationsPerSubscription;
      return { sessionId, first: Math.min(Math.max(first, earliest), last + 1), last };
    });
  }

  /** For the next batch. */
  takeTranscript(sessionId: string, stretch: { first: number; events: string[] }): void {
    this.transcripts.set(sessionId, stretch);
  }

  /** Folds records in order; every session they touch must be in memory. */
  fold(records: readonly PlacedRecord[], skips: ReadonlySet<string>): FoldedBatch {
    const batch: FoldedBatch = {
      writes: { options: '', sessions: [], timers: [], outbox: [], snapshots: [] },
      replies: [],
      notifications: [],
      withdrawals: [],
      settled: [],
      dropped: [],
      letters: [],
      facts: [],
      announcements: [],
      purged: [],
      optionChanges: [],
      records: 0,
    };
    const changes: Changes = {
      sessions: new Map(),
      fired: new Map(),
      outbox: new Map(),
      options: false,
      snapshots: new Map(),
    };
    for (const placed of records) {
      // A refused record moved the time when it was first met, so it does in a replay.
      this.lastAtMs = Math.max(this.lastAtMs, placed.atMs);
      if (skips.size > 0 && skips.has(`${placed.seq}.${placed.index}.${placed.atMs}`)) continue;
      const { decoded } = placed;
      if (decoded.kind === 'malformed') {
        const { reason, shown: record } = decoded;
        refuse(batch, placed, { reason, record, byFold: false });
      } else this.foldRecord(placed, decoded.record, { batch, changes });
      batch.records++;
    }
    this.transcripts.clear();
    this.collect(batch, changes);
    return batch;
  }

  private foldRecord(
    placed: PlacedRecord,
    record: LogRecord,
    into: { batch: FoldedBatch; changes: Changes },
  ): void {
    switch (record.type) {
      case 'probe':
        return;
      case 'options.changed':
        this.foldOptions(placed, record, into);
        return;
      case 'push.settled':
        this.foldSettled(record, into);
        return;
      case 'timers.fired':
        this.foldTimers(placed, record, into);
        return;
      default:
        this.foldSessionRecord(placed, record, into);
    }
  }

  private foldOptions(
    placed: PlacedRecord,
    record: RecordOf<'options.changed'>,
    { batch, changes }: { batch: FoldedBatch; changes: Changes },
  ): void {
    if (record.revision <= this.optionRevision) return;
    this.optionRevision = record.revision;
    this.optionValues = foldValues(record.values);
    this.optionsByService.clear();
    this.optionsSinceMs = this.lastAtMs;
    changes.options = true;
    batch.optionChanges.push({ seq: placed.seq, options: this.formatOptions() });
  }

  private foldSettled(
    record: RecordOf<'push.settled'>,
    { batch, changes }: { batch: FoldedBatch; changes: Changes },
  ): void {
    for (const [id] of record.results) {
      // Plain entries are keyed by their id, triggers by their subscription; a newer trigger is not meant.
      const entry = this.outbox.get(id) ?? this.outbox.get(id.slice(0, id.lastIndexOf(':')));
      if (!entry || entry.job.id !== id) continue;
      this.outbox.remove(entry.key);
      changes.outbox.set(entry.key, undefined);
      batch.settled.push(entry);
    }
  }

  /** For every timer of the record, ignored and unknown ones too, the commit writes what the fold now wants (DESIGN section 8). */
  private foldTimers(
    placed: PlacedRecord,
    record: RecordOf<'timers.fired'>,
    into: { batch: FoldedBatch; changes: Changes },
  ): void {
    record.timers.forEach(([member, scoreMs], i) => {
      const name = parseTimerMember(member);
      const cached = name && this.sessions.get(name.sessionId);
      into.changes.fired.set(member, cached && { name, cached });
      if (!cached) return;
      const input: FoldInput = { type: 'timer.fire', scoreMs, ...name };
      // Within one record the place of the timer counts as its index, so that each is folded once.
      this.apply({ ...placed, index: placed.index + i / (record.timers.length + 1) }, input, {
        sessionId: name.sessionId,
        cached,
        ...into,
      });
    });
  }

  private foldSessionRecord(
    placed: PlacedRecord,
    record: SessionRecord,
    into: { batch: FoldedBatch; changes: Changes },
  ): void {
    const cached = this.sessions.get(record.sessionId);
    if (!cached) throw new Error(`session ${record.sessionId} was not loaded`);
    const outcome = this.apply(placed, record, { sessionId: record.sessionId, cached, ...into });
    if (!outcome) return;
    if (outcome.refusal !== undefined)
      refuse(into.batch, placed, { reason: outcome.refusal, record: redact(record), byFold: true });
    if (outcome.reply && 'replyTo' in record && record.replyTo !== undefined) {
      into.batch.replies.push({
        callerId: record.replyTo,
        recordId: record.id,
        sessionId: record.sessionId,
        reply: outcome.reply,
        atMs: this.lastAtMs,
      });
    }
  }

  /** Folds one input into one session and notes what it changed; undefined when the session is past it (F2). */
  private apply(
    placed: { seq: number; index: number },
    input: FoldInput,
    into: { sessionId: string; cached: CachedSession; batch: FoldedBatch; changes: Changes },
  ): Outcome | undefined {
    const { cached, sessionId, changes } = into;
    if (!isNewer(placed, cached.foldedTo)) return undefined;
    cached.isAhead = false;
    const before = cached.session;
    const outcome = this.transition(before, input);
    cached.foldedTo = { seq: placed.seq, index: placed.index };
    if (outcome.session === before) return outcome;
    cached.session = outcome.session;
    let changed = changes.sessions.get(sessionId);
    if (!changed) changes.sessions.set(sessionId, (changed = { cached, before, events: [] }));
    if (before === undefined) changes.snapshots.set(sessionId, this.lastAtMs);
    if (before && outcome.session === undefined) {
      changes.snapshots.set(sessionId, undefined);
      into.batch.purged.push({ sessionId, createdAtMs: before.createdAtMs });
    }
    for (const effect of outcome.effects) this.applyEffect(effect, { events: changed.events, ...into });
    if (!outcome.session) forgetContent(cached, changed.events);
    return outcome;
  }

  /** Since when a message of one participant surely is pushed to the others, epoch ms; undefined: it is not. */
  pushesMessagesSinceMs(service: string): number | undefined {
    return this.optionsOf(service).filteredEvents.includes('message') ? undefined : this.optionsSinceMs;
  }

  private optionsOf(service: string): SessionOptions {
    let options = this.optionsByService.get(service);
    if (!options) {
      if (this.optionsByService.size > 1_000) this.optionsByService.clear();
      this.optionsByService.set(service, (options = sessionOptions(this.optionValues, service)));
    }
    return options;
  }

  /** A record that makes the fold throw is refused like a malformed one; it never stops the shard (DESIGN section 4). */
  private transition(session: CachedSession['session'], input: FoldInput): Outcome {
    const options = this.optionsOf(
      input.type === 'session.create' ? input.service : (session?.service ?? ''),
    );
    try {
      return this.foldSession(session, input, {
        atMs: this.lastAtMs,
        options,
        transcript: (first) => (session ? this.transcriptOf(session.sessionId, first) : []),
      });
    } catch (error) {
      return {
        session,
        effects: [],
        refusal: `fold-failed: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  private transcriptOf(sessionId: string, first: number): ChatEvent[] {
    const known = this.transcripts.get(sessionId);
    const events = known?.events.slice(Math.max(0, first - known.first)) ?? [];
    return events.map((json) => JSON.parse(json) as ChatEvent);
  }

  private applyEffect(
    effect: Effect,
    into: {
      sessionId: string;
      cached: CachedSession;
      batch: FoldedBatch;
      changes: Changes;
      events: [number, string][];
    },
  ): void {
    const { batch, changes } = into;
    switch (effect.kind) {
      case 'append': {
        const json = JSON.stringify(effect.event);
        into.events.push([effect.event.index, json]);
        pushTail(into.cached, effect.event.index, json);
        this.transcripts.get(into.sessionId)?.events.push(json);
        return;
      }
      case 'notify': {
        const entry = new OutboxEntry(effect.job);
        const dropped = this.outbox.add(entry);
        changes.outbox.set(entry.key, entry);
        for (const old of dropped) changes.outbox.set(old.key, undefined);
        batch.dropped.push(...dropped);
        return;
      }
      case 'withdraw': {
        const entry = this.outbox.remove(effect.subscription);
        if (!entry) return;
        changes.outbox.set(entry.key, undefined);
        batch.withdrawals.push({ entry, n: effect.n });
        return;
      }
      case 'tell':
        batch.facts.push(effect);
        return;
      case 'announce':
        batch.announcements.push(effect);
        return;
      default:
        effect satisfies never;
    }
  }

  private formatOptions(): string {
    return JSON.stringify({ revision: this.optionRevision, values: this.optionValues });
  }

  private collect(batch: FoldedBatch, changes: Changes): void {
    const { writes } = batch;
    if (changes.options) writes.options = this.formatOptions();
    const timers = new Map<string, number | undefined>();
    for (const [member, fired] of changes.fired) {
      const session = fired?.cached.session;
      timers.set(member, session && dueAtMsOf(armedTimers(session), fired.name));
    }
    for (const [sessionId, { cached, before, events }] of changes.sessions) {
      writes.sessions.push({ sessionId, state: formatSession(cached), events });
      noteTimers(timers, sessionId, { before, after: cached.session });
    }
    writes.timers = [...timers];
    // A notification that a later record of the same batch replaced or withdrew never leaves.
    for (const [key, entry] of changes.outbox) {
      writes.outbox.push([key, entry?.json]);
      if (entry) batch.notifications.push(entry);
    }
    writes.snapshots = [...changes.snapshots];
  }
}

function parseOptions(text: string): { revision: number; values: OptionValues } {
  const stored = parseStored('options', text) as { revision?: unknown; values?: unknown } | null;
  const { revision, values } = stored ?? {};
  if (!Number.isSafeInteger(revision) || !isTexts(values)) throw new RubbishStateError('options');
  return { revision: revision as number, values };
}

/** A session is gone: nothing of it may show up in another one of the same id. */
function forgetContent(cached: CachedSession, events: [number, string][]): void {
  events.length = 0;
  cached.tail = [];
  cached.nodes = {};
}

function sessionsOf(record: LogRecord): string[] {
  if ('sessionId' in record) return [record.sessionId];
  if (record.type !== 'timers.fired') return [];
  return record.timers.flatMap(([member]) => parseTimerMember(member)?.sessionId ?? []);
}

function isNewer(at: { seq: number; index: number }, foldedTo: { seq: number; index: number }): boolean {
  return at.seq > foldedTo.seq || (at.seq === foldedTo.seq && at.index > foldedTo.index);
}

/** Timers are a function of the state: what differs between before and after is written. */
function noteTimers(
  timers: Map<string, number | undefined>,
  sessionId: string,
  { before, after }: { before: CachedSession['session']; after: CachedSession['session'] },
): void {
  const old = before ? armedTimers(before) : [];
  const wanted = after ? armedTimers(after) : [];
  for (const timer of wanted)
    if (dueAtMsOf(old, timer) !== timer.dueAtMs)
      timers.set(timerMember({ sessionId, ...timer }), timer.dueAtMs);
  for (const timer of old)
    if (dueAtMsOf(wanted, timer) === undefined) timers.set(timerMember({ sessionId, ...timer }), undefined);
}

function refuse(
  batch: FoldedBatch,
  { seq, index, atMs }: PlacedRecord,
  why: Pick<FoldedBatch['letters'][number], 'reason' | 'record' | 'byFold'>,
): void {
  batch.letters.push({ seq, index, atMs, ...why });
}

/** The decoded records of one message, with their place and time. */
export function placeRecord(message: LogMessage, decoded: readonly Decoded[]): PlacedRecord[] {
  const { seq, atMs } = message;
  return decoded.map((one) => ({ seq, index: one.index, atMs, decoded: one }));
}
