import type { LeftOut, PeerHeartbeat } from '@flexpush/contracts';
import { FailureDetector, ownerOf } from '@flexpush/membership';
import type { Dispatcher } from './dispatcher';
import { LeftOuts, type NodeRun } from './left-out';
import type { Clock, Leases, LeaseView, Log, PeerTransport } from './ports';
import type { ShardActor } from './shard-actor';

export interface OwnershipSettings {
  nodeId: string;
  incarnation: string;
  shardCount: number;
  heartbeatIntervalMs: number;
  deadAfterMs: number;
  /** Records that wait longer than this without a commit make the node unhealthy. */
  stuckAfterMs: number;
  peersMax: number;
}

interface Owned {
  actor: ShardActor;
  term: number;
  state: 'running' | 'stopping';
  /** Settles when the actor has ended. */
  ended: Promise<void>;
  /** Settles when the lease is given back, if that has begun. */
  givenUp?: Promise<void>;
}

/** A shard that this node looks after: as its owner, or as the one that follows if its owner makes no progress. */
export interface Overseen {
  shard: number;
  by: 'owner' | 'next';
  /** Who is to make progress with it: who holds the lease and lives, else who is to take it. */
  of: NodeRun;
  /** Of the lease as last seen. */
  term: number;
  /** It does not read on because its unsettled notifications stand at the bound. */
  isFull: boolean;
}

/** Beats that a node may miss of its own before it stops dispatching. */
const OWN_BEATS_MISSED_MAX = 3;
/** Peers are listened to for this many intervals before the first shard is taken, so that a newcomer does not grab all. */
const LISTEN_INTERVALS = 2;
/** Shards that are stopped here and not yet served by a peer, at once (O9): to peers that have run for a while, */
const HANDOVERS_AT_ONCE = 2;
/** and to those that have just come: what they do, they do for the first time, and all the others give to them too. */
const HANDOVERS_TO_JOINING = 1;
/** A peer is waited for so long with each of them, */
const SERVED_WITHIN_MS = 1_000;
/** and so long with all of them: a stop has to end. */
const ALL_SERVED_WITHIN_MS = 5_000;
/** A shard whose actor has failed is tried again after so long, not with every look. */
const FAILED_RETRY_MS = 1_000;
/** An actor that is to stop has so long for its batch in hand, with its retries; then nobody waits for it any more. */
const STOP_WITHIN_MS = 5_000;
/** And so long when what it is at does not count any more. */
const DEPOSED_WITHIN_MS = 1_000;
/** Actors that were abandoned and have not ended; each keeps some memory. More mean that only a restart helps. */
const ABANDONED_MAX = 64;

/**
 * Decides which shards this node runs, and keeps their leases (DESIGN section 10).
 *
 * O1. A shard is run only under a lease taken by compare-and-set; its revision is the term.
 * O2. A lease is taken from another owner only when that owner is dead: it lives under another incarnation by now,
 *     nobody responds to its probe, or it has been silent for the dead time-out. A free one, or one of an earlier
 *     incarnation of this node, is taken at once.
 * O3. Placement is by rendezvous over the living nodes that are not leaving. A shard that belongs elsewhere is stopped
 *     (its batch finished) before its lease is released. A node that is still joining is given nothing, because it would
 *     leave it lying; but what it will run is not taken from under it, or the first of many to start would grab all.
 * O4. A lease seen in other hands ends the actor, and so does a commit that conflicts.
 * O5. A node that does not hear its own beats sends no pushes.
 * O6. A lease that this node holds without running the shard is given back, or its peers would wait for it for ever.
 * O7. Nothing waits for an actor that does not end: it is abandoned, and lets nothing out any more. What it still commits
 *     is fenced by the checkpoint like any other owner's.
 * O8. A lease is taken from a living owner that makes no progress (`ProgressWatch` decides), and then says so: that
 *     process is not given the shard again for a while, by any node. If all are left out, none is.
 * O9. Shards are handed over a few at a time: the next one is run until a peer has caught up with the one before. A peer
 *     that has just started takes long for twenty at once, and nobody serves them meanwhile.
 */
export class Ownership {
  private readonly owned = new Map<number, Owned>();
  private readonly detector: FailureDetector<PeerHeartbeat>;
  /** Leases that this incarnation took and has not given back, with their terms (O6). */
  private readonly held = new Map<number, number>();
  /** The newest revision of each lease that the watch has told since it was last read. */
  private readonly seenTerms = new Map<number, number>();
  /** Each lease as it was last seen, whoever holds it. */
  private readonly seenLeases = new Map<number, LeaseView>();
  private readonly leftOuts: LeftOuts;
  /** Shards whose lease is being taken right now: two ways lead there. */
  private readonly taking = new Set<number>();
  /** What to do when a peer serves one of these shards. */
  private readonly awaited = new Map<number, () => void>();
  private abandoned = 0;
  private readonly notBeforeMs = new Map<number, number>();
  private readonly firstSilentAtMs = new Map<string, number>();
  private readonly probes = new Map<string, Promise<'alive' | 'no-responders' | 'silent'>>();
  private ownBeatHeardAtMs: number;
  private readonly startedAtMs: number;
  private state: PeerHeartbeat['state'] = 'joining';
  private cancelTick: (() => void) | undefined;
  private reconciling: Promise<void> | undefined;
  private handingOver: Promise<void> | undefined;
  /** At most one for each shard. */
  private readonly takingFreed = new Set<Promise<void>>();
  private reconcileAgain = false;

  constructor(
    private readonly deps: {
      leases: Leases;
      peers: PeerTransport;
      dispatcher: Dispatcher;
      clock: Clock;
      logger: Log;
      createActor: (shard: number, term: number) => ShardActor;
    },
    private readonly settings: OwnershipSettings,
  ) {
    const { heartbeatIntervalMs, deadAfterMs, peersMax } = settings;
    this.detector = new FailureDetector({
      heartbeatIntervalMs,
      suspectAfterMs: Math.ceil(1.5 * heartbeatIntervalMs),
      deadAfterMs,
      peersMax,
    });
    this.leftOuts = new LeftOuts(this.self(), deps.clock);
    this.startedAtMs = deps.clock.monotonicMs();
    this.ownBeatHeardAtMs = this.startedAtMs;
  }

  start(): void {
    this.tick();
  }

  /** Stops every shard (batches finished, results settled), releases the leases and says so. */
  async stop(): Promise<void> {
    this.state = 'leaving';
    this.beatWhileLeaving();
    // A look under way may still be taking leases; it ends without running them.
    await Promise.all([
      this.reconciling,
      ...this.takingFreed,
      this.handOver([...this.owned.keys()], () => true, HANDOVERS_AT_ONCE),
    ]);
    // What an actor that ended by itself left behind, and what a look under way has still begun.
    await Promise.all([...this.owned.keys()].map((shard) => this.giveUp(shard)));
    await this.releaseUnused(new Set());
    this.cancelTick?.();
    this.state = 'gone';
    this.beat();
  }

  hear(heartbeat: PeerHeartbeat): void {
    const nowMs = this.deps.clock.monotonicMs();
    if (heartbeat.nodeId === this.settings.nodeId) {
      if (heartbeat.incarnation === this.settings.incarnation) this.ownBeatHeardAtMs = nowMs;
      else this.deps.logger.error({ incarnation: heartbeat.incarnation }, 'node-id.twice');
      return;
    }
    for (const shard of heartbeat.caughtUp ?? []) this.awaited.get(shard)?.();
    const outcome = this.detector.signal(heartbeat, nowMs);
    this.firstSilentAtMs.delete(heartbeat.nodeId);
    if (outcome !== 'refreshed' && outcome !== 'stale') {
      this.deps.logger.info({ peer: heartbeat.nodeId, outcome, state: heartbeat.state }, 'peer.changed');
      void this.reconcile();
    }
  }

  /** A lease has changed hands (O4). */
  seeLease(shard: number, owner: NodeRun | undefined, term: number, leftOut: readonly LeftOut[] = []): void {
    const owned = this.owned.get(shard);
    this.noteLease(shard, { ...(owner === undefined ? {} : { lease: owner }), term, leftOut: [...leftOut] });
    this.seenTerms.set(shard, Math.max(term, this.seenTerms.get(shard) ?? 0));
    const isOurs = owner?.owner === this.settings.nodeId && owner.incarnation === this.settings.incarnation;
    const held = this.held.get(shard) ?? 0;
    // A take whose answer was lost is learnt here: else nobody would run the shard, and nobody could release it (O6).
    if (isOurs) this.held.set(shard, Math.max(term, held));
    else if (term > held) this.held.delete(shard);
    if (owned && term > owned.term && !isOurs) {
      this.depose(shard, 'lease-taken');
    } else if (!owned && owner === undefined) {
      const taking: Promise<void> = this.takeFreed(shard, term).finally(() =>
        this.takingFreed.delete(taking),
      );
      this.takingFreed.add(taking);
    }
  }

  /**
   * All leases as they stand, after the bucket was out of sight or made anew. One of ours that is gone or older was lost
   * with the server's data; it is read once more, because what was told may be from before our take.
   */
  async compareLeases(told: ReadonlyMap<number, { term: number }>): Promise<void> {
    const isBehind = ([shard, { term }]: [number, Owned]) => (told.get(shard)?.term ?? 0) < term;
    const doubtful = [...this.owned].filter(isBehind);
    const looks = doubtful.map(async ([shard, owned]) => {
      const now = await this.deps.leases.read(shard);
      if (now.term < owned.term && this.owned.get(shard) === owned) this.depose(shard, 'lease-lost');
    });
    const failed = (await Promise.allSettled(looks)).find(({ status }) => status === 'rejected');
    // The next look of the watch finds it again, or a takeover does; until then the owner goes on under its old term.
    if (failed) this.deps.logger.warn({ leases: doubtful.length }, 'lease.not-compared');
  }

  /** Someone has seen a higher term for this shard. */
  depose(shard: number, reason: string): void {
    const owned = this.owned.get(shard);
    if (!owned || owned.state === 'stopping') return;
    owned.state = 'stopping';
    this.deps.logger.warn({ shard, term: owned.term, reason }, 'shard.deposed');
    this.deps.dispatcher.dropShard(shard, owned.term);
    void owned.actor.stop();
    void this.stopWithin(DEPOSED_WITHIN_MS, shard, owned, owned.ended);
  }

  /** O7: takes the shard anew from what is committed, without waiting for what its actor is at. */
  restart(shard: number, term: number): 'restarted' | 'not-ours' | 'too-many' {
    const owned = this.owned.get(shard);
    if (!owned || owned.term !== term || owned.state !== 'running') return 'not-ours';
    if (this.abandoned >= ABANDONED_MAX) return 'too-many';
    this.abandon(shard, owned);
    void this.reconcile();
    return 'restarted';
  }

  /** O8, by the owner itself: 'nobody' can follow, or the shard was given back for another to take. */
  async giveAway(shard: number, term: number): Promise<'given' | 'nobody' | 'not-ours'> {
    const owned = this.owned.get(shard);
    if (!owned || owned.term !== term || owned.state !== 'running') return 'not-ours';
    const others = this.livingUp().filter(({ owner }) => owner !== this.settings.nodeId);
    if (this.placed(shard, others, 'able') === undefined) return 'nobody';
    this.leftOuts.note(shard, this.leftOuts.carriedWith(shard, this.self(), term));
    this.abandon(shard, owned);
    await this.release(shard, term);
    return 'given';
  }

  /** O8, by the node that follows. False when the shard is not as it was seen any more. */
  async takeFromStuck({ shard, of, term }: Overseen): Promise<boolean> {
    if (this.taking.has(shard)) return false;
    this.taking.add(shard);
    try {
      const entry = await this.deps.leases.read(shard);
      this.noteLease(shard, entry);
      if (entry.term !== term || this.state !== 'up' || this.owned.has(shard)) return false;
      const leftOut = this.leftOuts.carriedWith(shard, of, term);
      if (!(await this.takeLease(shard, term, leftOut))) return false;
      this.leftOuts.note(shard, leftOut);
      return true;
    } finally {
      this.taking.delete(shard);
    }
  }

  /** Of these shards, those that this node looks after (O8). */
  overseen(shards: readonly number[]): Overseen[] {
    if (this.state !== 'up') return [];
    const living = this.judge();
    const up = this.livingUp();
    return shards.flatMap((shard): Overseen[] => {
      const owned = this.owned.get(shard);
      if (owned) {
        const isFull = this.deps.dispatcher.isFull(shard);
        const { term } = owned;
        return owned.state === 'running' ? [{ shard, by: 'owner', of: this.self(), term, isFull }] : [];
      }
      const { lease, term } = this.seenLeases.get(shard) ?? { term: 0 };
      const holder = living.find(({ heartbeat }) => isSame(heartbeat, lease))?.heartbeat;
      const placed = up.find(({ owner }) => owner === this.placed(shard, up));
      const of = holder ? { owner: holder.nodeId as string, incarnation: holder.incarnation } : placed;
      if (!of || of.owner === this.settings.nodeId) return [];
      const others = up.filter(({ owner }) => owner !== of.owner);
      if (this.placed(shard, others, 'able') !== this.settings.nodeId) return [];
      return [{ shard, by: 'next', of, term, isFull: holder?.full?.includes(shard) ?? false }];
    });
  }

  actors(): ShardActor[] {
    return [...this.owned.values()].map(({ actor }) => actor);
  }

  /** The shard is run here, or its lease is being taken. */
  isHere(shard: number): boolean {
    return this.owned.has(shard) || this.held.has(shard) || this.taking.has(shard);
  }

  actor(shard: number): ShardActor | undefined {
    return this.owned.get(shard)?.actor;
  }

  /** The shards that belong here by the present placement. */
  wanted(): number[] {
    return this.state === 'up' ? this.placedHere(['up', 'joining']) : [];
  }

  /** The shards that rendezvous over the living nodes in these states, and this one, gives to this node. */
  private placedHere(states: readonly PeerHeartbeat['state'][]): number[] {
    const live = this.living(states);
    return shards(this.settings.shardCount).filter(
      (shard) => this.placed(shard, live) === this.settings.nodeId,
    );
  }

  /** This node and the living peers that say one of these states. */
  private living(states: readonly PeerHeartbeat['state'][]): NodeRun[] {
    const peers = this.judge().filter(({ heartbeat }) => states.includes(heartbeat.state));
    return [
      this.self(),
      ...peers.map(({ heartbeat }) => ({
        owner: heartbeat.nodeId as string,
        incarnation: heartbeat.incarnation,
      })),
    ];
  }

  private livingUp(): NodeRun[] {
    return this.living(['up']);
  }

  /** Rendezvous over the nodes that are not left out of the shard; `all` of them, rather than nobody. */
  private placed(
    shard: number,
    nodes: readonly NodeRun[],
    rather: 'all' | 'able' = 'all',
  ): string | undefined {
    const able = nodes.filter((node) => !this.leftOuts.has(shard, node));
    const some = able.length === 0 && rather === 'all' ? nodes : able;
    return ownerOf(
      shard,
      some.map(({ owner }) => owner),
    );
  }

  private self(): NodeRun {
    return { owner: this.settings.nodeId, incarnation: this.settings.incarnation };
  }

  private noteLease(shard: number, entry: LeaseView): void {
    this.leftOuts.note(shard, entry.leftOut);
    if (entry.term >= (this.seenLeases.get(shard)?.term ?? 0)) this.seenLeases.set(shard, entry);
  }

  /** True, or why this node is not ready. */
  health(): true | string {
    const wanted = this.wanted();
    const missing = wanted.filter((shard) => !this.owned.get(shard)?.actor.isCaughtUp());
    if (this.state === 'joining') return 'listening for peers';
    if (missing.length > 0) return `${missing.length} of ${wanted.length} shards not yet caught up`;
    const stuck = this.actors().filter((actor) => actor.isStuck(this.settings.stuckAfterMs));
    if (stuck.length > 0) return `shards without progress: ${stuck.map(({ shard }) => shard).join(', ')}`;
    const lost = this.leftOuts.ofSelf().map(({ shard, forMs }) => `${shard} (${Math.ceil(forMs / 1_000)} s)`);
    return lost.length === 0
      ? true
      : `shards lost for lack of progress, not taken again yet: ${lost.join(', ')}`;
  }

  /**
   * Beats, and looks at the peers. They are looked at in between too. The detector, asked less often than once per
   * interval, be it by a millisecond, takes its asker for paused and gives silent peers a second time-out; and a dead peer
   * is so found half an interval sooner.
   */
  private tick(): void {
    if (this.state !== 'up' && this.state !== 'joining') return;
    if (this.state === 'joining' && this.hasListened()) this.state = 'up';
    const { clock, dispatcher } = this.deps;
    const halfIntervalMs = this.settings.heartbeatIntervalMs / 2;
    this.beat();
    this.judge();
    const silentMs = clock.monotonicMs() - this.ownBeatHeardAtMs;
    dispatcher.pause(silentMs > OWN_BEATS_MISSED_MAX * this.settings.heartbeatIntervalMs);
    void this.reconcile();
    this.cancelTick = clock.after(halfIntervalMs, () => {
      if (this.judge().some(({ status }) => status === 'suspect')) void this.reconcile();
      this.cancelTick = clock.after(halfIntervalMs, () => this.tick());
    });
  }

  /** Handing over takes a while, and a peer that has missed the word would not take what is released. */
  private beatWhileLeaving(): void {
    this.beat();
    this.cancelTick?.();
    this.cancelTick = this.deps.clock.after(this.settings.heartbeatIntervalMs, () => this.beatWhileLeaving());
  }

  private beat(caughtUp: readonly number[] = []): void {
    const { nodeId, incarnation } = this.settings;
    const full = [...this.owned.keys()].filter((shard) => this.deps.dispatcher.isFull(shard));
    this.deps.peers.beat({
      v: 1,
      nodeId: nodeId as PeerHeartbeat['nodeId'],
      incarnation,
      state: this.state,
      ...(full.length === 0 ? {} : { full }),
      ...(caughtUp.length === 0 ? {} : { caughtUp: [...caughtUp] }),
    });
  }

  private hasListened(): boolean {
    return (
      this.deps.clock.monotonicMs() - this.startedAtMs >= LISTEN_INTERVALS * this.settings.heartbeatIntervalMs
    );
  }

  /** The living peers. Who has died was silent for the dead time-out already. */
  private judge(): readonly { heartbeat: PeerHeartbeat; status: 'alive' | 'suspect' }[] {
    const nowMs = this.deps.clock.monotonicMs();
    const { peers, died } = this.detector.judge(nowMs);
    for (const { nodeId } of died) this.noteSilence(nodeId, nowMs - this.settings.deadAfterMs);
    return peers;
  }

  private noteSilence(nodeId: string, sinceMs: number): void {
    this.firstSilentAtMs.set(nodeId, sinceMs);
    if (this.firstSilentAtMs.size <= this.settings.peersMax) return;
    const oldest = this.firstSilentAtMs.keys().next();
    if (!oldest.done) this.firstSilentAtMs.delete(oldest.value);
  }

  /** One at a time; what changes meanwhile is looked at right after. Resolves when the look is over. */
  private reconcile(): Promise<void> {
    if (this.reconciling) this.reconcileAgain = true;
    else this.reconciling = this.reconcileUntilQuiet();
    return this.reconciling;
  }

  private async reconcileUntilQuiet(): Promise<void> {
    do {
      this.reconcileAgain = false;
      try {
        await this.reconcileOnce();
      } catch (error) {
        this.deps.logger.warn({ err: error }, 'ownership.failed');
      }
    } while (this.reconcileAgain);
    this.reconciling = undefined;
  }

  private async reconcileOnce(): Promise<void> {
    if (this.state !== 'up') return;
    await this.probeSuspects();
    const wanted = new Set(this.wanted());
    this.handOverMisplaced();
    const nowMs = this.deps.clock.monotonicMs();
    const missing = [...wanted].filter(
      (shard) => !this.owned.has(shard) && (this.notBeforeMs.get(shard) ?? nowMs) <= nowMs,
    );
    // All are waited for, also when one fails: a second try of a shard must not overlap the first.
    const tries = await Promise.allSettled([
      this.releaseUnused(wanted),
      ...missing.map((shard) => this.tryTake(shard)),
    ]);
    const failed = tries.find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** O6. An actor that ended by itself, or a release that got no answer, leaves such a lease behind. */
  private async releaseUnused(wanted: ReadonlySet<number>): Promise<void> {
    const unused = [...this.held].filter(([shard]) => !wanted.has(shard) && !this.owned.has(shard));
    await Promise.all(unused.map(([shard, term]) => this.release(shard, term)));
  }

  private async release(shard: number, term: number): Promise<void> {
    try {
      const released = await this.deps.leases.release(shard, term, this.leftOuts.carried(shard));
      // 'conflict': another holds it, or an earlier try has succeeded after all.
      if (this.held.get(shard) === term) this.held.delete(shard);
      this.deps.logger.debug({ shard, term, released: released.kind }, 'shard.released');
    } catch (error) {
      this.deps.logger.warn({ shard, err: error }, 'lease.not-released');
    }
  }

  /** "No responders" is better evidence than silence: the server itself says that the peer's connection is gone. */
  private async probeSuspects(): Promise<void> {
    const suspects = this.judge().filter(({ status }) => status === 'suspect');
    await Promise.all(
      suspects.map(async ({ heartbeat }) => {
        const answer = await this.probe(heartbeat.nodeId);
        if (answer === 'no-responders') this.detector.declareDead(heartbeat);
      }),
    );
  }

  /** Many shards may wait for the same owner; it is asked once. */
  private probe(nodeId: string): Promise<'alive' | 'no-responders' | 'silent'> {
    let probe = this.probes.get(nodeId);
    if (!probe) {
      probe = this.deps.peers.probe(nodeId).finally(() => this.probes.delete(nodeId));
      this.probes.set(nodeId, probe);
    }
    return probe;
  }

  /** At once, whatever a look under way is waiting for, and on what the watch says: nobody serves the shard meanwhile. */
  private async takeFreed(shard: number, term: number): Promise<void> {
    const nowMs = this.deps.clock.monotonicMs();
    if (this.state !== 'up' || (this.notBeforeMs.get(shard) ?? nowMs) > nowMs) return;
    if (this.placed(shard, this.living(['up', 'joining'])) !== this.settings.nodeId) return;
    // The look under way may have read the lease before it was free.
    if (this.taking.has(shard)) return void this.reconcile();
    this.taking.add(shard);
    try {
      await this.takeLease(shard, term, this.leftOuts.carried(shard));
    } catch (error) {
      // The next look tries again.
      this.deps.logger.warn({ shard, err: error }, 'ownership.failed');
    } finally {
      this.taking.delete(shard);
    }
  }

  private async tryTake(shard: number): Promise<void> {
    if (this.taking.has(shard)) return;
    this.taking.add(shard);
    try {
      const { nodeId } = this.settings;
      const entry = await this.deps.leases.read(shard);
      const { lease, term } = entry;
      this.noteLease(shard, entry);
      if (lease && lease.owner !== nodeId && !(await this.isDead(lease))) return;
      if (this.state !== 'up' || this.owned.has(shard)) return;
      // What was just read may say that this node is left out.
      if (this.placed(shard, this.living(['up', 'joining'])) !== nodeId) return;
      const isTaken = await this.takeLease(shard, term, this.leftOuts.carried(shard));
      if (isTaken && lease && lease.owner !== nodeId)
        this.deps.logger.info({ shard, from: lease.owner, term: isTaken }, 'shard.taken-over');
    } finally {
      this.taking.delete(shard);
    }
  }

  /** O1. Runs the shard if the lease still is of `expectedTerm`; tells the new term, or undefined. */
  private async takeLease(
    shard: number,
    expectedTerm: number,
    leftOut: LeftOut[],
  ): Promise<number | undefined> {
    this.seenTerms.delete(shard);
    const lease = { ...this.self(), ...(leftOut.length === 0 ? {} : { leftOut }) };
    const taken = await this.deps.leases.take(shard, lease, expectedTerm);
    if (taken.kind === 'conflict') return undefined;
    const { term } = taken;
    this.held.set(shard, term);
    // The watch may be faster than the answer: the lease has another owner again (O4).
    if (this.state !== 'up' || (this.seenTerms.get(shard) ?? 0) > term) return undefined;
    this.noteLease(shard, { lease: this.self(), term, leftOut });
    this.run(shard, this.deps.createActor(shard, term));
    return term;
  }

  private run(shard: number, actor: ShardActor): void {
    const ended = actor
      .run(() => this.beat([shard]))
      .then((end) => {
        if (this.owned.get(shard) !== owned) {
          this.abandoned--;
          return;
        }
        this.owned.delete(shard);
        if (end === 'failed') this.notBeforeMs.set(shard, this.deps.clock.monotonicMs() + FAILED_RETRY_MS);
        else this.notBeforeMs.delete(shard);
        // The lease is taken anew under a higher term by the next look, if the shard still belongs here.
        if (end !== 'stopped') this.deps.logger.warn({ shard, term: actor.term, end }, 'shard.ended');
      });
    const owned: Owned = { actor, term: actor.term, state: 'running', ended };
    this.owned.set(shard, owned);
  }

  /** O2. An owner that was never heard is probed, and given the dead time-out if it is silent. */
  private async isDead(lease: { owner: string; incarnation: string }): Promise<boolean> {
    const { owner } = lease;
    const living = this.judge().find(({ heartbeat }) => heartbeat.nodeId === owner);
    if (living) {
      this.firstSilentAtMs.delete(owner);
      return living.heartbeat.incarnation !== lease.incarnation;
    }
    const answer = await this.probe(owner);
    if (answer === 'no-responders') return true;
    if (answer === 'alive') {
      this.firstSilentAtMs.delete(owner);
      return false;
    }
    const nowMs = this.deps.clock.monotonicMs();
    const sinceMs = this.firstSilentAtMs.get(owner) ?? nowMs;
    this.noteSilence(owner, sinceMs);
    return nowMs - sinceMs >= this.settings.deadAfterMs;
  }

  /** O3. What is misplaced when the handover is over is seen by the next look. */
  private handOverMisplaced(): void {
    if (this.handingOver) return;
    const isMisplaced = (shard: number) => this.placed(shard, this.livingUp()) !== this.settings.nodeId;
    const kept = new Set(this.placedHere(['up']));
    const misplaced = [...this.owned].filter(([shard, { state }]) => !kept.has(shard) && state === 'running');
    if (misplaced.length === 0) return;
    this.handingOver = this.handOver(
      misplaced.map(([shard]) => shard),
      isMisplaced,
      HANDOVERS_TO_JOINING,
    ).finally(() => (this.handingOver = undefined));
  }

  /** O9. The placement may have changed again when the turn of a shard comes. */
  private async handOver(
    given: readonly number[],
    isLeaving: (shard: number) => boolean,
    atOnce: number,
  ): Promise<void> {
    const waiting = [...given];
    const untilMs = this.deps.clock.monotonicMs() + ALL_SERVED_WITHIN_MS;
    const worker = async (): Promise<void> => {
      for (let shard = waiting.shift(); shard !== undefined; shard = waiting.shift()) {
        if (!isLeaving(shard)) continue;
        const served = waiting.length === 0 ? undefined : this.servedByPeer(shard, untilMs);
        await this.giveUp(shard);
        // One whose lease could not be given back is not taken by anyone.
        if (!this.held.has(shard)) await served;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  }

  /** O9. Resolves when a peer says that it has caught up with the shard, when there is none, or when it takes too long. */
  private servedByPeer(shard: number, untilMs: number): Promise<void> {
    const { clock } = this.deps;
    const withinMs = Math.min(SERVED_WITHIN_MS, untilMs - clock.monotonicMs());
    if (withinMs <= 0 || this.livingUp().length < 2) return Promise.resolve();
    return new Promise((resolve) => {
      const go = () => {
        cancel();
        this.awaited.delete(shard);
        resolve();
      };
      const cancel = clock.after(withinMs, go);
      this.awaited.set(shard, go);
    });
  }

  /** O3: stop, settle, release. Resolves when that is done, also for a shard that is being given up already. */
  private giveUp(shard: number): Promise<void> {
    const owned = this.owned.get(shard);
    if (!owned) return Promise.resolve();
    if (owned.state === 'stopping') return owned.givenUp ?? owned.ended;
    owned.state = 'stopping';
    owned.givenUp = this.stopAndRelease(shard, owned);
    return owned.givenUp;
  }

  private async stopAndRelease(shard: number, owned: Owned): Promise<void> {
    const stopped = this.deps.dispatcher
      .flushSettled(shard)
      .then(() => owned.actor.stop())
      .then(() => owned.ended);
    await this.stopWithin(STOP_WITHIN_MS, shard, owned, stopped);
    await this.release(shard, owned.term);
  }

  /** O7: waits for the end of an actor that is to stop, or abandons it. */
  private async stopWithin(
    withinMs: number,
    shard: number,
    owned: Owned,
    stopped: Promise<void>,
  ): Promise<void> {
    let cancel: () => void = () => undefined;
    const tooLong = new Promise<void>((resolve) => (cancel = this.deps.clock.after(withinMs, resolve)));
    await Promise.race([stopped, tooLong]);
    cancel();
    if (this.owned.get(shard) !== owned) return;
    this.deps.logger.error({ shard, term: owned.term, withinMs }, 'shard.abandoned');
    this.abandon(shard, owned);
  }

  private abandon(shard: number, owned: Owned): void {
    this.abandoned++;
    this.owned.delete(shard);
    owned.actor.abandon();
    this.deps.dispatcher.dropShard(shard, owned.term);
  }
}

function isSame(heartbeat: PeerHeartbeat, lease: NodeRun | undefined): boolean {
  return heartbeat.nodeId === lease?.owner && heartbeat.incarnation === lease.incarnation;
}

function shards(count: number): number[] {
  return Array.from({ length: count }, (_, shard) => shard);
}
