import type { ServiceKind } from '@flexpush/stack';

export type VictimKind = Exclude<ServiceKind, 'sample-receiver'> | 'nats' | 'redis';

/** A process that a drill may hurt. */
export interface Victim {
  readonly name: string;
  /** Its node id, as leases name their owners; of a NATS server its name. Undefined when it is not known. */
  readonly nodeId?: string | undefined;
  /** At once, without a chance to clean up. Whoever runs the system starts it again. */
  kill(): Promise<void>;
  /** Asks it to stop and starts it again. Resolves when it, or its successor, serves. */
  restart(): Promise<void>;
  /** Asks it to stop and resolves when it is gone; it comes back after a while. */
  drain(): Promise<void>;
  /** Freezes it; undefined where that cannot be done. */
  freeze?: ((durationMs: number) => Promise<void>) | undefined;
}

/** The system that a drill is run against. */
export interface Target {
  readonly description: string;
  readonly natsUrl: string;
  readonly chatApiUrls: readonly string[];
  /** It goes away with the drill. */
  readonly isOwn?: boolean;
  /** Faults come when a person makes them, so no time is measured from them. */
  readonly isByHand?: boolean;
  victims(kind: VictimKind): Promise<readonly Victim[]>;
  /**
   * The Redis servers that take the writes and have replicas, one or those of a cluster; undefined where they cannot be
   * told.
   */
  redisMasters?: (() => Promise<readonly Victim[]>) | undefined;
  /** Empties Redis; undefined where that is not ours to do. */
  wipeRedis?: (() => Promise<void>) | undefined;
  /** Cuts one session-actor off from NATS and Redis, and joins it again. */
  partition?: { readonly nodeId: string; cut(): void; heal(): void } | undefined;
  /** Stops what the drill started, and nothing else. */
  close(): Promise<void>;
}
