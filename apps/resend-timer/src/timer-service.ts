import { LogClock, MeasuredFires, ShardSplit, TimerClaimer } from '@flexpush/actor-runtime';
import { peerHeartbeatSchema } from '@flexpush/contracts';
import { connectBus, LogAppender, ShardLog, waitFor, waitForShardCount } from '@flexpush/nats-bus';
import {
  MessageIntake,
  systemClock,
  type CheckResult,
  type Clock,
  type ServiceContext,
} from '@flexpush/process';
import { connectRedis, TimerStore, type RedisConnection } from '@flexpush/redis-store';
import type { TimerConfig } from './config';
import { createMetrics } from './metrics';

type Bus = Awaited<ReturnType<typeof connectBus>>;

/** The parts that exist once NATS is there and the cluster has its shard count. */
interface Running {
  claimer: TimerClaimer;
  split: ShardSplit;
  appender: LogAppender;
}

/** Longer than the longest append, so that only a store that does not answer at all reaches it. */
const VISIT_STALLED_MS = 8_000;

/** Brings the duties up when NATS and the cluster are there, and down in the written order. */
export class TimerService {
  private bus: Bus | undefined;
  private running: Running | undefined;
  private readonly redis: RedisConnection;
  private readonly clock: Clock = systemClock;

  constructor(private readonly context: ServiceContext<TimerConfig>) {
    const { config, log, operations } = context;
    this.redis = connectRedis({
      url: config.FLEXPUSH_REDIS_URL,
      onEvent: (event, error) => log.debug({ event, reason: error?.message }, 'redis.status'),
    });
    operations.addCheck('nats', () => this.natsReady());
    operations.addCheck('redis', () => this.redisReady());
    operations.addCheck('claims', () => this.claimsMove());
    operations.addCheck('shards', () => this.running !== undefined || 'waiting for the shard count');
  }

  /** Resolves when the duties run; waits for NATS and for the cluster's first start as long as it takes. */
  async start(): Promise<void> {
    const { config, log, nodeId, incarnation, operations } = this.context;
    const bus = await connectBus({
      url: config.FLEXPUSH_NATS_URL,
      name: nodeId,
      onStatus: (status) => log.info({ status }, 'nats.status'),
    });
    this.bus = bus;
    const shardCount = await waitForShardCount(bus);
    const appender = new LogAppender(bus);
    const shardLog = await waitFor(() => ShardLog.open(bus));
    const clock = new LogClock(this.clock);
    const claimer = new TimerClaimer({
      store: new TimerStore(this.redis),
      fires: new MeasuredFires({ fires: appender, timeOf: (seq) => shardLog.timeOf(seq), clock }),
      clock,
      log,
      metrics: createMetrics(operations, () => split.owned().length),
      ready: () => this.storesReady(),
      visibilityMs: config.FLEXPUSH_TIMER_VISIBILITY_MS,
      lookIntervalMs: config.FLEXPUSH_TIMER_LOOK_INTERVAL_MS,
    });
    const intake = new MessageIntake({ registry: operations.registry, clock: this.clock, log });
    const split: ShardSplit = new ShardSplit({
      nodeId,
      incarnation,
      shardCount,
      heartbeatIntervalMs: config.FLEXPUSH_TIMER_HEARTBEAT_INTERVAL_MS,
      deadAfterMs: config.FLEXPUSH_TIMER_DEAD_AFTER_MS,
      bus,
      readHeartbeat: (text) => intake.read('heartbeat', peerHeartbeatSchema, text),
      clock: this.clock,
      log,
      onChange: (shards) => claimer.own(shards),
    });
    this.running = { claimer, split, appender };
    split.start();
    claimer.start();
  }

  /** Other replicas take the shards over at once, while this one finishes what it claimed. */
  async finishClaims(): Promise<void> {
    this.running?.split.leave();
    // Claims that wait for a Redis that is away would hold up the stop; nothing has been claimed by them.
    if (this.redisReady() !== true) this.redis.disconnect();
    await this.running?.claimer.stop();
    await this.running?.appender.flush();
  }

  async close(): Promise<void> {
    this.running?.split.stop();
    if (this.bus?.connected()) await this.bus.close();
    this.redis.disconnect();
  }

  /** A frozen Redis keeps its connections: only an answer that does not come tells of it. */
  private claimsMove(): CheckResult {
    const waitedMs = this.running?.claimer.longestVisitMs() ?? 0;
    return waitedMs < VISIT_STALLED_MS || `a shard has waited ${Math.round(waitedMs)} ms for its stores`;
  }

  private storesReady(): CheckResult {
    const nats = this.natsReady();
    return nats === true ? this.redisReady() : nats;
  }

  private natsReady(): CheckResult {
    return this.bus?.connected() === true || 'nats is not connected';
  }

  private redisReady(): CheckResult {
    return this.redis.status === 'ready' || 'redis is not connected';
  }
}
