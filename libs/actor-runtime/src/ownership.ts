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
}

/** Beats that a node may miss of its own before it stops dispatching. */
const OWN_BEATS_MISSED_MAX = 3;
/** Peers are listened to for this many intervals before the first shard is taken, so that a newcomer does not grab all. */
const LISTEN_INTERVALS = 2;

/**
 * Decides which shards this node runs, and keeps their leases (DESIGN section 10).
 *
 * O1. A shard is run only under a lease taken by compare-and-set; its revision is the term.
 * O2. A lease is taken from another owner only when that owner is dead: nobody responds to its probe, or it has been
 *     silent for the dead time-out. A free one, or one of an earlier incarnation of this node, is taken at once.
 * O3. Placement is by rendezvous over the living nodes that are not leaving. A shard that belongs elsewhere is stopped
 *     (its batch finished) before its lease is released.
 * O4. A lease seen in other hands ends the actor, and so does a commit that conflicts.
 * O5. A node that does not hear its own beats sends no pushes.
 */
export class Ownership {
  private readonly owned = new Map<number, Owned>();
  private readonly starting = new Set<number>();
  private readonly detector: FailureDetector<PeerHeartbeat>;
  private readonly firstSilentAtMs = new Map<string, number>();
  private ownBeatHeardAtMs: number;
  private readonly startedAtMs: number;
  private state: PeerHeartbeat['state'] = 'up';
  private cancelTick: (() => void) | undefined;
  private reconciling = false;
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
    await Promise.all([...this.owned.keys()].map((shard) => this.giveUp(shard)));
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
    if (outcome !== 'refreshed' && outcome !== 'stale') {
      this.deps.logger.info({ peer: heartbeat.nodeId, outcome, state: heartbeat.state }, 'peer.changed');
      void this.reconcile();
    }
  }

  /** A lease has changed hands (O4). */
  seeLease(shard: number, owner: { owner: string; incarnation: string } | undefined, term: number): void {
    const owned = this.owned.get(shard);
    if (
      owned &&
      term > owned.term &&
      (owner?.owner !== this.settings.nodeId || owner.incarnation !== this.settings.incarnation)
    ) {
      this.depose(shard, 'lease-taken');
    } else if (!owned && owner === undefined) void this.reconcile();
  }

  /** Someone has seen a higher term for this shard. */
  depose(shard: number, reason: string): void {
    const owned = this.owned.get(shard);
    if (!owned || owned.state === 'stopping') return;
    owned.state = 'stopping';
    this.deps.logger.warn({ shard, term: owned.term, reason }, 'shard.deposed');
    this.deps.dispatcher.dropShard(shard, owned.term);
    this.deps.dispatcher.nudge(shard);
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
    if (this.state !== 'up') return [];
    const live = this.liveNodes();
    return shards(this.settings.shardCount).filter((shard) => ownerOf(shard, live) === this.settings.nodeId);
  }

  /** True, or why this node is not ready. */
  health(): true | string {
    const wanted = this.wanted();
    const missing = wanted.filter((shard) => !this.owned.get(shard)?.actor.isCaughtUp());
    if (!this.hasListened()) return 'listening for peers';
    if (missing.length > 0) return `${missing.length} of ${wanted.length} shards not yet caught up`;
    const stuck = this.actors().filter((actor) => actor.isStuck(this.settings.stuckAfterMs));
    return stuck.length === 0
      ? true
      : `shards without progress: ${stuck.map(({ shard }) => shard).join(', ')}`;
  }

  private tick(): void {
    if (this.state !== 'up') return;
    const { clock, dispatcher } = this.deps;
    this.beat();
    const silentMs = clock.monotonicMs() - this.ownBeatHeardAtMs;
    dispatcher.pause(silentMs > OWN_BEATS_MISSED_MAX * this.settings.heartbeatIntervalMs);
    void this.reconcile();
    this.cancelTick = clock.after(this.settings.heartbeatIntervalMs, () => this.tick());
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

  private liveNodes(): string[] {
    const { peers } = this.detector.judge(this.deps.clock.monotonicMs());
    return [
      this.settings.nodeId,
      ...peers.filter(({ heartbeat }) => heartbeat.state === 'up').map(({ heartbeat }) => heartbeat.nodeId),
    ];
  }

  /** One at a time; what changes meanwhile is looked at right after. */
  private async reconcile(): Promise<void> {
    if (this.reconciling) {
      this.reconcileAgain = true;
      return;
    }
    this.reconciling = true;
    do {
      this.reconcileAgain = false;
      try {
        await this.reconcileOnce();
      } catch (error) {
        this.deps.logger.warn({ err: error }, 'ownership.failed');
      }
    } while (this.reconcileAgain);
    this.reconciling = false;
  }

  private async reconcileOnce(): Promise<void> {
    if (this.state !== 'up' || !this.hasListened()) return;
    await this.probeSuspects();
    const wanted = new Set(this.wanted());
    for (const [shard, { state }] of this.owned)
      if (!wanted.has(shard) && state === 'running') void this.giveUp(shard);
    const missing = [...wanted].filter((shard) => !this.owned.has(shard) && !this.starting.has(shard));
    await Promise.all(missing.map((shard) => this.tryTake(shard)));
  }

  /** "No responders" is better evidence than silence: the server itself says that the peer's connection is gone. */
  private async probeSuspects(): Promise<void> {
    const { peers } = this.detector.judge(this.deps.clock.monotonicMs());
    const suspects = peers.filter(({ status }) => status === 'suspect');
    await Promise.all(
      suspects.map(async ({ heartbeat }) => {
        const answer = await this.deps.peers.probe(heartbeat.nodeId);
        if (answer === 'no-responders') this.detector.declareDead(heartbeat);
      }),
    );
  }

  private async tryTake(shard: number): Promise<void> {
    const { leases, logger, createActor } = this.deps;
    const { nodeId, incarnation } = this.settings;
    this.starting.add(shard);
    try {
      const { lease, term: seenTerm } = await leases.read(shard);
      if (lease && lease.owner !== nodeId && !(await this.isDead(lease.owner))) return;
      const taken = await leases.take(shard, { owner: nodeId, incarnation }, seenTerm);
      if (taken.kind === 'conflict' || this.state !== 'up') return;
      if (lease && lease.owner !== nodeId)
        logger.info({ shard, from: lease.owner, term: taken.term }, 'shard.taken-over');
      this.run(shard, createActor(shard, taken.term));
    } finally {
      this.starting.delete(shard);
    }
  }

  private run(shard: number, actor: ShardActor): void {
    const owned: Owned = { actor, term: actor.term, state: 'running' };
    this.owned.set(shard, owned);
    void actor.run().then((end) => {
      if (this.owned.get(shard) === owned) this.owned.delete(shard);
      // The lease is taken anew under a higher term by the next look, if the shard still belongs here.
      if (end !== 'stopped') this.deps.logger.warn({ shard, term: actor.term, end }, 'shard.ended');
    });
  }

  /** O2. An owner that was never heard is probed, and given the dead time-out if it is silent. */
  private async isDead(owner: string): Promise<boolean> {
    const nowMs = this.deps.clock.monotonicMs();
    if (this.detector.status(owner, nowMs) !== 'dead') {
      this.firstSilentAtMs.delete(owner);
      return false;
    }
    const answer = await this.deps.peers.probe(owner);
    if (answer === 'no-responders') return true;
    if (answer === 'alive') {
      this.firstSilentAtMs.delete(owner);
      return false;
    }
    const sinceMs = this.firstSilentAtMs.get(owner) ?? nowMs;
    this.firstSilentAtMs.set(owner, sinceMs);
    return nowMs - sinceMs >= this.settings.deadAfterMs;
  }

  /** O3: stop, settle, release. */
  private async giveUp(shard: number): Promise<void> {
    const owned = this.owned.get(shard);
    if (!owned || owned.state === 'stopping') return;
    owned.state = 'stopping';
    await this.deps.dispatcher.flushSettled(shard);
    this.deps.dispatcher.nudge(shard);
    await owned.actor.stop();
    const released = await this.deps.leases.release(shard, owned.term).catch((error: unknown) => {
      this.deps.logger.warn({ shard, err: error }, 'lease.not-released');
    });
    this.deps.logger.debug({ shard, term: owned.term, released: released?.kind }, 'shard.released');
  }
}

function shards(count: number): number[] {
  return Array.from({ length: count }, (_, shard) => shard);
}
