import { ActorHost } from './actor-host';
import { ChatHost } from './chat-host';
import { GmsHost } from './gms-host';
import { actorHosts, chatHosts, gmsHosts, registryHosts, timerHosts, type Fault } from './plan';
import { RegistryHost } from './registry-host';
import { TimerHost } from './timer-host';
import type { World } from './world';

type Process = ActorHost | ChatHost | GmsHost | RegistryHost | TimerHost;
type ProcessClass = new (world: World, name: string, incarnation: string) => Process;

/** Consumers that lag: so long, while their host is the second owner of its shards. */
const LATE_CONSUMERS_MS = 6_000;
/** How far back a replica can be is looked up in copies of Redis, made so often. */
const COPY_MS = 250;
const COPIES_MAX = 12;

/** All processes of the product, and what faults do to them. A process that died is started again under the same name. */
export class Cluster {
  private readonly processes = new Map<string, Process>();
  private readonly classes = new Map<string, ProcessClass>();
  private starts = 0;
  private readonly copies: { atMs: number; redis: ReturnType<World['store']['copy']> }[] = [];
  private readonly keepsCopies: boolean;

  constructor(
    private readonly world: World,
    faults: readonly Fault[],
  ) {
    for (const name of actorHosts) this.classes.set(name, ActorHost);
    for (const name of gmsHosts) this.classes.set(name, GmsHost);
    for (const name of timerHosts) this.classes.set(name, TimerHost);
    for (const name of registryHosts) this.classes.set(name, RegistryHost);
    for (const name of chatHosts) this.classes.set(name, ChatHost);
    this.keepsCopies = faults.some(({ kind }) => kind === 'redis-failover');
  }

  start(): void {
    for (const name of this.classes.keys()) this.startProcess(name);
    if (this.keepsCopies) this.copyRedis();
  }

  /** A chat-api that accepts connections, by turns. */
  chatHost(turn: number): ChatHost | undefined {
    const living = chatHosts
      .map((name) => this.processes.get(name) as ChatHost)
      .filter(({ host }) => host.state !== 'dead');
    return living[turn % living.length];
  }

  /** Something goes wrong; what lasts ends by itself. */
  strike(fault: Fault): void {
    const { world } = this;
    const { network, time } = world;
    const later = (forMs: number, task: () => void) => void time.after(forMs, task);
    switch (fault.kind) {
      case 'crash':
        this.restart([fault.host], fault.awayMs);
        return;
      case 'leave':
        this.processes.get(fault.host)?.host.run(() => void this.processes.get(fault.host)?.leave());
        later(fault.awayMs + 1_000, () => this.startProcess(fault.host));
        return;
      case 'freeze':
        this.freeze(fault.host, fault.forMs);
        return;
      case 'cut': {
        const host = this.processes.get(fault.host)?.host;
        for (const server of fault.from) host?.cutFrom.add(server);
        later(fault.forMs, () => host?.cutFrom.clear());
        return;
      }
      case 'zombie':
        this.makeZombie(fault);
        return;
      case 'double-owner':
        network.deaf.add(`${fault.host}>*`);
        world.lateConsumers.set(fault.host, LATE_CONSUMERS_MS);
        later(fault.forMs, () => this.hear(fault.host));
        return;
      case 'bad-network':
        network.weather = { lost: fault.lost, twice: fault.twice, late: fault.late };
        later(fault.forMs, () => network.fairWeather());
        return;
      case 'redis-down':
      case 'nats-down':
        this.takeDown(fault.kind === 'redis-down' ? 'redis' : 'nats', fault.forMs);
        return;
      case 'redis-failover':
        this.failOver(fault.lackMs);
        return;
      case 'redis-wipe':
        world.store.wipe();
        if (fault.gmsAwayMs !== undefined) this.restart(gmsHosts, fault.gmsAwayMs);
        return;
      case 'power-cut':
        world.cutLog(fault.lostMs);
        this.takeDown('nats', fault.forMs);
        this.restart(actorHosts, fault.forMs);
        return;
      case 'receiver':
        world.receivers.sickness = fault.does;
        later(fault.forMs, () => (world.receivers.sickness = 'none'));
        return;
      case 'clock-step':
        (fault.host === 'nats' ? world.natsServer : this.processes.get(fault.host)?.host)?.clock.step(
          fault.byMs,
        );
        return;
      default:
        fault satisfies never;
    }
  }

  /** Everything that lasts ends now, and whoever is dead starts. */
  heal(): void {
    const { network, receivers } = this.world;
    network.fairWeather();
    network.down.clear();
    receivers.sickness = 'none';
    for (const [name, { host }] of this.processes) {
      host.cutFrom.clear();
      this.hear(name);
      host.thaw();
      this.startProcess(name);
    }
  }

  private startProcess(name: string): void {
    const before = this.processes.get(name);
    if (before && before.host.state !== 'dead') return;
    const Class = this.classes.get(name) as ProcessClass;
    const process = new Class(this.world, name, `${name}.${++this.starts}`);
    this.processes.set(name, process);
    process.start();
  }

  private restart(names: readonly string[], awayMs: number): void {
    for (const name of names) {
      this.processes.get(name)?.kill();
      this.world.time.after(awayMs, () => this.startProcess(name));
    }
  }

  /** Frozen when its next commit with notifications is saved, before it lets them out. */
  private makeZombie(fault: Extract<Fault, { kind: 'zombie' }>): void {
    const { world } = this;
    const { host } = this.processes.get(fault.host) as ActorHost;
    world.onCommitted = (committer) => {
      if (committer !== host || host.state !== 'running') return;
      world.onCommitted = () => undefined;
      world.lateConsumers.set(fault.host, LATE_CONSUMERS_MS);
      this.freeze(fault.host, fault.forMs);
      world.time.after(fault.forMs + LATE_CONSUMERS_MS, () => world.lateConsumers.delete(fault.host));
      world.time.after(fault.forMs / 2, () => this.restart(gmsHosts, fault.gmsAwayMs));
    };
  }

  private freeze(name: string, forMs: number): void {
    const host = this.processes.get(name)?.host;
    host?.freeze();
    this.world.time.after(forMs, () => host?.thaw());
  }

  private hear(name: string): void {
    this.world.network.deaf.delete(`${name}>*`);
    this.world.lateConsumers.delete(name);
  }

  private takeDown(server: 'nats' | 'redis', forMs: number): void {
    const { network, time } = this.world;
    network.down.add(server);
    network.break(server);
    time.after(forMs, () => network.down.delete(server));
  }

  private failOver(lackMs: number): void {
    const untilMs = this.world.nowMs() - lackMs;
    const copy = this.copies.findLast(({ atMs }) => atMs <= untilMs) ?? this.copies[0];
    if (copy) this.world.failOverRedis(copy.redis);
  }

  private copyRedis(): void {
    this.copies.push({ atMs: this.world.nowMs(), redis: this.world.store.copy() });
    if (this.copies.length > COPIES_MAX) this.copies.shift();
    this.world.time.after(COPY_MS, () => this.copyRedis());
  }
}
