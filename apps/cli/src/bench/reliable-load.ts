import { PushReceiver } from '../push-receiver';
import { CpuMeter, untilIdle, type NamedProcess } from './cpu';
import { percentile, round } from './statistics';
import { sleep } from './wait';

/**
 * A system that does the job of a reliable push: an event is stored, a notification is POSTed, and POSTed again later
 * unless the customer confirms. A chat is known by its id; at most one event of it is on its way.
 */
export interface ReliableSystem {
  readonly name: string;
  /** What runs for it, beside this process. */
  readonly processes: readonly NamedProcess[];
  /** Opens so many chats whose notifications go to these URLs in turn, and returns their ids. Peers know one URL only. */
  open(count: number, ...receiverUrls: [string, ...string[]]): Promise<readonly string[]>;
  publish(chatId: string): Promise<void>;
  confirm(chatId: string): Promise<void>;
  close(): Promise<void>;
}

export interface LoadPhase {
  readonly perS: number;
  readonly triggers: number;
  /** Never POSTed within the time-out, or not confirmed. */
  readonly lost: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUsPerTrigger: Record<string, number>;
}

/** One event: when it was due (as `performance.now` counts), and how much later its notification came, if it did. */
export interface Told {
  readonly dueAtMs: number;
  readonly latencyMs: number | undefined;
}

/** The open loop of a bench. */
export interface OpenLoop {
  readonly seconds: number;
  readonly perSecond: number;
  /** Gets each event when it is through. */
  readonly onTold?: (told: Told) => void;
}

const PUSH_TIMEOUT_MS = 10_000;
/** Connections of all customers over which they confirm, to whichever system. */
export const CONFIRM_CONNECTIONS = 256;

/** Publishes events into a system, waits for their notifications, and confirms each. The receiver is this process too. */
export class ReliableLoad {
  private readonly arrivals = new Map<string, (atMs: number) => void>();
  private idle: string[] = [];
  /** Of them those before it are taken: `shift` would move all of a million. */
  private idleFrom = 0;

  private constructor(
    private readonly system: ReliableSystem,
    private readonly receivers: readonly PushReceiver[],
  ) {}

  /** With so many chats open, whose notifications go to so many destinations. */
  static async open(system: ReliableSystem, sessions: number, destinations = 1): Promise<ReliableLoad> {
    const arrived = (text: string, atMs: number): void => {
      const chatId = /"session-id":"([^"]*)"/.exec(text)?.[1] ?? '';
      if (text.includes('"notify-attempt":"0"')) load.arrivals.get(chatId)?.(atMs);
    };
    const start = () => PushReceiver.start(({ text, atMs }) => arrived(text, atMs));
    const first = await start();
    const others = await Promise.all(Array.from({ length: destinations - 1 }, start));
    const load = new ReliableLoad(system, [first, ...others]);
    load.idle = [...(await system.open(sessions, first.url, ...others.map(({ url }) => url)))];
    return load;
  }

  /** Resolves when nothing is left to do for what was sent, such as delayed messages that find their event confirmed. */
  untilIdle(): Promise<void> {
    return untilIdle(this.system.name, this.system.processes);
  }

  /** As many events on their way as `inFlight`; each worker publishes, waits, confirms and goes on. */
  async closedLoop({ seconds, inFlight }: { seconds: number; inFlight: number }): Promise<LoadPhase> {
    const endMs = performance.now() + seconds * 1000;
    return this.measured(async (once) => {
      const worker = async (): Promise<void> => {
        while (performance.now() < endMs) await once(performance.now());
      };
      await Promise.all(Array.from({ length: inFlight }, worker));
    });
  }

  /** Events at a fixed rate, whatever comes back; latency counts from the moment at which each was due. */
  async openLoop({ seconds, perSecond, onTold }: OpenLoop): Promise<LoadPhase> {
    return this.measured(async (once) => {
      const startedMs = performance.now();
      const running: Promise<void>[] = [];
      const failures: unknown[] = [];
      for (let sent = 0; sent < seconds * perSecond && failures.length === 0;) {
        const due = Math.min(seconds * perSecond, ((performance.now() - startedMs) * perSecond) / 1000);
        for (; sent < due; sent++) {
          const dueAtMs = startedMs + (sent * 1000) / perSecond;
          running.push(once(dueAtMs).catch((error: unknown) => void failures.push(error)));
        }
        await sleep(1);
      }
      await Promise.all(running);
      if (failures.length > 0) throw failures[0];
    }, onTold);
  }

  async close(): Promise<void> {
    await this.system.close();
    await Promise.all(this.receivers.map((receiver) => receiver.close()));
  }

  private async measured(
    run: (once: (dueAtMs: number) => Promise<void>) => Promise<void>,
    onTold?: (told: Told) => void,
  ): Promise<LoadPhase> {
    const latenciesMs: number[] = [];
    let lost = 0;
    const meter = new CpuMeter([...this.system.processes, { name: 'load', pid: process.pid }]);
    const startedMs = performance.now();
    await run(async (dueAtMs) => {
      const latencyMs = await this.once(dueAtMs);
      onTold?.({ dueAtMs, latencyMs });
      if (latencyMs === undefined) lost++;
      else latenciesMs.push(latencyMs);
    });
    const triggers = latenciesMs.length;
    return {
      perS: round(triggers / ((performance.now() - startedMs) / 1000), 0),
      triggers,
      lost,
      p50Ms: round(percentile(latenciesMs, 50)),
      p99Ms: round(percentile(latenciesMs, 99)),
      cpuUsPerTrigger: meter.perItemUs(triggers),
    };
  }

  private takeIdle(): string | undefined {
    const chatId = this.idle[this.idleFrom];
    if (chatId !== undefined) this.idleFrom++;
    if (this.idleFrom > this.idle.length / 2) {
      this.idle = this.idle.slice(this.idleFrom);
      this.idleFrom = 0;
    }
    return chatId;
  }

  /** One event through all of it; undefined when no notification came. */
  private async once(dueAtMs: number): Promise<number | undefined> {
    const chatId = this.takeIdle();
    // Every chat has an event on its way: the system is far behind.
    if (chatId === undefined) return undefined;
    let timer: NodeJS.Timeout | undefined;
    const arrival = new Promise<number | undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), PUSH_TIMEOUT_MS);
      this.arrivals.set(chatId, resolve);
    });
    await this.system.publish(chatId);
    const atMs = await arrival;
    clearTimeout(timer);
    this.arrivals.delete(chatId);
    await this.system.confirm(chatId);
    this.idle.push(chatId);
    return atMs === undefined ? undefined : atMs - performance.timeOrigin - dueAtMs;
  }
}
