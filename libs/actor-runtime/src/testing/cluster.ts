import type { LogRecord, PeerHeartbeat } from '@flexpush/contracts';
import { BatchWaves } from '../batch-waves';
import { Dispatcher } from '../dispatcher';
import { LossWatch } from '../loss-watch';
import { Ownership } from '../ownership';
import type { Commit, LogMessage, LogReader, ShardStore } from '../ports';
import { ProgressWatch } from '../progress-watch';
import { RebuildTurns } from '../rebuild-turns';
import { ShardActor } from '../shard-actor';
import { Watchdog } from '../watchdog';
import { gmsView, MemoryGms } from './memory-gms';
import { MemoryLeases } from './memory-leases';
import { MemoryLog } from './memory-log';
import { MemoryLetters, MemoryLogger, MemoryMeter, MemoryReplies } from './memory-ports';
import { MemorySnapshots } from './memory-snapshots';
import { MemoryStore } from './memory-store';
import { fired, isPublic, options, SHARDS } from './records';
import { claimDue, DISPATCHER_SETTINGS } from './shard-rig';
import { FreezableClock, turn, VirtualClock } from './virtual-clock';

export const HEARTBEAT_MS = 250;
export const DEAD_AFTER_MS = 1_000;
export const STUCK_AFTER_MS = 3_000;
const PROBE_TIMEOUT_MS = 250;
const SWEEP_MS = 1_000;
const LATENCY_MAX_MS = 4;

/**
 * Several session-actor nodes in one process, sharing the log, the store, the leases and one GMS node, under one clock.
 * What a node has sent arrives even if the node dies meanwhile; what comes for a frozen node waits until it thaws.
 */
export class Cluster {
  readonly clock = new VirtualClock();
  readonly log = new MemoryLog(() => this.clock.nowMs());
  readonly store = new MemoryStore();
  readonly leases = new MemoryLeases();
  readonly snapshots = new MemorySnapshots();
  readonly letters = new MemoryLetters();
  readonly replies = new MemoryReplies();
  readonly gms = new MemoryGms();
  readonly nodes = new Map<string, ClusterNode>();
  /** Pairs of nodes that do not hear each other, as `a>b`. */
  readonly cut = new Set<string>();
  private starts = 0;

  constructor(
    private seed = 1,
    readonly shardCount = SHARDS,
  ) {
    for (let shard = 0; shard < shardCount; shard++) this.publish(shard, options(1));
  }

  start(nodeId: string): ClusterNode {
    const node = new ClusterNode(this, nodeId, `${nodeId}.${++this.starts}`);
    this.nodes.set(nodeId, node);
    node.start();
    return node;
  }

  publish(shard: number, record: LogRecord): void {
    this.log.publish(shard, JSON.stringify(record), { isPublic: isPublic(record) });
  }

  /** As resend-timer does, for every shard. */
  fireDue(): void {
    for (let shard = 0; shard < SHARDS; shard++) {
      const due = claimDue(this.store.shard(shard), this.clock.nowMs());
      if (due.length > 0) this.publish(shard, fired(...due));
    }
  }

  /** A network's delay; the same seed gives the same delays. */
  delay(): Promise<void> {
    this.seed = (Math.imul(this.seed, 1_103_515_245) + 12_345) >>> 0;
    const delayMs = (this.seed >>> 16) % (LATENCY_MAX_MS + 1);
    return new Promise((resolve) => this.clock.after(delayMs, resolve));
  }

  isCut(from: string, to: string): boolean {
    return this.cut.has(`${from}>${to}`);
  }

  spread(heartbeat: PeerHeartbeat): void {
    for (const node of this.nodes.values())
      if (!this.isCut(heartbeat.nodeId, node.nodeId)) node.receive(() => node.ownership.hear(heartbeat));
  }

  async probe(from: string, to: string): Promise<'alive' | 'no-responders' | 'silent'> {
    await this.delay();
    const node = this.nodes.get(to);
    if (!node || node.state === 'dead') return 'no-responders';
    if (node.state === 'running' && !this.isCut(from, to) && !this.isCut(to, from)) return 'alive';
    await new Promise<void>((resolve) => this.clock.after(PROBE_TIMEOUT_MS, resolve));
    return 'silent';
  }

  /** Per shard, the nodes that run it and are caught up. */
  owners(): string[][] {
    return Array.from({ length: this.shardCount }, (_, shard) =>
      [...this.nodes.values()]
        .filter((node) => node.state === 'running' && node.ownership.actor(shard)?.isCaughtUp())
        .map(({ nodeId }) => nodeId),
    );
  }
}

/**
 * What a node waits for in vain, while it beats and answers probes as ever: readers give nothing, commits get no answer
 * (they take effect, or do not), catch-ups never begin.
 */
export type Wedge = 'reader' | 'commit-lost' | 'commit-unanswered' | 'acquire';

const never = <T>(): Promise<T> => new Promise(() => undefined);

export class ClusterNode {
  state: 'running' | 'frozen' | 'dead' = 'running';
  isLeaving = false;
  private readonly wedges = new Map<number, { wedge: Wedge; termMax: number }>();
  readonly progress: ProgressWatch;
  readonly watchdog: Watchdog;
  readonly clock: FreezableClock;
  readonly logger = new MemoryLogger();
  readonly meter = new MemoryMeter();
  readonly dispatcher: Dispatcher;
  private readonly rebuilds = new RebuildTurns(1);
  private readonly waves: BatchWaves;
  readonly ownership: Ownership;
  private inbox: (() => void)[] = [];
  private stopWatching: () => void = () => undefined;
  private readonly losses: LossWatch;

  constructor(
    private readonly cluster: Cluster,
    readonly nodeId: string,
    readonly incarnation: string,
  ) {
    const { logger, meter } = this;
    const clock = (this.clock = new FreezableClock(cluster.clock));
    this.waves = new BatchWaves(clock);
    this.dispatcher = new Dispatcher(
      {
        transport: this.gms(),
        appender: { append: this.remote(cluster.log.append.bind(cluster.log)) },
        clock,
        logger,
        meter,
      },
      { ...DISPATCHER_SETTINGS, nodeId },
      (shard) => this.ownership.depose(shard, 'newer-term-seen'),
    );
    this.dispatcher.setView(gmsView('gms-a'));
    const { leases } = cluster;
    this.ownership = new Ownership(
      {
        leases: {
          read: this.remote(leases.read.bind(leases)),
          take: this.remote(leases.take.bind(leases)),
          release: this.remote(leases.release.bind(leases)),
        },
        peers: {
          beat: (heartbeat) => void cluster.delay().then(() => cluster.spread(heartbeat)),
          probe: (peer) => this.hold(cluster.probe(nodeId, peer)),
        },
        dispatcher: this.dispatcher,
        clock,
        logger,
        createActor: (shard, term) => this.createActor(shard, term),
      },
      {
        nodeId,
        incarnation,
        shardCount: cluster.shardCount,
        heartbeatIntervalMs: HEARTBEAT_MS,
        deadAfterMs: DEAD_AFTER_MS,
        stuckAfterMs: STUCK_AFTER_MS,
        peersMax: 10,
      },
    );
    const { ownership, dispatcher } = this;
    const log = {
      state: this.remote(() => cluster.log.state()),
      lastSeqOf: this.remote((shard: number) => cluster.log.lastSeqOf(shard)),
      timeOf: this.remote((seq: number) => cluster.log.timeOf(seq)),
    };
    const store = this.storeOf(cluster.store, -1);
    this.progress = new ProgressWatch(
      { log, store, ownership, clock, logger, meter },
      { shardCount: SHARDS, stuckAfterMs: STUCK_AFTER_MS },
    );
    this.watchdog = new Watchdog(
      { store, ownership, dispatcher, clock, logger, meter },
      { settleDeadlineMs: DISPATCHER_SETTINGS.settleDeadlineMs },
    );
    this.losses = new LossWatch({ ownership, store, log });
  }

  start(): void {
    this.stopWatching = this.cluster.leases.watch((shard, { lease, term, leftOut }) =>
      this.receive(() => this.ownership.seeLease(shard, lease, term, leftOut)),
    );
    this.ownership.start();
    this.progress.start();
    this.watchdog.start();
    this.clock.after(SWEEP_MS, () => void this.sweep());
  }

  /** SIGTERM; the process ends when all is released. */
  async leave(): Promise<void> {
    this.isLeaving = true;
    await this.ownership.stop();
    this.crash();
  }

  /** SIGKILL. */
  crash(): void {
    this.state = 'dead';
    this.isLeaving = false;
    this.clock.freeze(true);
    this.stopWatching();
  }

  /** SIGSTOP and SIGCONT. */
  async freeze(frozen: boolean): Promise<void> {
    if (this.state === 'dead') return;
    this.state = frozen ? 'frozen' : 'running';
    this.clock.freeze(frozen);
    if (!frozen) for (const message of this.inbox.splice(0)) message();
    await turn();
  }

  /** Whoever runs the shard here stands still from now on, or only who runs it now; undefined ends it for who comes then. */
  wedge(shard: number, wedge: Wedge | undefined, actors: 'all' | 'present' = 'all'): void {
    const termMax = actors === 'all' ? Infinity : (this.ownership.actor(shard)?.term ?? 0);
    if (wedge) this.wedges.set(shard, { wedge, termMax });
    else this.wedges.delete(shard);
  }

  private isWedged(shard: number, term: number, wedge: Wedge): boolean {
    const one = this.wedges.get(shard);
    return one?.wedge === wedge && term <= one.termMax;
  }

  /** Something comes in over the network. */
  receive(handle: () => void): void {
    if (this.state === 'frozen') this.inbox.push(handle);
    else if (this.state === 'running') handle();
  }

  /** An answer as this node sees it: when it is awake, and never when it is dead. */
  private hold<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.receive(() => resolve(value)),
        (error: unknown) =>
          this.receive(() => reject(error instanceof Error ? error : new Error(String(error)))),
      );
    });
  }

  /** A call over the network: it takes effect after a while, and its answer is held like any other. */
  private remote<A extends unknown[], T>(call: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
    return (...args) => this.hold(this.cluster.delay().then(() => call(...args)));
  }

  private gms() {
    const { gms } = this.cluster;
    return {
      dispatch: this.remote(async (gmsNodeId: string, payload: string) => {
        const seen = gms.accepted.length;
        const answer = await gms.dispatch(gmsNodeId, payload);
        const taken = gms.accepted.slice(seen);
        void this.cluster.delay().then(() =>
          this.receive(() => {
            for (const { shard, job } of taken)
              this.dispatcher.takeResults(gms.results(gmsNodeId, shard, { [job.id]: 'delivered' }));
          }),
        );
        return answer;
      }),
      withdraw: gms.withdraw.bind(gms),
      announceTerm: gms.announceTerm.bind(gms),
    };
  }

  private createActor(shard: number, term: number): ShardActor {
    const { log, letters, replies } = this.cluster;
    const { dispatcher, clock, logger, meter } = this;
    return new ShardActor(
      shard,
      term,
      {
        log: {
          state: this.remote(log.state.bind(log)),
          lastSeqOf: this.remote(log.lastSeqOf.bind(log)),
          timeOf: this.remote(log.timeOf.bind(log)),
          read: this.remote(async (o) => this.reader(await log.read(o), shard, term)),
        },
        store: this.storeOf(this.cluster.store, term),
        snapshots: this.cluster.snapshots,
        letters,
        replies,
        dispatcher,
        rebuilds: this.rebuilds,
        waves: this.waves,
        clock,
        logger,
        meter,
      },
      {
        shardCount: this.cluster.shardCount,
        alias: '101',
        nodeId: this.incarnation,
        recordsPerBatch: 4,
        messagesQueuedMax: 64,
        sessionsCachedMax: 10,
        replyAgeMaxMs: 10_000,
      },
    );
  }

  private reader(reader: LogReader, shard: number, term: number): LogReader {
    const isDead = () => this.isWedged(shard, term, 'reader');
    return {
      next: async (max): Promise<LogMessage[]> => {
        const messages = await this.hold(reader.next(max));
        return isDead() ? never() : messages;
      },
      nudge: () => reader.nudge(),
      waiting: () => (isDead() ? 0 : reader.waiting()),
      close: () => reader.close(),
    };
  }

  private storeOf(store: MemoryStore, term: number): ShardStore {
    return {
      loadShard: this.remote(store.loadShard.bind(store)),
      checkpoints: this.remote(store.checkpoints.bind(store)),
      loadSessions: this.remote(store.loadSessions.bind(store)),
      loadTranscript: this.remote(store.loadTranscript.bind(store)),
      commit: this.remote(async (shard: number, commit: Commit) => {
        if (this.isWedged(shard, term, 'commit-lost')) return never();
        const outcome = await store.commit(shard, commit);
        return this.isWedged(shard, term, 'commit-unanswered') ? never() : outcome;
      }),
      hold: this.remote(async (shard, on, at) => {
        await store.hold(shard, on, at);
        if (this.isWedged(shard, term, 'acquire')) await never();
      }),
      standings: this.remote((shards) => store.standings(shards)),
      firstTimers: this.remote(store.firstTimers.bind(store)),
      probeWrite: this.remote(store.probeWrite.bind(store)),
      someSessions: this.remote(store.someSessions.bind(store)),
      timerScores: this.remote(store.timerScores.bind(store)),
      oldestSnapshots: this.remote(store.oldestSnapshots.bind(store)),
      noteSnapshots: this.remote(store.noteSnapshots.bind(store)),
    };
  }

  /** What the process does once a second. */
  private async sweep(): Promise<void> {
    this.clock.after(SWEEP_MS, () => void this.sweep());
    this.dispatcher.sweep();
    await this.losses.look();
  }
}
