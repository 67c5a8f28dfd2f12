import type { OptionValues } from '@flexpush/contracts';
import type { transition } from '@flexpush/session';
import { formatCheckpoint, parseCheckpoint, type Checkpoint } from './checkpoint';
import { decode } from './decode';
import type { Dispatcher } from './dispatcher';
import type { PlaceInLog } from './log-comparison';
import { Outbox, type OutboxEntry } from './outbox';
import type {
  Clock,
  DeadLetters,
  Log,
  LogMessage,
  LogReader,
  LogState,
  Meter,
  ReplyTransport,
  OptionHistory,
  ShardLog,
  ShardStore,
  Snapshots,
} from './ports';
import type { BatchWaves } from './batch-waves';
import type { RebuildTurns } from './rebuild-turns';
import { portionsOf, renderReplies, wholeTranscript } from './replies';
import { parseSession, RubbishStateError } from './session-cache';
import { auditSessions, type AuditFindings } from './shard-audit';
import { adoptLog, dropState, isRubbish, restoreShard, takeSnapshots, withChanges } from './snapshots';
import { placeRecord, ShardFold, type FoldedBatch, type PlacedRecord } from './shard-fold';

export interface ShardActorDeps {
  log: ShardLog;
  store: ShardStore;
  snapshots: Snapshots;
  letters: DeadLetters;
  replies: ReplyTransport;
  dispatcher: Dispatcher;
  rebuilds: RebuildTurns;
  waves: BatchWaves;
  clock: Clock;
  logger: Log;
  meter: Meter;
  /** The fold of a session; only the simulator gives another one, to see that its checker finds what that breaks. */
  foldSession?: typeof transition;
}

export interface ShardSettings {
  shardCount: number;
  /** The Chat Server application DBID of this node; the REST alias (CONTRACT 6 #30). */
  alias: string;
  nodeId: string;
  recordsPerBatch: number;
  /** Log messages that wait in memory for one shard. */
  messagesQueuedMax: number;
  sessionsCachedMax: number;
  /** During catch-up only callers that may still wait are answered. */
  replyAgeMaxMs: number;
}

type StoredShard = Awaited<ReturnType<ShardStore['loadShard']>>;

/** Why an actor ended: asked to, or because shard or log are not as we thought; the owner decides what follows. */
export type ActorEnd = 'stopped' | 'conflict' | 'log-differs' | 'failed';

const COMMIT_RETRY_MS = 200;
const COMMIT_TRIES_MAX = 5;
/** Log content in one batch; a single message may be as large as the log lets it. */
const BATCH_BYTES_MAX = 1_048_576;
const LETTERS_AT_ONCE = 64;
/** How often a shard looks for sessions that the log will soon not hold any more, and how many it takes then. */
const SNAPSHOT_LOOK_MS = 10_000;
const SNAPSHOTS_PER_LOOK = 50;
const ENTRIES_AT_ONCE = 256;
/** Sessions in one look of the audit, and outbox entries. */
const AUDIT_SESSIONS = 50;
const AUDIT_ENTRIES = 1_000;
/** In one line of the log. */
const TIMERS_NAMED_MAX = 5;
/** An entry whose result is in the log already is known to nobody until that record is folded. */
const UNSENT_AFTER_MS = 10_000;
/** A catch-up that does not commit tells how far it is at most so often. */
const STEP_TOLD_MS = 500;
/** Messages of all shards that a shard may have to go through without waiting for its turn (S10). */
const UNTURNED_MAX = 10_000;
/** What the log may have lost in a power cut is looked for from so long before the checkpoint (DESIGN section 5). */
const TRUNCATED_BACK_MS = 10_000;

/**
 * Runs the actors of one owned shard: read a batch, load, fold, commit, let out.
 *
 * S1. Nothing of a batch leaves before its commit is saved (I2).
 * S2. Commits of the shard follow one another, each on the checkpoint of the one before (I3).
 * S3. Up to the barrier (the log's end when the shard was acquired) nothing is dispatched and only young records are
 *     answered; behind it the outbox, as folded by then, is dispatched. So a trigger that was confirmed later in the
 *     log never goes out again (I5).
 * S4. While unsettled notifications stand at their bound, no further batch is read (I9).
 * S5. A batch is bounded by messages, records and bytes; what was read beyond that waits for the next one (I9).
 * S6. No stored session is newer than the checkpoint, unless a restore put it ahead and marked it so. One that seems to be was folded from a log that has lost its end
 *     or was recreated since; its place in the log means nothing any more, and its new records must not be skipped.
 * S7. A snapshot of a session is what one commit has left, and is taken before half of the log's age has passed over
 *     its creation or its last snapshot, so that log and snapshots together always hold the whole session (I8).
 * S8. Stored state that cannot be read is dropped with all of its shard, loudly, and restored from snapshots and log
 *     (I8); state of a newer release is left alone.
 * S9. An abandoned actor lets nothing out any more, whatever it was waiting for: another one runs the shard by then.
 * S10. A shard that reads a long log from its beginning waits for its turn, and notes its barrier then.
 */
export class ShardActor {
  private fold!: ShardFold;
  private checkpoint = '';
  private createdAt = '';
  private nextSeq = 1;
  /** Time of the record before it; undefined when that was not read here. */
  private placeAtMs: number | undefined;
  private logDiffers = false;
  private barrierSeq = 0;
  private caughtUp = false;
  private skips: ReadonlySet<string> = new Set();
  private reader: LogReader | undefined;
  private stopping = false;
  private batchCount = 0;
  private lastProgressAtMs: number;
  /** Messages that were read and did not fit into the last batch (S5). */
  private carried: LogMessage[] = [];
  private busy = false;
  /** Older records were folded before the log lost its end; they are passed over. */
  private resumeAtMs = 0;
  private loop: Promise<ActorEnd> | undefined;
  private onCaughtUp: (() => void) | undefined;
  private optionHistory: OptionHistory | undefined;
  private knowsOptionHistory = false;
  /** Records leave the log at this age. */
  private logAgeMaxMs: number | undefined;
  private wantsSnapshots = false;
  /** When the stream of snapshots was made; sessions that are older were written into it. */
  private snapshotsSinceMs = 0;
  private cancelLook: (() => void) | undefined;
  private abandoned = false;
  /** Steps of a catch-up that do not show in the checkpoint. */
  private steps = 0;
  private stepToldAtMs = Number.NEGATIVE_INFINITY;
  private stepTold: Promise<void> = Promise.resolve();
  private tellAudit: ((findings: AuditFindings | undefined) => void) | undefined;
  private auditCursor = '';
  private entryCursor: Iterator<OutboxEntry> | undefined;
  /** Outbox entries that nobody was sending, by notification id, and since when; monotonic ms. */
  private unsentSinceMs = new Map<string, number>();

  constructor(
    readonly shard: number,
    readonly term: number,
    private readonly deps: ShardActorDeps,
    private readonly settings: ShardSettings,
  ) {
    this.lastProgressAtMs = deps.clock.monotonicMs();
  }

  /** Starts the loop; the promise tells how it ended and never rejects. */
  run(onCaughtUp?: () => void): Promise<ActorEnd> {
    this.onCaughtUp ??= onCaughtUp;
    this.loop ??= this.runLoop().catch(async (error: unknown) => {
      this.deps.logger.error({ shard: this.shard, err: error }, 'shard.failed');
      this.close();
      if (error instanceof RubbishStateError) await this.dropState(error.what);
      return 'failed' as const;
    });
    return this.loop;
  }

  /** S8: the next acquisition restores the shard. Never rejects: it is then tried again by that acquisition. */
  private async dropState(what: string): Promise<void> {
    const { shard } = this;
    const { store, logger, meter } = this.deps;
    try {
      const { checkpoint, outbox } = await store.loadShard(shard);
      // Another owner has gone on; what it left is its own.
      if (checkpoint !== this.checkpoint) return;
      const batchIdPrefix = `${this.settings.nodeId}.${this.term}`;
      const outboxKeys = Object.keys(outbox);
      const sessions = await dropState(store, shard, { checkpoint, outboxKeys, batchIdPrefix });
      meter.count('statesDropped');
      logger.error({ shard, what, sessions, outbox: outboxKeys.length }, 'state.rubbish-dropped');
    } catch (error) {
      logger.error({ shard, what, err: error }, 'state.not-dropped');
    }
  }

  /** Stops reading, finishes the batch in hand, and resolves when nothing of this shard is under way. */
  async stop(): Promise<ActorEnd> {
    this.stopping = true;
    this.deps.rebuilds.giveBack(this);
    this.reader?.nudge();
    this.deps.dispatcher.nudge(this.shard);
    return this.run();
  }

  /** S9: nobody waits for it any more. */
  abandon(): void {
    this.abandoned = true;
    this.stopping = true;
    this.close();
  }

  /**
   * Looks at some of the shard's stored sessions and outbox entries before the next batch, and puts back what is missing.
   * One look at a time; it tells what it found, or undefined when it could not look.
   */
  audit(): Promise<AuditFindings | undefined> {
    if (!this.caughtUp || this.stopping || this.tellAudit) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.tellAudit = resolve;
      this.reader?.nudge();
    });
  }

  /** The folded options, or undefined before the shard is caught up. */
  foldedOptions(): { revision: number; values: OptionValues } | undefined {
    return this.caughtUp ? this.fold.options() : undefined;
  }

  isCaughtUp(): boolean {
    return this.caughtUp;
  }

  /** The checkpoint as this owner last saw it. */
  lastCheckpoint(): string {
    return this.checkpoint;
  }

  /**
   * Where this owner reads: the log, and the last sequence that is folded. undefined before the shard is caught up.
   * Unlike the checkpoint it is of the present log, also when no record has come since that log lost something.
   */
  place(): PlaceInLog | undefined {
    const { shard, createdAt, nextSeq, placeAtMs } = this;
    return this.caughtUp ? { shard, createdAt, seq: nextSeq - 1, atMs: placeAtMs } : undefined;
  }

  /** True when records wait but none has been committed for longer than `limitMs` (DESIGN section 10). */
  isStuck(limitMs: number): boolean {
    const waits = this.busy || this.waiting() > 0 || !this.caughtUp;
    return waits && this.deps.clock.monotonicMs() - this.lastProgressAtMs > limitMs;
  }

  status(): {
    shard: number;
    term: number;
    caughtUp: boolean;
    seq: number;
    waiting: number;
    sessions: number;
    outbox: number;
  } {
    return {
      shard: this.shard,
      term: this.term,
      caughtUp: this.caughtUp,
      seq: this.nextSeq - 1,
      waiting: this.waiting(),
      sessions: this.fold?.sessions.size ?? 0,
      outbox: this.fold?.outbox.size ?? 0,
    };
  }

  private close(): void {
    this.deps.waves.leave(this);
    this.tellAudit?.(undefined);
    this.tellAudit = undefined;
    this.cancelLook?.();
    this.deps.rebuilds.giveBack(this);
    this.reader?.close();
    this.deps.dispatcher.dropShard(this.shard, this.term);
  }

  private waiting(): number {
    return this.carried.length + (this.reader?.waiting() ?? 0);
  }

  private async runLoop(): Promise<ActorEnd> {
    await this.acquire();
    let end: ActorEnd = 'stopped';
    while (!this.stopping) {
      if (!this.caughtUp && this.nextSeq > this.barrierSeq) await this.passBarrier();
      // A stop that came meanwhile has found nobody to nudge.
      if (this.stopping) break;
      await this.deps.dispatcher.room(this.shard);
      if (this.stopping) break;
      if (this.wantsSnapshots) await this.keepSnapshots();
      if (this.tellAudit && (await this.auditSome()) === 'conflict') {
        end = 'conflict';
        break;
      }
      if (this.stopping) break;
      const messages = await this.nextMessages();
      if (this.logDiffers) {
        end = 'log-differs';
        break;
      }
      if (messages.length === 0) continue;
      await this.deps.dispatcher.turn(this.shard);
      if (this.caughtUp) await this.joinWave(messages);
      if (this.stopping) break;
      end = await this.foldBatch(messages);
      this.deps.waves.leave(this);
      this.deps.dispatcher.endTurn(this.shard);
      this.busy = false;
      if (end !== 'stopped') break;
    }
    this.close();
    return end;
  }

  private async nextMessages(): Promise<LogMessage[]> {
    if (this.carried.length > 0) return this.carried.splice(0);
    const wasIdle = this.waiting() === 0;
    const messages = await (this.reader as LogReader).next(this.settings.recordsPerBatch);
    // Time in which nothing came is not time without progress.
    if (wasIdle) this.lastProgressAtMs = this.deps.clock.monotonicMs();
    return messages;
  }

  /** What came in while it waited for its wave joins the batch. */
  private async joinWave(messages: LogMessage[]): Promise<void> {
    const reader = this.reader as LogReader;
    const room = this.settings.recordsPerBatch - messages.length;
    await this.deps.waves.enter(this, { isFull: reader.waiting() >= room });
    if (!this.stopping && room > 0 && reader.waiting() > 0) messages.push(...(await reader.next(room)));
  }

  /** Loads what is committed, notes the barrier, and opens the reader behind the checkpoint. */
  private async acquire(): Promise<void> {
    const { log, store, logger, letters, dispatcher } = this.deps;
    const [state, lastSeq, asFound] = await Promise.all([
      log.state(),
      log.lastSeqOf(this.shard),
      store.loadShard(this.shard),
      store.hold(this.shard, true),
    ]);
    this.createdAt = state.createdAt;
    this.logAgeMaxMs = state.ageMaxMs;
    this.barrierSeq = lastSeq;
    const stored = await this.restore(asFound, state);
    const from = parseCheckpoint(stored.checkpoint);
    // Committed since we asked, by an owner that is on its way out; else the log has lost its end.
    if (from && from.seq > this.barrierSeq) this.barrierSeq = await log.lastSeqOf(this.shard);
    // S9: an actor of a later term may have added its shard to the dispatcher.
    if (this.stopping) return;
    this.checkpoint = stored.checkpoint;
    this.fold = new ShardFold(
      Outbox.parse(stored.outbox),
      { options: stored.options, atMs: from?.foldTimeMs ?? 0 },
      this.settings.sessionsCachedMax,
      this.deps.foldSession,
    );
    dispatcher.addShard(this.shard, this.term, (subscription, nodeId) =>
      this.associate(subscription, nodeId),
    );
    await this.openReader(from, state);
    // Only a catch-up can meet records that were refused before.
    if (this.barrierSeq >= this.nextSeq) this.skips = await letters.skips(this.shard);
    logger.debug(
      { shard: this.shard, term: this.term, fromSeq: this.nextSeq, barrierSeq: this.barrierSeq },
      'shard.acquired',
    );
  }

  /** What is stored, completed by snapshots where the log alone does not bring it back (DESIGN sections 5 and 6). */
  private async restore(stored: StoredShard, state: LogState): Promise<StoredShard> {
    const { shard } = this;
    const { store, snapshots, logger, meter } = this.deps;
    this.checkpoint = stored.checkpoint;
    if (await isRubbish(store, shard, stored.checkpoint)) throw new RubbishStateError('checkpoint');
    const from = parseCheckpoint(stored.checkpoint);
    const batchIdPrefix = `${this.settings.nodeId}.${this.term}`;
    const onUnreadable = (sessionId: string, error: RubbishStateError) => {
      meter.count('snapshotsUnreadable');
      logger.error({ shard, sessionId, what: error.what }, 'snapshot.unreadable');
    };
    if (from && from.createdAt !== state.createdAt) {
      const outbox = Outbox.parse(stored.outbox).all();
      const sessions = await adoptLog({ store, snapshots, onUnreadable }, shard, {
        stored: { ...stored, outbox },
        log: state,
        batchIdPrefix,
        nowMs: this.deps.clock.nowMs(),
        onStep: () => this.tellStep(),
      });
      logger.error({ shard, was: from.createdAt, is: state.createdAt, sessions }, 'log.recreated');
      return store.loadShard(shard);
    }
    // The checkpoint's own record may be gone without any loss: it is folded.
    if (from && from.seq + 1 >= state.firstSeq) return stored;
    if (from && state.lastSeq < from.seq) return stored;
    const restored = await restoreShard({ store, snapshots, onUnreadable }, shard, {
      checkpoint: stored.checkpoint,
      log: state,
      lastSeqOfShard: this.barrierSeq,
      batchIdPrefix,
      onStep: () => this.tellStep(),
    });
    if (from)
      logger.warn(
        { shard, checkpointSeq: from.seq, firstSeq: state.firstSeq, restored },
        'log.expired-behind-checkpoint',
      );
    if (restored > 0) {
      meter.count('snapshotsRestored', restored);
      logger.warn({ shard, sessions: restored }, 'shard.restored-from-snapshots');
    }
    return store.loadShard(shard);
  }

  /** Finds the place behind the checkpoint, in a log that may have lost something. */
  private async openReader(from: Checkpoint | undefined, state: LogState): Promise<void> {
    const { shard } = this;
    const { logger } = this.deps;
    if (!from || from.seq === 0) return this.readAnew(1);
    if (from.seq < state.firstSeq) return this.readAnew(from.seq + 1);
    if (await this.readsOn(from)) return;
    logger.error({ shard, checkpointSeq: from.seq, lastSeq: state.lastSeq }, 'log.truncated');
    this.resumeAtMs = from.atMs - TRUNCATED_BACK_MS;
    this.reader?.close();
    await this.readAnew(1);
  }

  /** False when the record of the checkpoint is not in the log, or is another one by now. */
  private async readsOn(from: Checkpoint): Promise<boolean> {
    if (this.barrierSeq < from.seq) return false;
    await this.read(from.seq);
    const [first] = await (this.reader as LogReader).next(1);
    this.nextSeq = from.seq + 1;
    this.placeAtMs = first?.atMs;
    // Empty only when the actor is being stopped.
    return first === undefined || (first.seq === from.seq && first.atMs === from.atMs);
  }

  /** S10. Who waits is seen to move: whether those whose turn it is do is seen from themselves. */
  private async readAnew(fromSeq: number): Promise<void> {
    const { rebuilds, clock, log } = this.deps;
    if (this.barrierSeq - fromSeq >= UNTURNED_MAX) {
      let cancelStep: () => void = () => undefined;
      const step = (): void => {
        this.lastProgressAtMs = clock.monotonicMs();
        this.tellStep();
        cancelStep = clock.after(STEP_TOLD_MS, step);
      };
      step();
      await rebuilds.take(this);
      cancelStep();
      this.barrierSeq = await log.lastSeqOf(this.shard);
    }
    await this.read(fromSeq);
  }

  private async read(fromSeq: number): Promise<void> {
    this.nextSeq = fromSeq;
    this.placeAtMs = undefined;
    this.reader = await this.deps.log.read({
      shard: this.shard,
      fromSeq,
      queueMax: this.settings.messagesQueuedMax,
      onEvent: (event, detail) => {
        if (event === 'differs') this.logDiffers = true;
        this.deps.logger[event === 'opened' ? 'debug' : 'warn'](
          { shard: this.shard, event, detail },
          'log.reader',
        );
      },
    });
    // A stop while it was opened has found no reader to nudge.
    if (this.stopping) this.reader.nudge();
  }

  /** S3: from here on the shard dispatches, what it found in the outbox first. */
  private async passBarrier(): Promise<void> {
    const entries = this.fold.outbox.all();
    this.caughtUp = true;
    this.deps.rebuilds.giveBack(this);
    this.skips = new Set();
    this.lastProgressAtMs = this.deps.clock.monotonicMs();
    this.deps.dispatcher.open(this.shard);
    for (let at = 0; at < entries.length && !this.stopping; at += ENTRIES_AT_ONCE) {
      const some = entries.slice(at, at + ENTRIES_AT_ONCE);
      await this.loadSessions(some.map(({ job }) => job.sessionId));
      for (const entry of some)
        this.deps.dispatcher.put(this.shard, entry, this.nodeOf(entry.job.sessionId, entry.job.userId));
      this.fold.sessions.trim();
      this.tellStep();
    }
    // A step that comes in behind the end of the hold would be a hold again.
    await this.stepTold;
    if (this.stopping) return;
    await this.deps.store.hold(this.shard, false);
    this.onCaughtUp?.();
    this.lookForSnapshots();
    this.deps.logger.debug(
      { shard: this.shard, term: this.term, seq: this.nextSeq - 1, outbox: entries.length },
      'shard.caught-up',
    );
  }

  private async foldBatch(read: LogMessage[]): Promise<ActorEnd> {
    const { settings } = this;
    this.busy = true;
    const { messages, records } = this.takeBatch(read);
    const last = messages[messages.length - 1] as LogMessage;
    if (last.atMs < this.resumeAtMs) {
      // Folded before. It is passed without a commit, so that another owner finds the same place again.
      this.nextSeq = last.seq + 1;
      this.placeAtMs = last.atMs;
      this.tellStep();
      return 'stopped';
    }
    await this.loadMissing(records);
    const batch = this.fold.fold(records, this.skips);
    const checkpoint = formatCheckpoint({
      createdAt: this.createdAt,
      seq: last.seq,
      atMs: last.atMs,
      foldTimeMs: this.fold.timeMs(),
      batchId: `${settings.nodeId}.${this.term}.${this.batchCount++}`,
    });
    if (!(await this.refuseRecords(batch))) return this.conflict(last);
    await this.noteOptions(batch);
    const saved = await this.commit(batch, checkpoint);
    // S9
    if (this.abandoned) return 'stopped';
    if (saved === 'conflict') return this.conflict(last);
    this.checkpoint = checkpoint;
    this.nextSeq = last.seq + 1;
    this.placeAtMs = last.atMs;
    this.lastProgressAtMs = this.deps.clock.monotonicMs();
    this.deps.meter.count('recordsFolded', batch.records);
    await this.letOut(batch);
    await this.noteSkips(batch.letters.filter(({ byFold }) => byFold));
    this.fold.sessions.trim();
    return 'stopped';
  }

  private conflict({ seq }: LogMessage): ActorEnd {
    this.deps.meter.count('commitConflicts');
    this.deps.logger.warn({ shard: this.shard, term: this.term, seq }, 'commit.conflict');
    return 'conflict';
  }

  /** A catch-up that moves without commits is seen to move (`ProgressWatch` G1). */
  private tellStep(): void {
    this.steps++;
    const { clock, store, logger } = this.deps;
    const nowMs = clock.monotonicMs();
    if (this.stopping || nowMs - this.stepToldAtMs < STEP_TOLD_MS) return;
    this.stepToldAtMs = nowMs;
    this.stepTold = store
      .hold(this.shard, true, { term: this.term, step: this.steps })
      .catch((error: unknown) => {
        logger.debug({ shard: this.shard, err: error }, 'shard.step-not-told');
      });
  }

  /** S5: the first of the messages that make a batch, decoded; the others are carried over. */
  private takeBatch(read: LogMessage[]): { messages: LogMessage[]; records: PlacedRecord[] } {
    const records: PlacedRecord[] = [];
    let weight = 0;
    let bytes = 0;
    let count = 0;
    for (const message of read) {
      bytes += message.data.length;
      if (count > 0 && (weight >= this.settings.recordsPerBatch || bytes > BATCH_BYTES_MAX)) break;
      count++;
      if (message.atMs < this.resumeAtMs) continue;
      for (const record of placeRecord(message, decode(message, this.shard, this.settings.shardCount))) {
        records.push(record);
        weight += weightOf(record);
      }
    }
    this.deps.waves.carry(weight);
    this.carried = read.slice(count);
    return { messages: count === read.length ? read : read.slice(0, count), records };
  }

  private async loadMissing(records: readonly PlacedRecord[]): Promise<void> {
    await this.loadSessions(this.fold.missing(records));
    const { store } = this.deps;
    for (const { sessionId, ...range } of this.fold.wantedTranscripts(records)) {
      const stored = range.last < range.first ? [] : await store.loadTranscript(this.shard, sessionId, range);
      const events = wholeTranscript(sessionId, stored, range.first);
      this.fold.takeTranscript(sessionId, { first: range.first, events });
    }
  }

  private async loadSessions(sessionIds: readonly string[]): Promise<void> {
    const wanted = [...new Set(sessionIds)].filter((sessionId) => !this.fold.sessions.has(sessionId));
    const texts = await this.deps.store.loadSessions(this.shard, wanted);
    wanted.forEach((sessionId, i) => {
      const cached = parseSession(sessionId, texts[i] ?? null);
      // S6
      if (cached.foldedTo.seq >= this.nextSeq && !cached.isAhead)
        cached.foldedTo = { seq: this.nextSeq - 1, index: 0 };
      this.fold.sessions.set(sessionId, cached);
    });
  }

  /**
   * Refused records are stored as dead letters before the commit passes them; until that works the shard waits. False when
   * Redis has lost what was folded on: then nothing that was decided by it counts.
   *
   * The note that makes a replay skip a record is written before the commit only where the record alone decides (it cannot
   * be read). What the fold has refused is noted behind the commit: had Redis been wiped beneath this owner, it would have
   * found no session, and a note of that would have every later owner skip a good record for ever.
   */
  private async refuseRecords({ letters }: FoldedBatch): Promise<boolean> {
    if (letters.length === 0) return true;
    const [stored] = await this.deps.store.checkpoints([this.shard]);
    if (stored !== this.checkpoint) return false;
    await this.inPortions(letters, async ({ byFold: _byFold, ...letter }) => {
      await this.deps.letters.refuse({ shard: this.shard, ...letter });
      const { seq, index, reason } = letter;
      this.deps.logger.warn({ shard: this.shard, seq, index, reason }, 'record.refused');
    });
    this.deps.meter.count('recordsRefused', letters.length);
    const unreadable = letters.filter(({ byFold }) => !byFold);
    await this.inPortions(unreadable, (letter) => this.noteSkip(letter));
    return true;
  }

  /** A replay by this release would refuse them again anyway; a later one is to repeat history, too. */
  private async noteSkips(letters: FoldedBatch['letters']): Promise<void> {
    await this.inPortions(letters, (letter) => this.noteSkip(letter)).catch((error: unknown) => {
      this.deps.logger.warn({ shard: this.shard, records: letters.length, err: error }, 'skip.not-noted');
    });
  }

  private noteSkip({ seq, index, atMs, reason }: FoldedBatch['letters'][number]): Promise<void> {
    return this.deps.letters.noteSkip({ shard: this.shard, seq, index, atMs, reason });
  }

  private async inPortions<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
    for (let at = 0; at < all.length; at += LETTERS_AT_ONCE)
      await Promise.all(all.slice(at, at + LETTERS_AT_ONCE).map(act));
  }

  /** Before the commit, as with dead letters: a replay must fold every record with the options of its time. */
  private async noteOptions(batch: FoldedBatch): Promise<void> {
    if (batch.optionChanges.length === 0) return;
    const { snapshots } = this.deps;
    if (!this.knowsOptionHistory) {
      this.optionHistory = await snapshots.readOptions(this.shard);
      this.knowsOptionHistory = true;
    }
    const history = withChanges(this.optionHistory, this.createdAt, batch.optionChanges);
    if (!history) return;
    await snapshots.writeOptions(this.shard, history);
    this.optionHistory = history;
  }

  /** Between two commits, so that what is compared belongs together. */
  private async auditSome(): Promise<'saved' | 'conflict'> {
    const { shard, deps, fold } = this;
    const { store, clock, logger, meter } = deps;
    const tell = this.tellAudit;
    this.tellAudit = undefined;
    let findings: AuditFindings | undefined;
    let outcome: 'saved' | 'conflict' = 'saved';
    try {
      this.resendUnsent();
      const some = await store.someSessions(shard, { cursor: this.auditCursor, limit: AUDIT_SESSIONS });
      const found = await auditSessions(store, shard, some.sessionIds, {
        nowMs: clock.nowMs(),
        hasEntry: (key) => fold.outbox.get(key) !== undefined,
        pushesMessagesSinceMs: (service) => fold.pushesMessagesSinceMs(service),
      });
      this.auditCursor = some.cursor;
      if (found.timers.length > 0) outcome = await this.restoreTimers(found.timers);
      if (outcome === 'saved') findings = found;
      meter.count('sessionsAudited', found.sessions);
    } catch (error) {
      logger.warn({ shard, err: error }, 'audit.failed');
    }
    tell?.(findings);
    return outcome;
  }

  /** What is stored stays as it is but for the timers; the checkpoint stands at the same place, under another batch id. */
  private async restoreTimers(timers: [member: string, dueAtMs: number][]): Promise<'saved' | 'conflict'> {
    const { shard, deps, settings } = this;
    const at = parseCheckpoint(this.checkpoint);
    if (!at || this.abandoned) return 'saved';
    const batchId = `${settings.nodeId}.${this.term}.${this.batchCount++}`;
    const checkpoint = formatCheckpoint({ ...at, batchId });
    const writes = { options: '', sessions: [], timers, outbox: [], snapshots: [] };
    const outcome = await this.commit({ writes, records: 0 }, checkpoint);
    // Of an owner that was deposed meanwhile, what looked missing says nothing.
    if (outcome === 'conflict' || this.abandoned) return outcome;
    this.checkpoint = checkpoint;
    deps.meter.count('timersRestored', timers.length);
    const members = timers.slice(0, TIMERS_NAMED_MAX).map(([member]) => member);
    deps.logger.error({ shard, count: timers.length, members }, 'timers.restored');
    return outcome;
  }

  /** I6: an entry that the dispatcher does not know would never be settled. */
  private resendUnsent(): void {
    const { shard, deps, fold } = this;
    const nowMs = deps.clock.monotonicMs();
    this.entryCursor ??= fold.outbox.values();
    for (let i = 0; i < AUDIT_ENTRIES; i++) {
      const { done, value: entry } = this.entryCursor.next();
      if (done === true) {
        this.entryCursor = undefined;
        // What has left the outbox meanwhile was settled after all.
        for (const id of this.unsentSinceMs.keys())
          if (!isUnsettled(fold.outbox, id)) this.unsentSinceMs.delete(id);
        return;
      }
      const { id, sessionId, userId } = entry.job;
      if (deps.dispatcher.knows(shard, entry)) {
        this.unsentSinceMs.delete(id);
        continue;
      }
      const sinceMs = this.unsentSinceMs.get(id) ?? nowMs;
      this.unsentSinceMs.set(id, sinceMs);
      if (nowMs - sinceMs < UNSENT_AFTER_MS || this.waiting() > 0) continue;
      this.unsentSinceMs.delete(id);
      deps.meter.count('notificationsRestored');
      deps.logger.error({ shard, id }, 'notification.restored');
      deps.dispatcher.put(shard, entry, this.nodeOf(sessionId, userId));
    }
  }

  private lookForSnapshots(): void {
    if (this.logAgeMaxMs === undefined || this.stopping) return;
    const lookMs = Math.min(SNAPSHOT_LOOK_MS, this.logAgeMaxMs / 10);
    this.cancelLook = this.deps.clock.after(lookMs, () => {
      this.wantsSnapshots = true;
      this.reader?.nudge();
    });
  }

  /** S7: read between two commits; written while the shard goes on. */
  private async keepSnapshots(): Promise<void> {
    const { shard, deps } = this;
    const { store, snapshots, logger } = deps;
    this.wantsSnapshots = false;
    const atMs = this.fold.timeMs();
    try {
      // What was written into a stream that has been lost since is to be written again.
      const halfAgoMs = deps.clock.nowMs() - (this.logAgeMaxMs ?? 0) / 2;
      this.snapshotsSinceMs = await snapshots.createdAtMs();
      const beforeMs = Math.max(halfAgoMs, this.snapshotsSinceMs);
      const sessionIds = await store.oldestSnapshots(shard, { beforeMs, limit: SNAPSHOTS_PER_LOOK });
      const taken = await takeSnapshots(store, shard, sessionIds, {
        createdAt: this.createdAt,
        atMs: Math.max(atMs, beforeMs + 1),
        outbox: sessionIds.length === 0 ? [] : this.fold.outbox.all(),
      });
      void this.writeSnapshots(taken, Math.max(deps.clock.nowMs(), beforeMs + 1));
    } catch (error) {
      if (error instanceof RubbishStateError) throw error;
      logger.warn({ shard, err: error }, 'snapshot.failed');
      this.lookForSnapshots();
    }
  }

  private async writeSnapshots(
    taken: Awaited<ReturnType<typeof takeSnapshots>>,
    writtenAtMs: number,
  ): Promise<void> {
    const { shard } = this;
    const { store, snapshots, logger, meter } = this.deps;
    try {
      await Promise.all(taken.map((snapshot) => snapshots.write(shard, snapshot)));
      await store.noteSnapshots(
        shard,
        taken.map(({ sessionId }) => [sessionId, writtenAtMs]),
      );
      meter.count('snapshotsWritten', taken.length);
    } catch (error) {
      logger.warn({ shard, sessions: taken.length, err: error }, 'snapshot.failed');
    }
    this.lookForSnapshots();
  }

  /** A session that was never old enough, in this log, has no snapshot. */
  private forgetSnapshot(sessionId: string, createdAtMs: number): void {
    const { snapshots, logger } = this.deps;
    const ageMs = this.fold.timeMs() - createdAtMs;
    const isYoung = ageMs < (this.logAgeMaxMs ?? Number.POSITIVE_INFINITY) / 2;
    if (isYoung && createdAtMs >= Math.max(Date.parse(this.createdAt), this.snapshotsSinceMs)) return;
    snapshots.remove(this.shard, sessionId).catch((error: unknown) => {
      // It would be restored by a rebuild, found ended, and purged again.
      logger.warn({ shard: this.shard, sessionId, err: error }, 'snapshot.not-removed');
    });
  }

  /** The same batch may be sent again: the script knows it by its checkpoint. */
  private async commit(
    batch: Pick<FoldedBatch, 'writes' | 'records'>,
    checkpoint: string,
  ): Promise<'saved' | 'conflict'> {
    for (let tries = 1; ; tries++) {
      try {
        const startedAtMs = this.deps.clock.monotonicMs();
        const outcome = await this.deps.store.commit(this.shard, {
          expectedCheckpoint: this.checkpoint,
          checkpoint,
          ...batch.writes,
        });
        this.deps.meter.count('commits');
        this.deps.meter.observe('batchRecords', batch.records);
        this.deps.meter.observe('commitMs', this.deps.clock.monotonicMs() - startedAtMs);
        return outcome;
      } catch (error) {
        if (tries >= COMMIT_TRIES_MAX) throw error;
        this.deps.logger.warn({ shard: this.shard, tries, err: error }, 'commit.retried');
        await new Promise<void>((resolve) => this.deps.clock.after(COMMIT_RETRY_MS, resolve));
      }
    }
  }

  /** What the commit has made true may now be seen outside. */
  private async letOut(batch: FoldedBatch): Promise<void> {
    const { dispatcher, logger, meter } = this.deps;
    for (const withdrawal of batch.withdrawals) dispatcher.withdraw(this.shard, withdrawal);
    for (const entry of batch.settled) dispatcher.forget(this.shard, entry);
    for (const entry of batch.dropped) {
      dispatcher.forget(this.shard, entry);
      meter.count('notificationsDropped');
      logger.error(
        { logId: '09900', id: entry.job.id, reason: 'too many unsettled notifications of this subscription' },
        'notification.dropped',
      );
    }
    if (this.caughtUp) {
      for (const entry of batch.notifications)
        dispatcher.put(this.shard, entry, this.nodeOf(entry.job.sessionId, entry.job.userId));
    }
    for (const { fact, fields } of batch.facts) logger.info(fields, fact);
    for (const { sessionId, notice } of this.caughtUp ? batch.announcements : [])
      this.deps.replies.announce(sessionId, JSON.stringify({ v: 1, sessionId, ...notice }));
    for (const { sessionId, createdAtMs } of batch.purged) this.forgetSnapshot(sessionId, createdAtMs);
    await this.reply(batch);
  }

  private async reply(batch: FoldedBatch): Promise<void> {
    const oldestMs = this.deps.clock.nowMs() - this.settings.replyAgeMaxMs;
    const replies = this.caughtUp ? batch.replies : batch.replies.filter(({ atMs }) => atMs > oldestMs);
    if (replies.length === 0) return;
    const source = {
      shard: this.shard,
      alias: this.settings.alias,
      sessions: this.fold.sessions,
      store: this.deps.store,
    };
    for (const portion of portionsOf(replies))
      for (const { callerId, payload } of await renderReplies(portion, source))
        this.deps.replies.reply(callerId, payload);
    this.deps.meter.count('repliesSent', replies.length);
  }

  private nodeOf(sessionId: string, userId: string): string | undefined {
    const nodes = this.fold.sessions.get(sessionId)?.nodes;
    // A user may be called `constructor`.
    return nodes && Object.hasOwn(nodes, userId) ? nodes[userId] : undefined;
  }

  /** Kept with the session, and stored with its next commit: a soft field, never input to the fold. */
  private associate(subscription: string, nodeId: string): void {
    const colon = subscription.indexOf(':');
    const cached = this.fold.sessions.get(subscription.slice(0, colon));
    if (cached?.session) cached.nodes = { ...cached.nodes, [subscription.slice(colon + 1)]: nodeId };
  }
}

function isUnsettled(outbox: Outbox, id: string): boolean {
  const entry = outbox.get(id) ?? outbox.get(id.slice(0, id.lastIndexOf(':')));
  return entry?.job.id === id;
}

/** How much one record may write: a timer or a result counts as much as a record of a session. */
function weightOf({ decoded }: PlacedRecord): number {
  if (decoded.kind !== 'record') return 1;
  if (decoded.record.type === 'timers.fired') return decoded.record.timers.length;
  return decoded.record.type === 'push.settled' ? decoded.record.results.length : 1;
}

/** What an owner appends when its option bucket is newer than the shard's folded options. */
export function optionsChanged(revision: number, values: OptionValues) {
  return { v: 1 as const, type: 'options.changed' as const, revision, values: { ...values } };
}
