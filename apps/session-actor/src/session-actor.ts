import {
  Dispatcher,
  LossWatch,
  Ownership,
  ProgressWatch,
  BatchWaves,
  RebuildTurns,
  ShardActor,
  Watchdog,
  type Appender,
  type ShardLog as ShardLogPort,
  type ShardStore,
} from '@flexpush/actor-runtime';
import { gmsViewSchema, peerHeartbeatSchema, pushResultsReader, subjects } from '@flexpush/contracts';
import {
  DeadLetters,
  ensureStreams,
  LeaseStore,
  LogAppender,
  MappingError,
  missingStreams,
  openOptionStore,
  probeMapping,
  ShardCountError,
  ShardLog,
  SnapshotStore,
  type LogSettings,
  type NatsBus,
  type OptionStore,
} from '@flexpush/nats-bus';
import { MessageIntake, systemClock, type ServiceContext, type StopStep } from '@flexpush/process';
import { StateStore, type RedisConnection } from '@flexpush/redis-store';
import type { SessionActorConfig } from './config';
import { PrometheusMeter } from './meter';
import { OptionFeed } from './option-feed';
import { NatsGmsTransport, NatsPeerTransport, NatsReplyTransport } from './transports';

const SWEEP_INTERVAL_MS = 1_000;
const VIEW_REQUEST_TIMEOUT_MS = 1_000;
const GMS_NODES_MAX = 1_000;
const PEERS_MAX = 1_000;
/** One folds while others wait for Redis and NATS. */
const REBUILDS_AT_ONCE = 4;
const UNREACHABLE_MS = 3_000;
const PROVISION_RETRY_MS = 500;

/** One session-actor process: the runtime, wired to NATS and Redis. */
export class SessionActor {
  private readonly intervals: NodeJS.Timeout[] = [];
  private readonly subscriptions: { stop(): void }[] = [];
  private stopWatchingLeases: () => void = () => undefined;
  private readonly intake: MessageIntake;
  private viewKnown = false;
  private comparing = false;

  private constructor(
    private readonly context: ServiceContext<SessionActorConfig>,
    private readonly bus: NatsBus,
    private readonly redis: RedisConnection,
    private readonly parts: {
      appender: LogAppender;
      leases: LeaseStore;
      options: OptionStore;
      dispatcher: Dispatcher;
      ownership: Ownership;
      progress: ProgressWatch;
      watchdog: Watchdog;
      feed: OptionFeed;
      losses: LossWatch;
    },
  ) {
    const { operations, log } = context;
    this.intake = new MessageIntake({ registry: operations.registry, clock: systemClock, log });
  }

  static async create(
    context: ServiceContext<SessionActorConfig>,
    bus: NatsBus,
    redis: RedisConnection,
  ): Promise<SessionActor> {
    const { config, log } = context;
    await provision(context, bus);
    const [leases, letters, snapshots, shardLog, options] = await Promise.all([
      LeaseStore.open(bus),
      DeadLetters.open(bus),
      SnapshotStore.open(bus, {
        onUnreadable: (subject) => log.error({ subject }, 'snapshot.unreadable'),
      }),
      ShardLog.open(bus),
      openOptionStore(bus, {
        onBad: (bad) => log.error(bad, 'option.bad'),
        onLost: ({ error, ...loss }) => log.error({ ...loss, err: error }, 'options.lost'),
      }),
    ]);
    const store = new StateStore(redis);
    const appender = new LogAppender(bus);
    const parts = buildRuntime(context, { bus, leases, letters, snapshots, shardLog, store, appender });
    const feed = new OptionFeed({
      appender,
      source: options,
      clock: systemClock,
      logger: log,
      actors: () => parts.ownership.actors(),
    });
    context.operations.addCheck('nats', () => bus.connected() || 'not connected');
    context.operations.addCheck('redis', () => redis.status === 'ready' || redis.status);
    context.operations.addCheck('shards', () => parts.ownership.health());
    context.operations.addCheck('progress', () => parts.progress.health());
    context.operations.addWarning('progress', () => parts.progress.sight());
    for (const trouble of ['timers', 'outbox', 'audit'] as const)
      context.operations.addWarning(trouble, () => parts.watchdog.warning(trouble));
    context.operations.addCheck('options', () => feed.isCurrent() || 'not yet folded by every shard');
    log.info({ shards: config.FLEXPUSH_SHARDS, alias: config.FLEXPUSH_ALIAS }, 'session-actor.provisioned');
    return new SessionActor(context, bus, redis, {
      appender,
      leases,
      options,
      feed,
      losses: new LossWatch({ ownership: parts.ownership, store, log: shardLog }),
      ...parts,
    });
  }

  async start(): Promise<void> {
    const { bus, subscriptions, intake } = this;
    const { dispatcher, ownership, progress, watchdog, options, feed, leases } = this.parts;
    const { nodeId } = this.context;
    subscriptions.push(
      bus.subscribe(subjects.actorProbe(nodeId), (message) => message.respond('alive')),
      bus.subscribe(subjects.actorHeartbeat, (message) => {
        const heartbeat = intake.read('heartbeat', peerHeartbeatSchema, message.text());
        if (heartbeat) ownership.hear(heartbeat);
      }),
      bus.subscribe(subjects.pushResult(nodeId), (message) => {
        const results = intake.read('results', pushResultsReader, message.text());
        if (results) dispatcher.takeResults(results);
      }),
      bus.subscribe(subjects.registryViewChanged, (message) => this.takeView(message.text())),
    );
    subscriptions.push({
      stop: bus.onReconnect(() => {
        dispatcher.hurry();
        void this.compare();
      }),
    });
    this.stopWatchingLeases = await leases.watch(
      (shard, { lease, term, leftOut }) => ownership.seeLease(shard, lease, term, leftOut),
      (entries) => void ownership.compareLeases(entries),
    );
    options.onChange((values, revision) => feed.change(values, revision));
    await this.askView();
    ownership.start();
    progress.start();
    watchdog.start();
    this.every(SWEEP_INTERVAL_MS, () => this.sweep());
    this.every(SWEEP_INTERVAL_MS / 4, () => feed.feed());
  }

  /** In this order: shards are given up one batch at a time, then the ways to the outside close. */
  stopSteps(): StopStep[] {
    return [
      { name: 'release shards', run: () => this.parts.ownership.stop() },
      { name: 'stop loops', run: () => this.stopLoops() },
      { name: 'flush appender', run: () => this.parts.appender.flush() },
      { name: 'close nats', run: () => this.bus.close() },
      { name: 'close redis', run: () => this.redis.quit().then(() => undefined) },
    ];
  }

  private stopLoops(): void {
    this.parts.progress.stop();
    this.parts.watchdog.stop();
    for (const interval of this.intervals) clearInterval(interval);
    for (const subscription of this.subscriptions) subscription.stop();
    this.stopWatchingLeases();
    this.parts.options.close();
  }

  private every(intervalMs: number, task: () => void): void {
    this.intervals.push(setInterval(task, intervalMs));
  }

  private sweep(): void {
    this.parts.dispatcher.sweep();
    void this.compare();
    void this.askViewIfUnknown();
  }

  /** While Redis or NATS is away, questions of many seconds would pile up in their clients. */
  private async compare(): Promise<void> {
    if (this.comparing) return;
    this.comparing = true;
    await this.parts.losses.look();
    await this.provisionMissing();
    this.comparing = false;
  }

  /** Streams and buckets that were deleted, or lost with the server's data, are made again by whoever runs. */
  private async provisionMissing(): Promise<void> {
    const { log, config } = this.context;
    try {
      const missing = await missingStreams(this.bus);
      if (missing.length === 0) return;
      log.error({ missing }, 'streams.missing');
      await ensureStreams(this.bus, logSettings(config));
      log.warn({ missing }, 'streams.provisioned-again');
    } catch (error) {
      // Another node has fixed another shard count meanwhile: this one must not write into that cluster.
      if (error instanceof ShardCountError) throw error;
      // NATS is away, or cannot yet; the next look is in a second.
      log.debug({ err: error }, 'streams.not-compared');
    }
  }

  private takeView(text: string): void {
    const view = this.intake.read('view', gmsViewSchema, text);
    if (!view) return;
    this.viewKnown = true;
    this.parts.dispatcher.setView(view);
  }

  private async askView(): Promise<void> {
    const answer = await this.bus.request(subjects.registryView, '', { timeoutMs: VIEW_REQUEST_TIMEOUT_MS });
    if (answer.kind === 'answer') this.takeView(answer.text);
  }

  private async askViewIfUnknown(): Promise<void> {
    if (!this.viewKnown) await this.askView();
  }
}

/** Streams, buckets, shard count, mapping. NATS that cannot yet is asked again; a wrong configuration ends the process. */
async function provision(context: ServiceContext<SessionActorConfig>, bus: NatsBus): Promise<void> {
  const { config, log } = context;
  for (;;) {
    try {
      await ensureStreams(bus, logSettings(config));
      const mapping = await probeMapping(bus, config.FLEXPUSH_SHARDS);
      if (mapping !== 'agrees') log.warn({ subject: subjects.eventWildcard }, `mapping.${mapping}`);
      return;
    } catch (error) {
      if (error instanceof ShardCountError || error instanceof MappingError) throw error;
      log.warn({ err: error }, 'provision.retried');
      await new Promise((resolve) => setTimeout(resolve, PROVISION_RETRY_MS));
    }
  }
}

function logSettings(config: SessionActorConfig): LogSettings {
  return {
    shardCount: config.FLEXPUSH_SHARDS,
    replicas: config.FLEXPUSH_STREAM_REPLICAS,
    logBytesMax: config.FLEXPUSH_LOG_BYTES_MAX,
    logAgeMaxMs: config.FLEXPUSH_LOG_AGE_MAX_MS,
    fileBytesMax: config.FLEXPUSH_FILE_BYTES_MAX,
    fileAgeMaxMs: config.FLEXPUSH_FILE_AGE_MAX_MS,
  };
}

function buildRuntime(
  context: ServiceContext<SessionActorConfig>,
  ports: {
    bus: NatsBus;
    leases: LeaseStore;
    letters: DeadLetters;
    snapshots: SnapshotStore;
    shardLog: ShardLogPort;
    store: ShardStore;
    appender: Appender;
  },
): { dispatcher: Dispatcher; ownership: Ownership; progress: ProgressWatch; watchdog: Watchdog } {
  const { config, log, nodeId, incarnation, operations } = context;
  const { bus, leases, letters, snapshots, shardLog, store, appender } = ports;
  const meter = new PrometheusMeter(operations.registry, {
    shards: { help: 'Shards run by this node', read: () => dispatcher.counts().shards },
    unsettled: { help: 'Notifications with GMS nodes', read: () => dispatcher.counts().unsettled },
    waiting: { help: 'Notifications that wait for a GMS node', read: () => dispatcher.counts().waiting },
    sessions_cached: {
      help: 'Sessions in memory',
      read: () => ownership.actors().reduce((sum, actor) => sum + actor.status().sessions, 0),
    },
    log_waiting: {
      help: 'Log messages read and not yet folded',
      read: () => ownership.actors().reduce((sum, actor) => sum + actor.status().waiting, 0),
    },
  });
  const dispatcher: Dispatcher = new Dispatcher(
    {
      transport: new NatsGmsTransport(bus, config.FLEXPUSH_DISPATCH_TIMEOUT_MS),
      appender,
      clock: systemClock,
      logger: log,
      meter,
    },
    {
      nodeId,
      alias: config.FLEXPUSH_ALIAS,
      unsettledPerShardMax: config.FLEXPUSH_UNSETTLED_PER_SHARD_MAX,
      unsettledMax: config.FLEXPUSH_UNSETTLED_MAX,
      settleDeadlineMs: config.FLEXPUSH_SETTLE_DEADLINE_MS,
      settleLingerMs: config.FLEXPUSH_SETTLE_LINGER_MS,
      unreachableMs: UNREACHABLE_MS,
      gmsNodesMax: GMS_NODES_MAX,
    },
    (shard, newerTerm) => {
      // Perhaps from before the lease bucket was lost: the next take, if the lease is ours, is above it.
      leases.noteTerm(shard, newerTerm);
      ownership.depose(shard, 'newer-term-seen');
    },
  );
  const replies = new NatsReplyTransport(bus);
  const rebuilds = new RebuildTurns(REBUILDS_AT_ONCE);
  const waves = new BatchWaves(systemClock);
  const createActor = (shard: number, term: number): ShardActor =>
    new ShardActor(
      shard,
      term,
      {
        log: shardLog,
        store,
        snapshots,
        letters,
        replies,
        dispatcher,
        rebuilds,
        waves,
        clock: systemClock,
        logger: log,
        meter,
      },
      {
        shardCount: config.FLEXPUSH_SHARDS,
        alias: config.FLEXPUSH_ALIAS,
        nodeId: `${nodeId}.${incarnation}`,
        recordsPerBatch: config.FLEXPUSH_RECORDS_PER_BATCH,
        messagesQueuedMax: config.FLEXPUSH_MESSAGES_QUEUED_MAX,
        sessionsCachedMax: config.FLEXPUSH_SESSIONS_CACHED_MAX,
        replyAgeMaxMs: config.FLEXPUSH_REQUEST_TIMEOUT_MS,
      },
    );
  const ownership: Ownership = new Ownership(
    {
      leases,
      peers: new NatsPeerTransport(bus, config.FLEXPUSH_HEARTBEAT_INTERVAL_MS),
      dispatcher,
      clock: systemClock,
      logger: log,
      createActor,
    },
    {
      nodeId,
      incarnation,
      shardCount: config.FLEXPUSH_SHARDS,
      heartbeatIntervalMs: config.FLEXPUSH_HEARTBEAT_INTERVAL_MS,
      deadAfterMs: config.FLEXPUSH_DEAD_AFTER_MS,
      stuckAfterMs: config.FLEXPUSH_STUCK_AFTER_MS,
      peersMax: PEERS_MAX,
    },
  );
  return {
    dispatcher,
    ownership,
    ...buildWatches(context, { shardLog, store, dispatcher, ownership, meter }),
  };
}

/** They look from outside at what the rest of the runtime does. */
function buildWatches(
  { config, log: logger }: ServiceContext<SessionActorConfig>,
  parts: {
    shardLog: ShardLogPort;
    store: ShardStore;
    dispatcher: Dispatcher;
    ownership: Ownership;
    meter: PrometheusMeter;
  },
): { progress: ProgressWatch; watchdog: Watchdog } {
  const { shardLog: log, store, dispatcher, ownership, meter } = parts;
  const clock = systemClock;
  const progress = new ProgressWatch(
    { log, store, ownership, clock, logger, meter },
    { shardCount: config.FLEXPUSH_SHARDS, stuckAfterMs: config.FLEXPUSH_STUCK_AFTER_MS },
  );
  const watchdog = new Watchdog(
    { store, ownership, dispatcher, clock, logger, meter },
    { settleDeadlineMs: config.FLEXPUSH_SETTLE_DEADLINE_MS },
  );
  meter.addGauges({
    shards_stuck: {
      help: 'Shards without progress, of those run or looked after here',
      read: () => progress.stuckCount(),
    },
    timer_overdue_ms: {
      help: 'How long a timer of a shard here is due and not claimed; 0 below 10 s',
      read: () => watchdog.timerOverdueMs(),
    },
    notifications_overdue: {
      help: 'Notifications that have a GMS node and no settled result after three deadlines',
      read: () => watchdog.notificationsOverdue().count,
    },
  });
  return { progress, watchdog };
}
