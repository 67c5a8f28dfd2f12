import type { GmsHeartbeat, PeerHeartbeat } from '@flexpush/contracts';
import type { MappingFact, NatsFacts } from '@flexpush/nats-bus';
import type { RedisFacts } from '@flexpush/redis-store';

/** Everything that the judge knows. Gathering is apart from judging, so that each judgement has a test without a server. */
export interface DoctorFacts {
  readonly nowMs: number;
  readonly nats: Reached<NatsFacts>;
  readonly servers: ServersFact;
  /** undefined: could not be asked, because there is no log. */
  readonly mapping?: MappingFact | undefined;
  readonly redis: Reached<RedisFacts> | { readonly kind: 'not-asked' };
  /** undefined: NATS could not be reached. */
  readonly system?: SystemFacts | undefined;
}

/** `where` holds no password. */
export type Reached<T> =
  | { readonly kind: 'reached'; readonly where: string; readonly facts: T }
  | { readonly kind: 'unreachable'; readonly where: string; readonly reason: string };

/** What NATS servers tell of themselves only on their monitoring port, or to the system account. */
export type ServersFact =
  | { readonly kind: 'told'; readonly servers: readonly MonitoredServer[] }
  | { readonly kind: 'not-told' }
  | { readonly kind: 'unreachable'; readonly where: string; readonly reason: string };

export interface MonitoredServer {
  readonly name: string;
  readonly version: string;
  /** undefined: it does not say. */
  readonly syncIntervalMs?: number | undefined;
  readonly isSyncAlways: boolean;
  readonly storageBytes: number;
  readonly storageBytesMax?: number | undefined;
}

/** What was heard and read of our own services. */
export interface SystemFacts {
  readonly listenedMs: number;
  readonly sessionActors: readonly Heard<PeerHeartbeat>[];
  readonly resendTimers: readonly Heard<PeerHeartbeat>[];
  readonly gmsNodes: readonly Heard<GmsHeartbeat>[];
  /** Ids of the registries that published a view. */
  readonly registries: readonly string[];
  readonly isRegistryAnswering: boolean;
  /** undefined: could not be read, because there is no shard count or no bucket. */
  readonly leases?: readonly LeaseFact[] | undefined;
  /** undefined: Redis was not asked, or did not answer. At most so many shards as are looked at. */
  readonly shards?: readonly ShardFact[] | undefined;
}

/** A node that beats. */
export interface Heard<Beat> {
  readonly beat: Beat;
  /** Between two of its beats, in the middle; undefined after one beat. */
  readonly intervalMs?: number | undefined;
}

export interface LeaseFact {
  readonly shard: number;
  /** undefined: nobody holds it. */
  readonly owner?: string | undefined;
  readonly incarnation?: string | undefined;
}

export interface ShardFact {
  readonly shard: number;
  /** Records that were in the log when the look began and that are not folded at its end; 'unknown' with another log. */
  readonly fold: 'up-to-date' | 'behind' | 'unknown';
  readonly earliestDueAtMs?: number | undefined;
  readonly unsettled: number;
  readonly isHeld: boolean;
}
