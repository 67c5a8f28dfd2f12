import type { NatsServerCount, RedisTopology } from '@flexpush/stack';
import type { DrillReceiver } from './drill-receiver';
import type { Fault } from './history';
import type { DrillLimits } from './limits';
import type { Target } from './target';

/** What a stack of its own must have beyond several of each service. */
export interface StackNeeds {
  readonly redis?: RedisTopology;
  readonly natsServers?: NatsServerCount;
  /** One session-actor reaches NATS and Redis through proxies that can be cut. */
  readonly proxied?: boolean;
  /** Three, unless it says otherwise. */
  readonly sessionActors?: number;
  /** Two receivers, of which the first is broken. */
  readonly receivers?: 1 | 2;
}

export interface DrillSizes {
  readonly sessions: number;
  readonly ratePerS: number;
  /** How long events are published. */
  readonly seconds: number;
}

/** What a drill may touch while the load runs. */
export interface DrillContext {
  readonly target: Target;
  readonly receivers: readonly DrillReceiver[];
  /** Names of the provider sections that lead to them. */
  readonly providers: readonly string[];
  /** Events per second of the load. */
  readonly ratePerS: number;
  /** Seconds of load that come after the fault begins. */
  readonly secondsLeft: number;
  /** Which session-actor (by node id) owns which shards now. */
  owners(): Promise<ReadonlyMap<string, ReadonlySet<number>>>;
  /** The name of the NATS server that leads the log; undefined without a cluster. */
  logLeader(): Promise<string | undefined>;
  /** Acknowledged events that nobody was told of yet, and refreshes under way. */
  untoldCount(): number;
  /** From 0 to 1, by the seed. */
  random(): number;
  /** Waits; rejects when the drill is stopped. */
  pause(durationMs: number): Promise<void>;
  /** Notes a fault that begins now. */
  fault(what: string, affected: Fault['affected']): void;
  /** Notes something that happened, for the timeline. */
  note(what: string): void;
}

/** One drill of the catalogue. */
export interface Drill {
  readonly name: string;
  /** In one sentence: what it breaks, and what must go on. */
  readonly breaks: string;
  readonly needs: StackNeeds;
  /** Plain pushes are part of the load; off where the receiver itself is broken, which loses them by design. */
  readonly withPlain: boolean;
  readonly takesOver: boolean;
  readonly sizes: DrillSizes;
  readonly limits: DrillLimits;
  /** Whether it can be run against a running system, through what it needs there. */
  readonly onTarget: 'processes' | 'receiver' | 'no';
  run(context: DrillContext): Promise<void>;
}

export const usualSizes: DrillSizes = { sessions: 200, ratePerS: 50, seconds: 20 };
