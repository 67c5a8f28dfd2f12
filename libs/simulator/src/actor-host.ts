import {
  subjects,
  type DispatchAnswer,
  type GmsView,
  type LogRecord,
  type PeerHeartbeat,
  type PushResults,
} from '@flexpush/contracts';
import {
  BatchWaves,
  Dispatcher,
  LossWatch,
  Ownership,
  ProgressWatch,
  RebuildTurns,
  ShardActor,
  Watchdog,
  type Commit,
  type GmsTransport,
  type LogReader,
  type PeerTransport,
  type ShardLog,
  type ShardStore,
} from '@flexpush/actor-runtime';
import { MemoryMeter } from '@flexpush/actor-runtime/testing';
import { Host } from './host';
import { foldWithoutConfirmCheck } from './switches';
import { SHARDS, SILENT, type World } from './world';

const HEARTBEAT_MS = 250;
const DEAD_AFTER_MS = 1_500;
const DISPATCH_TIMEOUT_MS = 2_000;
const SWEEP_MS = 1_000;
/** With `commit-before-effect` switched off a commit follows its effects within this. */
const LATE_COMMIT_MAX_MS = 250;
const STUCK_AFTER_MS = 3_000;
const SETTLE_DEADLINE_MS = 5_000;

/** A session-actor process: the real runtime on the world's ports. */
export class ActorHost {
  readonly host: Host;
  private readonly logger = SILENT;
  private readonly meter = new MemoryMeter();
  private readonly dispatcher: Dispatcher;
  private readonly rebuilds = new RebuildTurns(1);
  private readonly waves: BatchWaves;
  private readonly ownership: Ownership;
  private readonly progress: ProgressWatch;
  private readonly watchdog: Watchdog;
  private readonly losses: LossWatch;
  private stopWatching: () => void = () => undefined;

  constructor(
    private readonly world: World,
    readonly name: string,
    private readonly incarnation: string,
  ) {
    this.host = new Host(name, world.time);
    this.waves = new BatchWaves(this.host.clock);
    const { network } = world;
    const { logger, meter, host } = this;
    const { clock } = host;
    this.dispatcher = new Dispatcher(
      { transport: this.gmsTransport(), appender: { append: appendFrom(world, host) }, clock, logger, meter },
      {
        nodeId: name,
        alias: '101',
        unsettledPerShardMax: 200,
        unsettledMax: 800,
        settleDeadlineMs: SETTLE_DEADLINE_MS,
        settleLingerMs: 500,
        unreachableMs: 3_000,
        gmsNodesMax: 10,
      },
      (shard) => this.ownership.depose(shard, 'newer-term-seen'),
    );
    const { leases } = world;
    this.ownership = new Ownership(
      {
        leases: {
          read: network.nats(host, leases.read.bind(leases)),
          take: network.nats(host, leases.take.bind(leases)),
          release: network.nats(host, leases.release.bind(leases)),
        },
        peers: this.peerTransport(),
        dispatcher: this.dispatcher,
        clock,
        logger,
        createActor: (shard, term) => this.createActor(shard, term),
      },
      {
        nodeId: name,
        incarnation,
        shardCount: SHARDS,
        heartbeatIntervalMs: HEARTBEAT_MS,
        deadAfterMs: DEAD_AFTER_MS,
        stuckAfterMs: STUCK_AFTER_MS,
        peersMax: 10,
      },
    );
    const { ownership, dispatcher } = this;
    const store = this.shardStore();
    this.progress = new ProgressWatch(
      { log: this.shardLog(), store, ownership, clock, logger, meter },
      { shardCount: SHARDS, stuckAfterMs: STUCK_AFTER_MS },
    );
    this.watchdog = new Watchdog(
      { store, ownership, dispatcher, clock, logger, meter },
      { settleDeadlineMs: SETTLE_DEADLINE_MS },
    );
    this.losses = new LossWatch({ ownership, store, log: this.shardLog() });
  }

  start(): void {
    const { world, host, name, ownership, dispatcher } = this;
    const { network } = world;
    network.subscribe(host, subjects.actorProbe(name), (message) => message.respond('alive'));
    network.subscribe(host, subjects.actorHeartbeat, (message) => {
      ownership.hear(JSON.parse(message.text()) as PeerHeartbeat);
    });
    network.subscribe(host, subjects.pushResult(name), (message) => {
      dispatcher.takeResults(JSON.parse(message.text()) as PushResults);
    });
    network.subscribe(host, subjects.registryViewChanged, (message) => {
      dispatcher.setView(JSON.parse(message.text()) as GmsView);
    });
    this.stopWatching = world.leases.watch((shard, { lease, term, leftOut }) =>
      network.tell(
        host,
        () => ownership.seeLease(shard, lease, term, leftOut),
        world.lateConsumers.get(name),
      ),
    );
    ownership.start();
    this.progress.start();
    this.watchdog.start();
    host.clock.after(SWEEP_MS, () => void this.sweep());
  }

  /** SIGTERM; resolves when all is released. */
  async leave(): Promise<void> {
    await this.ownership.stop();
    this.kill();
  }

  kill(): void {
    this.host.kill();
    this.stopWatching();
    this.world.network.leave(this.host);
  }

  /** What the process does once a second. */
  private async sweep(): Promise<void> {
    this.host.clock.after(SWEEP_MS, () => void this.sweep());
    this.dispatcher.sweep();
    await this.losses.look();
  }

  private createActor(shard: number, term: number): ShardActor {
    const { world, host, dispatcher, logger, meter } = this;
    const { network, snapshots, letters, off } = world;
    return new ShardActor(
      shard,
      term,
      {
        log: this.shardLog(),
        store: this.shardStore(),
        snapshots,
        letters: {
          refuse: network.nats(host, letters.refuse.bind(letters)),
          noteSkip: network.nats(host, letters.noteSkip.bind(letters)),
          skips: network.nats(host, letters.skips.bind(letters)),
        },
        replies: {
          reply: (callerId, payload) => network.publish(host, subjects.reply(callerId), payload),
          announce: (sessionId, payload) => network.publish(host, subjects.notice(sessionId), payload),
        },
        dispatcher,
        rebuilds: this.rebuilds,
        waves: this.waves,
        clock: host.clock,
        logger,
        meter,
        ...(off.has('confirm-check') ? { foldSession: foldWithoutConfirmCheck } : {}),
      },
      {
        shardCount: SHARDS,
        alias: '101',
        nodeId: this.incarnation,
        recordsPerBatch: 4,
        messagesQueuedMax: 64,
        sessionsCachedMax: 4,
        replyAgeMaxMs: 10_000,
      },
    );
  }

  private shardLog(): ShardLog {
    const { world, host } = this;
    const { network, log, off } = world;
    return {
      state: network.nats(host, log.state.bind(log)),
      timeOf: network.nats(host, log.timeOf.bind(log)),
      lastSeqOf: network.nats(host, async (shard: number) => {
        // Without a barrier the owner takes itself for caught up from the start.
        if (off.has('barrier')) return Number(world.store.shard(shard).checkpoint.split('|')[1] ?? 0);
        return log.lastSeqOf(shard);
      }),
      read: network.nats(host, async (options: { shard: number; fromSeq: number }) => {
        const { lastSeq } = await log.state();
        const isReplay = world.readOnce.has(options.shard) && options.fromSeq === 1;
        world.readOnce.add(options.shard);
        const fromSeq = off.has('replay') && isReplay ? lastSeq + 1 : options.fromSeq;
        return this.reader(await log.read({ ...options, fromSeq }));
      }),
    };
  }

  /** Messages come when the host reaches the server. */
  private reader(reader: LogReader): LogReader {
    const { network, lateConsumers } = this.world;
    return {
      next: (max) =>
        new Promise((resolve) => {
          const lateMs = lateConsumers.get(this.name);
          void reader.next(max).then((messages) => network.tell(this.host, () => resolve(messages), lateMs));
        }),
      nudge: () => reader.nudge(),
      waiting: () => reader.waiting(),
      close: () => reader.close(),
    };
  }

  private shardStore(): ShardStore {
    const { world, host } = this;
    const { network, store, off } = world;
    const redis = <A extends unknown[], T>(call: (...args: A) => Promise<T>) => network.redis(host, call);
    const commit = redis(async (shard: number, one: Commit) => {
      const outcome = await store.commit(shard, one);
      if (one.outbox.some(([, job]) => job !== undefined)) world.onCommitted(host);
      return outcome;
    });
    const loadShard = redis(store.loadShard.bind(store));
    let lateCommits = Promise.resolve();
    return {
      loadShard: off.has('outbox-redispatch')
        ? async (shard) => ({ ...(await loadShard(shard)), outbox: {} })
        : loadShard,
      checkpoints: redis(store.checkpoints.bind(store)),
      loadSessions: redis(store.loadSessions.bind(store)),
      loadTranscript: redis(store.loadTranscript.bind(store)),
      commit: off.has('commit-before-effect')
        ? (shard, one) => {
            const delayMs = world.random.between(0, LATE_COMMIT_MAX_MS);
            lateCommits = lateCommits
              .then(() => new Promise<void>((resolve) => host.clock.after(delayMs, resolve)))
              .then(async () => void (await commit(shard, one)));
            return Promise.resolve('saved');
          }
        : commit,
      hold: redis(store.hold.bind(store)),
      oldestSnapshots: redis(store.oldestSnapshots.bind(store)),
      noteSnapshots: redis(store.noteSnapshots.bind(store)),
      standings: redis(store.standings.bind(store)),
      firstTimers: redis(store.firstTimers.bind(store)),
      probeWrite: redis(store.probeWrite.bind(store)),
      someSessions: redis(store.someSessions.bind(store)),
      timerScores: redis(store.timerScores.bind(store)),
    };
  }

  private gmsTransport(): GmsTransport {
    const { host } = this;
    const { network } = this.world;
    return {
      dispatch: async (nodeId, payload) => {
        const answer = await network.request(host, subjects.gmsPush(nodeId), payload, DISPATCH_TIMEOUT_MS);
        if (answer.kind !== 'answer') return { status: answer.kind };
        return JSON.parse(answer.text) as DispatchAnswer;
      },
      withdraw: (nodeId, withdrawals) =>
        network.publish(host, subjects.gmsWithdraw(nodeId), JSON.stringify({ v: 1, withdrawals })),
      announceTerm: (shard, term) =>
        network.publish(host, subjects.gmsTerm, JSON.stringify({ v: 1, shard, term })),
    };
  }

  private peerTransport(): PeerTransport {
    const { host } = this;
    const { network } = this.world;
    return {
      beat: (heartbeat) => network.publish(host, subjects.actorHeartbeat, JSON.stringify(heartbeat)),
      probe: async (nodeId) => {
        const answer = await network.request(host, subjects.actorProbe(nodeId), '', HEARTBEAT_MS);
        if (answer.kind === 'answer') return 'alive';
        return answer.kind === 'no-responders' ? 'no-responders' : 'silent';
      },
    };
  }
}

/** As the appender of nats-bus: what the log does not acknowledge in time is refused, and may be stored all the same. */
export function appendFrom(world: World, host: Host) {
  const append = world.network.nats(host, (shard: number, record: LogRecord) => world.append(shard, record));
  return (shard: number, record: LogRecord) =>
    append(shard, record).catch(() => ({ kind: 'refused' as const, reason: 'timeout', retryable: true }));
}
