import { randomBytes } from 'node:crypto';
import type { Environment } from './config';
import { StackError } from './errors';
import { type NatsMember, natsNames } from './nats-group';
import { DEFAULT_SHARDS } from './nats-server';
import { choosePort, LOOPBACK } from './port';
import { type RedisMember, redisNames, type RedisTopology, redisUrlOf } from './redis-group';
import { type ServiceKind, serviceKinds } from './service-process';
import type { StackState } from './stack-files';
import type { AskedPorts, NatsServerCount, StackOptions } from './stack-options';

/** What will run: decided before anything starts, so that a wish that cannot be met costs nothing. */
export interface StackPlan {
  readonly state: StackState;
  readonly natsMembers: readonly NatsMember[];
  readonly redis: RedisTopology;
  readonly redisMembers: readonly RedisMember[];
  readonly services: readonly ServicePlan[];
}

export interface ServicePlan {
  readonly kind: ServiceKind;
  readonly name: string;
  readonly port: number;
  readonly env: Environment;
}

interface KnownPort {
  readonly name: string;
  readonly label: string;
  readonly asked: keyof AskedPorts;
  readonly preferred: number;
}

/** Only the first of a kind has a port that people know. */
const NATS_PORT = { label: '--nats-port', asked: 'nats', preferred: 4222 } as const;
const REDIS_PORT = { label: '--redis-port', asked: 'redis', preferred: 6379 } as const;
const KNOWN_PORTS: readonly KnownPort[] = [
  { name: 'chat-api-1', label: '--chat-api-port', asked: 'chatApi', preferred: 8080 },
  { name: 'sample-receiver-1', label: '--receiver-port', asked: 'receiver', preferred: 8090 },
  { name: 'nats', ...NATS_PORT },
  { name: 'nats-1', ...NATS_PORT },
  { name: 'redis', ...REDIS_PORT },
  { name: 'redis-1', ...REDIS_PORT },
];

/** Aliases of session actors count from here, as Genesys DBIDs do not start at 0. */
const ALIAS_FIRST = 101;

/** What was fixed at the first start of the folder, or is wished for now. Throws `shards-fixed` or `nats-servers-fixed`. */
function shapeOf(options: StackOptions, previous: StackState | undefined) {
  const shards = options.shards ?? previous?.shards ?? DEFAULT_SHARDS;
  if (previous !== undefined && shards !== previous.shards) {
    throw new StackError(
      'shards-fixed',
      `${options.dir} was made with ${previous.shards} shards; the number cannot change to ${shards}`,
    );
  }
  const natsBefore: NatsServerCount | undefined = previous && (previous.natsServers ?? 1);
  const natsServers = options.natsServers ?? natsBefore ?? 1;
  if (natsBefore !== undefined && natsServers !== natsBefore) {
    throw new StackError(
      'nats-servers-fixed',
      `${options.dir} was made with ${natsBefore} NATS server${natsBefore === 1 ? '' : 's'}, which hold${natsBefore === 1 ? 's' : ''} its log; the number cannot change to ${natsServers}. Another folder (--dir) begins anew`,
    );
  }
  return { shards, natsServers, redis: options.redis ?? previous?.redis ?? 'single' } as const;
}

/** Names, ports and environments of everything. Throws `port-busy`, `shards-fixed` or `nats-servers-fixed`. */
export async function planStack(options: StackOptions, previous: StackState | undefined): Promise<StackPlan> {
  const shape = shapeOf(options, previous);
  const members = serviceKinds.flatMap((kind) =>
    Array.from({ length: options.counts?.[kind] ?? 1 }, (_, index) => ({
      kind,
      index,
      name: `${kind}-${index + 1}`,
    })),
  );
  const servers = serverNames(shape);
  const ports = await choosePorts(
    [...servers.all, ...members.map((member) => member.name)],
    options,
    previous?.ports ?? {},
  );
  const nodeIds = Object.fromEntries(members.map(({ name }) => [name, previous?.nodeIds[name] ?? name]));
  const state: StackState = {
    version: 1,
    keySecret: previous?.keySecret ?? randomBytes(32).toString('hex'),
    ...shape,
    ports: { ...previous?.ports, ...Object.fromEntries(ports) },
    nodeIds: { ...previous?.nodeIds, ...nodeIds },
  };
  const natsMembers = servers.nats.map((name) => ({
    name,
    port: portOf(ports, name),
    routePort: ports.get(routeOf(name)) ?? 0,
  }));
  const redisMembers = servers.redis.map((one) => ({
    ...one,
    port: portOf(ports, one.name),
    busPort: ports.get(busOf(one.name)) ?? 0,
  }));
  const urls = {
    nats: natsMembers.map(({ port }) => `nats://${LOOPBACK}:${port}`).join(','),
    redis: redisUrlOf(shape.redis, redisMembers),
  };
  const services = members.map(({ kind, index, name }) => ({
    kind,
    name,
    port: portOf(ports, name),
    env: environmentOf({ kind, index, nodeId: nodeIds[name] ?? name, ports, name }, { state, urls, options }),
  }));
  return { state, natsMembers, redis: shape.redis, redisMembers, services };
}

/** Names of the servers, and all names under which they need ports. */
function serverNames({ natsServers, redis }: { natsServers: NatsServerCount; redis: RedisTopology }) {
  const nats = natsNames(natsServers);
  const redisServers = redisNames(redis);
  const routes = natsServers > 1 ? nats.map(routeOf) : [];
  const buses = redis === 'cluster' ? redisServers.map(({ name }) => busOf(name)) : [];
  return {
    nats,
    redis: redisServers,
    all: [...nats, ...redisServers.map(({ name }) => name), ...routes, ...buses],
  };
}

function routeOf(name: string): string {
  return `${name}-route`;
}

function busOf(name: string): string {
  return `${name}-bus`;
}

async function choosePorts(
  names: readonly string[],
  options: StackOptions,
  before: Readonly<Record<string, number>>,
): Promise<Map<string, number>> {
  const taken = new Set<number>();
  const ports = new Map<string, number>();
  const known = new Map(KNOWN_PORTS.map((port) => [port.name, port]));
  const askedOf = (name: string) => {
    const port = known.get(name);
    return port === undefined ? undefined : options.ports?.[port.asked];
  };
  // Those asked for come first, so that nothing else settles on them.
  const ordered = [...names].sort(
    (a, b) => Number(askedOf(b) !== undefined) - Number(askedOf(a) !== undefined),
  );
  for (const name of ordered) {
    const port = await choosePort({
      label: known.get(name)?.label ?? name,
      asked: askedOf(name),
      preferred: [
        before[name],
        options.preferWellKnownPorts === true ? known.get(name)?.preferred : undefined,
      ],
      taken,
    });
    ports.set(name, port);
  }
  return ports;
}

interface Member {
  readonly kind: ServiceKind;
  readonly index: number;
  readonly name: string;
  readonly nodeId: string;
  readonly ports: ReadonlyMap<string, number>;
}

function environmentOf(
  member: Member,
  stack: { state: StackState; urls: { nats: string; redis: string }; options: StackOptions },
): Environment {
  const { kind, ports } = member;
  const { state, urls, options } = stack;
  return {
    FLEXPUSH_NODE_ID: member.nodeId,
    FLEXPUSH_NATS_URL: urls.nats,
    FLEXPUSH_REDIS_URL: urls.redis,
    FLEXPUSH_HTTP_HOST: LOOPBACK,
    FLEXPUSH_HTTP_PORT: String(portOf(ports, member.name)),
    ...(options.logLevel === undefined ? {} : { FLEXPUSH_LOG_LEVEL: options.logLevel }),
    FLEXPUSH_EXIT_WITH_PARENT: '1',
    ...ownEnvironmentOf(member, state, options),
    ...options.env?.all,
    ...options.env?.[kind],
    ...options.envByName?.[member.name],
  };
}

function ownEnvironmentOf(member: Member, state: StackState, options: StackOptions): Environment {
  switch (member.kind) {
    case 'session-actor':
      return {
        FLEXPUSH_SHARDS: String(state.shards),
        FLEXPUSH_ALIAS: String(ALIAS_FIRST + member.index),
        FLEXPUSH_STREAM_REPLICAS: String(state.natsServers ?? 1),
      };
    case 'gms-node': {
      const groups = options.groups?.length ? options.groups : ['default'];
      return { FLEXPUSH_GMS_GROUP: groups[member.index % groups.length] ?? 'default' };
    }
    case 'chat-api':
      return { FLEXPUSH_KEY_SECRET: state.keySecret };
    case 'resend-timer':
    case 'gms-registry':
    case 'sample-receiver':
      return {};
    default:
      return member.kind satisfies never;
  }
}

function portOf(ports: ReadonlyMap<string, number>, name: string): number {
  const port = ports.get(name);
  if (port === undefined) throw new Error(`no port was chosen for ${name}`);
  return port;
}
