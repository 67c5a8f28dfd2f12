import type { PeerHeartbeat } from '@flexpush/contracts';
import { LogClock, MeasuredFires, ShardSplit, TimerClaimer } from '@flexpush/actor-runtime';
import { appendFrom } from './actor-host';
import { Host } from './host';
import { SHARDS, SILENT, type World } from './world';

const VISIBILITY_MS = 5_000;
const LOOK_MS = 400;
const HEARTBEAT_MS = 500;
const DEAD_AFTER_MS = 1_500;
const count = { inc: () => undefined };

/** A resend-timer process: the real claim loop and the real split of the shards. */
export class TimerHost {
  readonly host: Host;
  private readonly claimer: TimerClaimer;
  private readonly split: ShardSplit;

  constructor(
    private readonly world: World,
    readonly name: string,
    incarnation: string,
  ) {
    const host = (this.host = new Host(name, world.time));
    const { network, store } = world;
    const log = SILENT;
    const clock = new LogClock(host.clock);
    this.claimer = new TimerClaimer({
      store: { claimDue: network.redis(host, store.claimDue.bind(store)) },
      fires: new MeasuredFires({
        fires: { append: appendFrom(world, host) },
        timeOf: network.nats(host, world.log.timeOf.bind(world.log)),
        clock,
      }),
      clock,
      log,
      metrics: {
        claimed: count,
        appended: count,
        failures: count,
        held: count,
        behind: count,
        latenessMs: { observe: () => undefined },
      },
      ready: () => (network.reaches(host, 'nats') && network.reaches(host, 'redis') ? true : 'away'),
      visibilityMs: VISIBILITY_MS,
      lookIntervalMs: LOOK_MS,
    });
    this.split = new ShardSplit({
      nodeId: name,
      incarnation,
      shardCount: SHARDS,
      heartbeatIntervalMs: HEARTBEAT_MS,
      deadAfterMs: DEAD_AFTER_MS,
      bus: {
        connected: () => network.reaches(host, 'nats'),
        publish: (subject, payload) => network.publish(host, subject, payload),
        subscribe: (subject, handle) => network.subscribe(host, subject, handle),
      },
      readHeartbeat: (text) => JSON.parse(text) as PeerHeartbeat,
      clock: host.clock,
      log,
      onChange: (shards) => this.claimer.own(shards),
    });
  }

  start(): void {
    this.split.start();
    this.claimer.start();
  }

  /** SIGTERM. */
  async leave(): Promise<void> {
    this.split.leave();
    await this.claimer.stop();
    this.split.stop();
    this.kill();
  }

  kill(): void {
    this.host.kill();
    this.world.network.leave(this.host);
  }
}
