import type { VirtualClock } from '@flexpush/actor-runtime/testing';
import type { Host, Server } from './host';
import type { Random } from './random';

/** How messages fare that nobody acknowledges (core NATS). */
export interface Weather {
  lost: number;
  twice: number;
  late: number;
}

const FAIR: Weather = { lost: 0, twice: 0, late: 0 };
const USUAL_DELAY_MAX_MS = 4;
/** One message in so many takes far longer than usual. */
const SLOW_ONE_IN = 50;
const SLOW_DELAY_MAX_MS = 60;
export const LATE_DELAY_MAX_MS = 1_500;
/** After so long a call of JetStream or the lease bucket is given up by its client. */
const CALL_TIMEOUT_MS = 2_000;
/** How often a client that lost its server tries to reach it again. */
const RECONNECT_MS = 50;

/**
 * The ways between hosts and servers.
 *
 * N1. Between two hosts messages keep their order, as on the connections of core NATS; they may be late, lost or twice.
 * N2. A call of JetStream may take effect without its caller learning of it. It ends by a time-out then.
 * N3. A call of Redis waits for its server and is sent again after a break, so it may take effect late, and twice.
 */
export class Network {
  weather: Weather = FAIR;
  /** Servers that are down. */
  readonly down = new Set<Server>();
  /** Pairs of hosts that do not hear each other, as `a>b`; `*` is any. */
  readonly deaf = new Set<string>();
  private readonly lastArrivalMs = new Map<string, number>();
  private readonly listeners = new Map<string, Set<{ host: Host; handle: (message: Message) => void }>>();
  /** Counts breaks of a server's connections, so that a call under way can tell that it went through one. */
  private readonly breaks = { nats: 0, redis: 0 };

  constructor(
    private readonly time: VirtualClock,
    private readonly random: Random,
  ) {}

  leave(host: Host): void {
    for (const listeners of this.listeners.values())
      for (const listener of listeners) if (listener.host === host) listeners.delete(listener);
  }

  fairWeather(): void {
    this.weather = FAIR;
  }

  reaches(host: Host, server: Server): boolean {
    return !this.down.has(server) && !host.cutFrom.has(server);
  }

  /** All connections to the server break. */
  break(server: Server): void {
    this.breaks[server]++;
  }

  subscribe(host: Host, subject: string, handle: (message: Message) => void): { stop(): void } {
    const listeners = this.listeners.get(subject) ?? new Set();
    this.listeners.set(subject, listeners);
    const listener = { host, handle };
    listeners.add(listener);
    return { stop: () => listeners.delete(listener) };
  }

  /** Tells everyone who listens; the sender never learns whether anyone heard. */
  publish(from: Host, subject: string, payload: string): void {
    if (!this.reaches(from, 'nats')) return;
    for (const { host, handle } of this.listeners.get(subject) ?? [])
      this.carry(from, host, () => handle({ text: () => payload, respond: () => undefined }));
  }

  /** Asks the one who listens there. */
  request(from: Host, subject: string, payload: string, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve) => {
      let isOpen = true;
      const end = (answer: Answer) => {
        if (isOpen) resolve(answer);
        isOpen = false;
      };
      from.clock.after(timeoutMs, () => end({ kind: 'timeout' }));
      if (!this.reaches(from, 'nats')) return;
      const [listener] = this.listeners.get(subject) ?? [];
      if (!listener || listener.host.state === 'dead') {
        this.time.after(this.delay(), () => from.run(() => end({ kind: 'no-responders' })));
        return;
      }
      const respond = (text: string) => this.carry(listener.host, from, () => end({ kind: 'answer', text }));
      this.carry(from, listener.host, () => listener.handle({ text: () => payload, respond }));
    });
  }

  /** A call of a JetStream interface (N2). */
  nats<A extends unknown[], T>(host: Host, call: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
    return (...args) =>
      new Promise((resolve, reject) => {
        host.clock.after(CALL_TIMEOUT_MS, () => reject(new Error('timeout')));
        const breaks = this.breaks.nats;
        const isReached = () => this.reaches(host, 'nats') && this.breaks.nats === breaks;
        this.time.after(this.delay(), () => {
          if (!isReached()) return;
          call(...args).then(
            (value) => this.time.after(this.delay(), () => isReached() && host.run(() => resolve(value))),
            (error: unknown) => host.run(() => reject(error as Error)),
          );
        });
      });
  }

  /** A call of Redis (N3). */
  redis<A extends unknown[], T>(host: Host, call: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
    const attempt = (args: A, resolve: (value: T) => void, reject: (error: Error) => void): void => {
      const again = () => host.clock.after(RECONNECT_MS, () => attempt(args, resolve, reject));
      if (!this.reaches(host, 'redis')) {
        again();
        return;
      }
      const breaks = this.breaks.redis;
      const isReached = () => this.reaches(host, 'redis') && this.breaks.redis === breaks;
      this.time.after(this.inOrder(`${host.name}>redis`), () => {
        if (!isReached()) {
          again();
          return;
        }
        call(...args).then(
          (value) =>
            this.time.after(this.delay(), () => {
              if (isReached()) host.run(() => resolve(value));
              else again();
            }),
          (error: unknown) => host.run(() => reject(error as Error)),
        );
      });
    };
    return (...args) => new Promise((resolve, reject) => attempt(args, resolve, reject));
  }

  /** A message from the server to one host that is acknowledged by both sides: late, but never lost. */
  tell(host: Host, task: () => void, extraDelayMs = 0): void {
    const attempt = (delayMs: number): void => {
      this.time.after(delayMs, () => {
        if (host.state === 'dead') return;
        if (this.reaches(host, 'nats')) host.run(task);
        else attempt(RECONNECT_MS);
      });
    };
    attempt(this.delay() + extraDelayMs);
  }

  delay(): number {
    return this.random.between(1, SLOW_ONE_IN) === 1
      ? this.random.next() * SLOW_DELAY_MAX_MS
      : this.random.next() * USUAL_DELAY_MAX_MS;
  }

  /** Brings a message of core NATS from one host to another (N1). */
  private carry(from: Host, to: Host, task: () => void): void {
    const { weather, random, time } = this;
    if (random.chance(weather.lost)) return;
    const lateMs = random.chance(weather.late) ? random.next() * LATE_DELAY_MAX_MS : 0;
    const delayMs = this.inOrder(`${from.name}>${to.name}`, lateMs);
    const times = random.chance(weather.twice) ? 2 : 1;
    for (let i = 0; i < times; i++)
      time.after(delayMs, () => {
        if (this.reaches(to, 'nats') && !this.isDeaf(from, to)) to.run(task);
      });
  }

  /** A delay after which nothing is overtaken that went the same way before. */
  private inOrder(way: string, lateMs = 0): number {
    const nowMs = this.time.monotonicMs();
    const atMs = Math.max(nowMs + this.delay() + lateMs, this.lastArrivalMs.get(way) ?? 0);
    this.lastArrivalMs.set(way, atMs);
    return atMs - nowMs;
  }

  private isDeaf(from: Host, to: Host): boolean {
    return this.deaf.has(`${from.name}>${to.name}`) || this.deaf.has(`${from.name}>*`);
  }
}

export interface Message {
  text(): string;
  respond(text: string): void;
}

export type Answer = { kind: 'answer'; text: string } | { kind: 'no-responders' } | { kind: 'timeout' };
