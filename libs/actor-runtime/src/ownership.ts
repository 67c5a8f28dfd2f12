import type { PeerHeartbeat } from '@flexpush/contracts';
import { FailureDetector, ownerOf } from '@flexpush/membership';
import type { Dispatcher } from './dispatcher';
import type { Clock, Leases, Log, PeerTransport } from './ports';
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

/** Beats that a node may miss of its own before it stops dispatching. */
const OWN_BEATS_MISSED_MAX = 3;
/** Peers are listened to for this many intervals before the first shard is taken, so that a newcomer does not grab all. */
const LISTEN_INTERVALS = 2;
/** A shard whose actor has failed is tried again after so long, not with every look. */
const FAILED_RETRY_MS = 1_000;

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
 */
export class Ownership {
  private readonly owned = new Map<number, Owned>();
  private readonly detector: FailureDetector<PeerHeartbeat>;
  /** Leases that this incarnation took and has not given back, with their terms (O6). */
  private readonly held = new Map<number, number>();
  /** The newest revision of each lease that the watch has told since it was last read. */
  private readonly seenTerms = new Map<number, number>();
  private readonly notBeforeMs = new Map<number, number>();
  private readonly firstSilentAtMs = new Map<string, number>();
  private readonly probes = new Map<string, Promise<'alive' | 'no-responders' | 'silent'>>();
  private ownBeatHeardAtMs: number;
  private readonly startedAtMs: number;
  private state: PeerHeartbeat['state'] = 'joining';
  private cancelTick: (() => void) | undefined;
  private reconciling: Promise<void> | undefined;
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
    this.startedAtMs = deps.clock.monotonicMs();
    this.ownBeatHeardAtMs = this.startedAtMs;
  }

  start(): void {
    this.tick();
  }

  /** Stops every shard (batches finished, results settled), releases the leases and says so. */
  async stop(): Promise<void> {
    this.state = 'leaving';
    this.beat();
    this.cancelTick?.();
    // A look under way may still be taking leases; it ends without running them.
    await Promise.all([this.reconciling, ...[...this.owned.keys()].map((shard) => this.giveUp(shard))]);
    await this.releaseUnused(new Set());
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
    const outcome = this.detector.signal(heartbeat, nowMs);
    this.firstSilentAtMs.delete(heartbeat.nodeId);
    if (outcome !== 'refreshed' && outcome !== 'stale') {
      this.deps.logger.info({ peer: heartbeat.nodeId, outcome, state: heartbeat.state }, 'peer.changed');
      void this.reconcile();
    }
  }

  /** A lease has changed hands (O4). */
  seeLease(shard: number, owner: { owner: string; incarnation: string } | undefined, term: number): void {
    const owned = this.owned.get(shard);
    this.seenTerms.set(shard, Math.max(term, this.seenTerms.get(shard) ?? 0));
    const isOurs = owner?.owner === this.settings.nodeId && owner.incarnation === this.settings.incarnation;
    const held = this.held.get(shard) ?? 0;
    // A take whose answer was lost is learnt here: else nobody would run the shard, and nobody could release it (O6).
    if (isOurs) this.held.set(shard, Math.max(term, held));
    else if (term > held) this.held.delete(shard);
    if (owned && term > owned.term && !isOurs) {
      this.depose(shard, 'lease-taken');
    } else if (!owned && owner === undefined) void this.reconcile();
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
  }

  actors(): ShardActor[] {
    return [...this.owned.values()].map(({ actor }) => actor);
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
    const peers = this.judge().filter(({ heartbeat }) => states.includes(heartbeat.state));
    const live = [this.settings.nodeId, ...peers.map(({ heartbeat }) => heartbeat.nodeId as string)];
    return shards(this.settings.shardCount).filter((shard) => ownerOf(shard, live) === this.settings.nodeId);
  }

  /** True, or why this node is not ready. */
  health(): true | string {
    const wanted = this.wanted();
    const missing = wanted.filter((shard) => !this.owned.get(shard)?.actor.isCaughtUp());
    if (this.state === 'joining') return 'listening for peers';
    if (missing.length > 0) return `${missing.length} of ${wanted.length} shards not yet caught up`;
    const stuck = this.actors().filter((actor) => actor.isStuck(this.settings.stuckAfterMs));
    return stuck.length === 0
      ? true
      : `shards without progress: ${stuck.map(({ shard }) => shard).join(', ')}`;
  }

  /**
   * Beats, and looks at the peers. The detector is asked in between too: asked less often than once per interval, be it
   * by a millisecond, it takes its asker for paused and gives silent peers a second time-out.
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
      this.judge();
      this.cancelTick = clock.after(halfIntervalMs, () => this.tick());
    });
  }

  private beat(): void {
    const { nodeId, incarnation } = this.settings;
    this.deps.peers.beat({ v: 1, nodeId: nodeId as PeerHeartbeat['nodeId'], incarnation, state: this.state });
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
    const kept = new Set(this.placedHere(['up']));
    for (const [shard, { state }] of this.owned)
      if (!kept.has(shard) && state === 'running') void this.giveUp(shard);
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
      const released = await this.deps.leases.release(shard, term);
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

  private async tryTake(shard: number): Promise<void> {
    const { leases, logger, createActor } = this.deps;
    const { nodeId, incarnation } = this.settings;
    this.seenTerms.delete(shard);
    const { lease, term: seenTerm } = await leases.read(shard);
    if (lease && lease.owner !== nodeId && !(await this.isDead(lease))) return;
    if (this.state !== 'up') return;
    const taken = await leases.take(shard, { owner: nodeId, incarnation }, seenTerm);
    if (taken.kind === 'conflict') return;
    this.held.set(shard, taken.term);
    // The watch may be faster than the answer: the lease has another owner again (O4).
    if (this.state !== 'up' || (this.seenTerms.get(shard) ?? 0) > taken.term) return;
    if (lease && lease.owner !== nodeId)
      logger.info({ shard, from: lease.owner, term: taken.term }, 'shard.taken-over');
    this.run(shard, createActor(shard, taken.term));
  }

  private run(shard: number, actor: ShardActor): void {
    const ended = actor.run().then((end) => {
      if (this.owned.get(shard) === owned) this.owned.delete(shard);
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
    await this.deps.dispatcher.flushSettled(shard);
    await owned.actor.stop();
    await owned.ended;
    await this.release(shard, owned.term);
  }
}

function shards(count: number): number[] {
  return Array.from({ length: count }, (_, shard) => shard);
}
