import { parseCheckpoint } from './checkpoint';
import type { Overseen, Ownership } from './ownership';
import type { Clock, Log, Meter, ShardLog, ShardStanding, ShardStore } from './ports';

export interface ProgressSettings {
  shardCount: number;
  /** A shard with backlog whose checkpoint has not moved for so long has another owner by then. */
  stuckAfterMs: number;
}

/** What a shard looked like when it last moved. */
interface Track {
  /** Whose progress is timed; another owner begins anew. */
  of: string;
  checkpoint: string;
  heldAt: number;
  /** The look that first saw it so: its time (monotonic ms), and the stream's last sequence then. */
  seen: { atMs: number; lastSeq: number };
  /** A later look has seen it so too. */
  isSeenAgain: boolean;
  /** Since when it is known to stand still although there is something to do, monotonic ms. */
  standsSinceMs: number | undefined;
  /** The stream's last sequence when the shard was last seen to have nothing to do. */
  idleAtSeq: number | undefined;
  askedAtMs: number;
}

/** How often an owner has taken a shard anew without any progress since. */
interface Strikes {
  checkpoint: string;
  heldAt: number;
  count: number;
}

/** Looks per `stuckAfterMs`. */
const LOOKS = 12;
const LOOK_INTERVAL_MAX_MS = 250;
/** A store that takes longer than this to answer is not fit to judge others by. */
const ANSWER_LATE_MS = 1_000;
/** When a look has not come back, the next one begins after so long. */
const LOOK_PATIENCE_MS = 5_000;
/** Of a system with more shards, each look takes so many; the next one goes on from there. */
const SHARDS_PER_LOOK = 256;
/** Shards whose end of the log is asked for in one look; those that move, or stand still for long, are not asked. */
const ENDS_PER_LOOK = 32;
const STRIKE_DOUBLINGS_MAX = 6;

/**
 * Finds shards that stand still although there is something to do, and sees that they go on (DESIGN section 10): progress
 * is health, and beating is not progress. It looks from outside, at the log's end and at what Redis has, because the loop
 * that should move cannot be trusted to know that it does not. The owner looks at its own shards, and the node that would
 * follow it looks too, because a wedged process cannot be trusted with that either.
 *
 * G1. A shard stands still when its log goes on behind the stored checkpoint, or its timers are held for a catch-up, and
 *     neither the checkpoint nor the catch-up has moved. Doing again what was done before is no move.
 * G2. Time counts only while Redis and NATS answer promptly, and before anything is done Redis must take a write in that
 *     shard's place. A dependency that is away makes nobody stuck, so it starts no storm of takeovers.
 * G3. A shard that reads no further because its unsettled notifications stand at the bound is slow, not stuck.
 * G4. The owner acts first, after half the time: it takes the shard anew, and when that did not help gives it away. Each
 *     further try without progress waits twice as long, so a record that wedges every fold costs little.
 * G5. The next node acts two looks before the time is up, by force; where records keep coming, the first look is not
 *     counted. Whoever lost a shard so is left out for a while; when all others are left out, nobody takes it, and the
 *     last owner goes on trying (`LeftOuts`, `Ownership` O8).
 * G6. The work of one look is bounded by the two constants above, whatever the number of shards.
 */
export class ProgressWatch {
  private readonly tracks = new Map<number, Track>();
  private readonly strikes = new Map<number, Strikes>();
  private readonly acting = new Set<number>();
  private window = 0;
  private lookId = 0;
  private lookingSinceMs: number | undefined;
  private answeredAtMs: number;
  private beyondHelp = false;
  private cancelTick: () => void = () => undefined;
  private stopped = false;

  constructor(
    private readonly deps: {
      log: Pick<ShardLog, 'state' | 'lastSeqOf'>;
      store: Pick<ShardStore, 'standings' | 'probeWrite'>;
      ownership: Ownership;
      clock: Clock;
      logger: Log;
      meter: Meter;
    },
    private readonly settings: ProgressSettings,
  ) {
    this.answeredAtMs = deps.clock.monotonicMs();
  }

  start(): void {
    this.tick();
  }

  stop(): void {
    this.stopped = true;
    this.cancelTick();
  }

  /** True, or which shards of this node do not move, in plain words. */
  health(): true | string {
    if (this.beyondHelp) return 'too many shard actors do not end: restart this process';
    const stuck = this.stuckShards('owner');
    return stuck.length === 0 ? true : `shards without progress: ${stuck.join(', ')}`;
  }

  /** True, or that nobody can judge at present. */
  sight(): true | string {
    const forMs = this.deps.clock.monotonicMs() - this.answeredAtMs;
    return forMs <= LOOK_PATIENCE_MS
      ? true
      : `Redis or NATS has not answered promptly for ${Math.floor(forMs / 1_000)} s: shards that stand still would not be noticed`;
  }

  /** Shards that stand still, of those that this node looks after. */
  stuckCount(): number {
    return this.stuckShards('owner').length + this.stuckShards('next').length;
  }

  private stuckShards(by: Overseen['by']): string[] {
    const nowMs = this.deps.clock.monotonicMs();
    const found: string[] = [];
    for (const one of this.deps.ownership.overseen([...this.tracks.keys()])) {
      const { standsSinceMs } = this.tracks.get(one.shard) ?? {};
      const count = this.strikes.get(one.shard)?.count ?? 0;
      const standsMs = standsSinceMs === undefined ? 0 : nowMs - standsSinceMs;
      const isStuck = standsMs >= this.settings.stuckAfterMs / 2 || (by === 'owner' && count > 0);
      if (one.by !== by || one.isFull || !isStuck) continue;
      found.push(`${one.shard}${count > 0 ? ` (taken anew ${count} times)` : ''}`);
    }
    return found;
  }

  private lookIntervalMs(): number {
    return Math.min(LOOK_INTERVAL_MAX_MS, this.settings.stuckAfterMs / LOOKS);
  }

  private tick(): void {
    if (this.stopped) return;
    const { clock, logger } = this.deps;
    this.cancelTick = clock.after(this.lookIntervalMs(), () => this.tick());
    const nowMs = clock.monotonicMs();
    if (this.lookingSinceMs !== undefined) {
      if (nowMs - this.lookingSinceMs > ANSWER_LATE_MS) this.forgetTimes();
      if (nowMs - this.lookingSinceMs <= LOOK_PATIENCE_MS) return;
    }
    const id = ++this.lookId;
    this.lookingSinceMs = nowMs;
    this.look(id)
      .catch((error: unknown) => {
        this.forgetTimes();
        logger.debug({ err: error }, 'progress.not-judged');
      })
      .finally(() => {
        if (this.lookId === id) this.lookingSinceMs = undefined;
      });
  }

  private async look(id: number): Promise<void> {
    const { log, store, ownership, clock } = this.deps;
    const startedAtMs = clock.monotonicMs();
    const overseen = this.nextOverseen();
    const shards = overseen.map(({ shard }) => shard);
    const [standings, state] = await Promise.all([store.standings(shards), log.state()]);
    if (!this.isPrompt(id, startedAtMs)) return;
    const doubtful: { one: Overseen; track: Track; standing: ShardStanding }[] = [];
    overseen.forEach((one, i) => {
      const standing = standings[i] as ShardStanding;
      const track = this.follow(one, standing, state.lastSeq);
      // G3
      if (one.isFull) forgetTime(track);
      else if (standing.isHeld) track.standsSinceMs ??= clock.monotonicMs();
      else if (
        // Where a look does not take all of them, each counts.
        (track.isSeenAgain || this.settings.shardCount > SHARDS_PER_LOOK) &&
        track.standsSinceMs === undefined &&
        track.idleAtSeq !== state.lastSeq
      )
        doubtful.push({ one, track, standing });
    });
    doubtful.sort((a, b) => a.track.askedAtMs - b.track.askedAtMs);
    await Promise.all(
      doubtful.slice(0, ENDS_PER_LOOK).map(async ({ one, track, standing }) => {
        const lastSeq = await log.lastSeqOf(one.shard);
        const nowMs = clock.monotonicMs();
        track.askedAtMs = nowMs;
        if (!isBehind(standing, { createdAt: state.createdAt, lastSeq })) {
          forgetTime(track);
          track.idleAtSeq = state.lastSeq;
        }
        // What is in the log by now may have been there when it was first seen so.
        else track.standsSinceMs = lastSeq <= track.seen.lastSeq ? track.seen.atMs : nowMs;
      }),
    );
    if (!this.isPrompt(id, startedAtMs)) return;
    this.answeredAtMs = clock.monotonicMs();
    for (const one of ownership.overseen(shards)) this.judge(one);
  }

  /** The shards of this look that this node looks after; others are forgotten. */
  private nextOverseen(): Overseen[] {
    const { shardCount } = this.settings;
    const count = Math.min(shardCount, SHARDS_PER_LOOK);
    const shards = Array.from({ length: count }, (_, i) => (this.window + i) % shardCount);
    this.window = (this.window + count) % shardCount;
    const overseen = this.deps.ownership.overseen(shards);
    const kept = new Set(overseen.map(({ shard }) => shard));
    const owned = new Set(overseen.filter(({ by }) => by === 'owner').map(({ shard }) => shard));
    for (const shard of shards) {
      if (!kept.has(shard)) this.tracks.delete(shard);
      if (!owned.has(shard) && !this.isBeingTaken(shard)) this.strikes.delete(shard);
    }
    return overseen;
  }

  /** A shard that is taken anew is nobody's for a moment; its strikes stay. */
  private isBeingTaken(shard: number): boolean {
    return this.acting.has(shard) || this.deps.ownership.isHere(shard);
  }

  /** G1. */
  private follow(one: Overseen, standing: ShardStanding, streamSeq: number): Track {
    const { shard, by, of, term } = one;
    const whose = by === 'owner' ? `term ${term}` : `${of.owner} ${of.incarnation}`;
    const { checkpoint } = standing;
    const heldAt = stepOf(one, standing);
    const strikes = this.strikes.get(shard);
    if (strikes && (strikes.checkpoint !== checkpoint || heldAt > strikes.heldAt)) this.strikes.delete(shard);
    let track = this.tracks.get(shard);
    if (track?.of !== whose || track.checkpoint !== checkpoint || heldAt > track.heldAt) {
      const askedAtMs = track?.askedAtMs ?? 0;
      track = {
        of: whose,
        checkpoint,
        heldAt,
        seen: { atMs: this.deps.clock.monotonicMs(), lastSeq: streamSeq },
        isSeenAgain: false,
        standsSinceMs: undefined,
        idleAtSeq: undefined,
        askedAtMs,
      };
      this.tracks.set(shard, track);
    } else track.isSeenAgain = true;
    return track;
  }

  /** G2: false when the answers came too late to judge by. */
  private isPrompt(id: number, startedAtMs: number): boolean {
    if (id !== this.lookId || this.stopped) return false;
    if (this.deps.clock.monotonicMs() - startedAtMs <= ANSWER_LATE_MS) return true;
    this.forgetTimes();
    return false;
  }

  private forgetTimes(): void {
    for (const track of this.tracks.values()) forgetTime(track);
  }

  private judge(one: Overseen): void {
    const track = this.tracks.get(one.shard);
    if (track?.standsSinceMs === undefined || one.isFull || this.acting.has(one.shard)) return;
    const standsMs = this.deps.clock.monotonicMs() - track.standsSinceMs;
    if (standsMs < this.limitMs(one)) return;
    this.acting.add(one.shard);
    void this.act(one, track, standsMs)
      .catch((error: unknown) => {
        forgetTime(track);
        this.deps.logger.warn({ shard: one.shard, err: error }, 'progress.not-judged');
      })
      .finally(() => this.acting.delete(one.shard));
  }

  /** G4 and G5. */
  private limitMs({ shard, by }: Overseen): number {
    const { stuckAfterMs } = this.settings;
    if (by === 'next') return stuckAfterMs - 2 * this.lookIntervalMs();
    return (stuckAfterMs / 2) * 2 ** Math.min(this.strikes.get(shard)?.count ?? 0, STRIKE_DOUBLINGS_MAX);
  }

  private async act(seen: Overseen, track: Track, standsMs: number): Promise<void> {
    const { ownership, logger, meter } = this.deps;
    const { shard } = seen;
    const standing = await this.confirm(seen, track);
    const [one] = ownership.overseen([shard]);
    if (!standing || one?.by !== seen.by || one.term !== seen.term || one.isFull) {
      forgetTime(track);
      return;
    }
    const facts = { shard, term: one.term, standsMs: Math.round(standsMs), checkpoint: track.checkpoint };
    if (one.by === 'owner') {
      await this.actAsOwner(one, standing, facts);
      return;
    }
    if (await ownership.takeFromStuck(one)) {
      meter.count('shardsTakenFromStuck');
      logger.error({ ...facts, from: one.of.owner }, 'shard.taken-from-stuck-owner');
    }
  }

  private async actAsOwner(one: Overseen, standing: ShardStanding, facts: object): Promise<void> {
    const { ownership, logger, meter } = this.deps;
    const { shard, term } = one;
    const count = (this.strikes.get(shard)?.count ?? 0) + 1;
    if (count > 1 && (await ownership.giveAway(shard, term)) === 'given') {
      this.strikes.delete(shard);
      meter.count('shardsGivenAway');
      logger.error(facts, 'shard.given-away-for-no-progress');
      return;
    }
    const { checkpoint } = standing;
    const furthest = Math.max(stepOf(one, standing), this.strikes.get(shard)?.heldAt ?? 0);
    this.strikes.set(shard, { checkpoint, heldAt: furthest, count });
    const outcome = ownership.restart(shard, term);
    this.beyondHelp = outcome === 'too-many';
    if (outcome === 'restarted') meter.count('shardsRestarted');
    if (outcome !== 'not-ours') logger.error({ ...facts, tries: count, outcome }, 'shard.no-progress');
  }

  /** G2: the last look before anything is done, with a write. undefined when the shard has moved or nobody can tell. */
  private async confirm(seen: Overseen, track: Track): Promise<ShardStanding | undefined> {
    const { log, store, clock } = this.deps;
    const { shard } = seen;
    let cancel: () => void = () => undefined;
    const late = new Promise<'late'>((resolve) => {
      cancel = clock.after(ANSWER_LATE_MS, () => resolve('late'));
    });
    const answers = Promise.all([
      log.state(),
      log.lastSeqOf(shard),
      store.probeWrite(shard).then(() => store.standings([shard])),
    ]);
    const answer = await Promise.race([answers, late]).finally(() => cancel());
    if (answer === 'late') return undefined;
    const [{ createdAt }, lastSeq, [standing]] = answer;
    if (!standing || standing.checkpoint !== track.checkpoint || stepOf(seen, standing) > track.heldAt)
      return undefined;
    return standing.isHeld || isBehind(standing, { createdAt, lastSeq }) ? standing : undefined;
  }
}

/** Time counts from what is found next. */
function forgetTime(track: Track): void {
  track.standsSinceMs = undefined;
  track.seen.lastSeq = -1;
}

/** How far the catch-up of this owner has come; what an earlier one has left behind says nothing about it. */
function stepOf({ term }: Overseen, { at }: ShardStanding): number {
  return at?.term === term ? at.step : 0;
}

function isBehind(standing: ShardStanding, end: { createdAt: string; lastSeq: number }): boolean {
  const folded = parseCheckpoint(standing.checkpoint);
  if (!folded || folded.createdAt !== end.createdAt) return end.lastSeq > 0;
  return end.lastSeq > folded.seq;
}
