import type { Environment } from './config';
import { StackError } from './errors';
import type { RedisTopology } from './redis-group';
import { type ServiceKind, serviceKinds } from './service-process';
import type { SupervisorEvent } from './supervisor';

export type StackEvent =
  | SupervisorEvent
  | { readonly kind: 'starting'; readonly names: readonly string[] }
  | { readonly kind: 'healthy'; readonly name: string }
  | { readonly kind: 'stopping'; readonly names: readonly string[] };

/** Ports that a person asked for. A busy one is an error; those not named here settle by themselves. */
export interface AskedPorts {
  readonly chatApi?: number | undefined;
  readonly receiver?: number | undefined;
  readonly nats?: number | undefined;
  readonly redis?: number | undefined;
}

export const redisTopologies: readonly RedisTopology[] = ['single', 'sentinel', 'cluster'];
export const natsServerCounts = [1, 3] as const;
export type NatsServerCount = (typeof natsServerCounts)[number];

/** Where a stack is reached; `previousReceiverUrl`: at its last start, if that was elsewhere. */
export interface StackUrls {
  readonly natsUrl: string;
  readonly receiverUrl: string | undefined;
  readonly previousReceiverUrl: string | undefined;
}

export interface StackOptions {
  /** Folder of everything that the stack writes. */
  readonly dir: string;
  /** As at the last start of the folder, `single` at its first. Redis may change: it is folded from the log again. */
  readonly redis?: RedisTopology | undefined;
  /** Three are a JetStream cluster with three replicas of all. Fixed at the first start of a folder; 1 by default. */
  readonly natsServers?: NatsServerCount | undefined;
  /** How many of each; one of each by default. */
  readonly counts?: Partial<Record<ServiceKind, number>>;
  /** GMS node groups, assigned to the nodes in turn; `default` by default. */
  readonly groups?: readonly string[];
  /** Fixed at the first start of a folder; 64 by default. */
  readonly shards?: number;
  readonly ports?: AskedPorts;
  /** Prefer 8080, 8090, 4222 and 6379 where they are free, as `npm start` does. Off: any free ports. */
  readonly preferWellKnownPorts?: boolean;
  /** Extra environment, for all and by kind. */
  readonly env?: { readonly all?: Environment } & Partial<Record<ServiceKind, Environment>>;
  /** Extra environment of single services by name, such as `session-actor-1`; it wins over the others. */
  readonly envByName?: Readonly<Record<string, Environment>>;
  readonly logLevel?: string;
  /** Where the built program of a kind lies; `apps/<kind>/dist/main.js` by default. */
  readonly entryOf?: (kind: ServiceKind) => string;
  /** For node itself, of every service, such as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[];
  /** Restart what dies. On by default. */
  readonly supervise?: boolean;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
  /** Called once, when all are healthy and before `run.json` tells the world; the start waits for it. */
  readonly onHealthy?: (stack: StackUrls) => Promise<void>;
  readonly onEvent?: (event: StackEvent) => void;
  /** Gets what the sample receivers print. */
  readonly onReceiverLine?: (line: string, name: string) => void;
}

/** Upper bound per kind; more would not fit on one machine anyway (I9). */
const COUNT_MAX = 64;
const SHARDS_MAX = 1_024;
const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws `invalid-options` with the first thing that cannot be. */
export function checkStackOptions(options: StackOptions): void {
  for (const kind of serviceKinds) {
    const count = options.counts?.[kind];
    if (count !== undefined && !(Number.isSafeInteger(count) && count >= 0 && count <= COUNT_MAX)) {
      throw new StackError('invalid-options', `the number of ${kind}s must be from 0 to ${COUNT_MAX}`);
    }
  }
  for (const group of options.groups ?? []) {
    if (!TOKEN.test(group)) {
      throw new StackError(
        'invalid-options',
        `the group "${group}" must be 1-64 letters, digits, "_" or "-"`,
      );
    }
  }
  const { redis, natsServers } = options;
  if (redis !== undefined && !redisTopologies.includes(redis))
    throw new StackError('invalid-options', `redis must be one of ${redisTopologies.join(', ')}`);
  if (natsServers !== undefined && !natsServerCounts.includes(natsServers))
    throw new StackError(
      'invalid-options',
      `the number of NATS servers must be ${natsServerCounts.join(' or ')}`,
    );
  const { shards } = options;
  if (shards !== undefined && !(Number.isSafeInteger(shards) && shards >= 1 && shards <= SHARDS_MAX)) {
    throw new StackError('invalid-options', `the number of shards must be from 1 to ${SHARDS_MAX}`);
  }
}
