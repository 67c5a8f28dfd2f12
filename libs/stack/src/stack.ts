import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StackError } from './errors';
import { endLeftover } from './leftover';
import type { ManagedProcess } from './managed-process';
import { type NatsGroup, prepareNatsGroup } from './nats-group';
import type { NatsServer } from './nats-server';
import { lastMasterPort, prepareRedisGroup, type RedisGroup } from './redis-group';
import type { RedisServer } from './redis-server';
import {
  entryOfKind,
  prepareService,
  type ServiceKind,
  serviceKinds,
  type ServiceProcess,
} from './service-process';
import {
  lockStack,
  readState,
  type RunFile,
  type ServerRun,
  type StackState,
  writeJsonAtomically,
  writeState,
} from './stack-files';
import { checkStackOptions, type StackOptions } from './stack-options';
import { planStack, type ServicePlan, type StackPlan } from './stack-plan';
import { Supervisor } from './supervisor';

const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 10_000;

interface StackParts {
  readonly dir: string;
  readonly options: StackOptions;
  readonly plan: StackPlan;
  readonly redis: RedisGroup;
  readonly nats: NatsGroup;
  readonly services: readonly ServiceProcess[];
  readonly previousReceiverUrl: string | undefined;
  readonly unlock: () => void;
}

/**
 * A whole flexpush on this machine: redis, nats and the services, each a child process.
 *
 * T1. `run.json` appears when everything is healthy at once, follows every restart, and goes when the stop begins.
 * T2. `stop()` leaves nothing running, whatever state the parts are in.
 * T3. The folder stays locked from before the first start until after the last stop.
 */
export class Stack {
  readonly dir: string;
  /** The servers of Redis and of NATS: one or several of each. */
  readonly redisGroup: RedisGroup;
  readonly natsGroup: NatsGroup;
  readonly services: readonly ServiceProcess[];
  readonly keySecret: string;
  readonly shards: number;
  /** Where the first receiver listened at the last start of this folder; undefined at the first start. */
  readonly previousReceiverUrl: string | undefined;
  private readonly supervisor: Supervisor | undefined;
  private readonly stopping = new AbortController();
  private stopped: Promise<void> | undefined;

  constructor(private readonly parts: StackParts) {
    this.dir = parts.dir;
    this.redisGroup = parts.redis;
    this.natsGroup = parts.nats;
    this.services = parts.services;
    this.keySecret = parts.plan.state.keySecret;
    this.shards = parts.plan.state.shards;
    this.previousReceiverUrl = parts.previousReceiverUrl;
    if (parts.options.supervise !== false) {
      this.supervisor = new Supervisor((event) => {
        if (event.kind === 'restarted') this.writeRun();
        parts.options.onEvent?.(event);
      });
    }
  }

  /** As `FLEXPUSH_NATS_URL` and `FLEXPUSH_REDIS_URL` take them. */
  get natsUrl(): string {
    return this.natsGroup.url;
  }

  get redisUrl(): string {
    return this.redisGroup.url;
  }

  /** The only NATS server, or the first of several. */
  get nats(): NatsServer {
    return this.natsGroup.servers[0] as NatsServer;
  }

  /** The only Redis server, or the first of several. */
  get redis(): RedisServer {
    return this.redisGroup.servers[0] as RedisServer;
  }

  /** Every server, sentinels included. */
  get servers(): readonly (NatsServer | RedisServer)[] {
    return [...this.natsGroup.servers, ...this.redisGroup.servers, ...this.redisGroup.sentinels];
  }

  /** `http://127.0.0.1:<port>` of the first chat-api; undefined without one. */
  get chatApiUrl(): string | undefined {
    return this.servicesOf('chat-api')[0]?.url;
  }

  /** `http://127.0.0.1:<port>` of the first sample receiver; undefined without one. */
  get receiverUrl(): string | undefined {
    return this.servicesOf('sample-receiver')[0]?.url;
  }

  servicesOf(kind: ServiceKind): readonly ServiceProcess[] {
    return this.services.filter((service) => service.serviceKind === kind);
  }

  /** A service by its name, such as `session-actor-1`. Throws for an unknown name. */
  service(name: string): ServiceProcess {
    const service = this.services.find((candidate) => candidate.name === name);
    if (service === undefined) throw new Error(`the stack has no ${name}`);
    return service;
  }

  /** What runs now. A process that is just being restarted has pid 0. */
  run(): RunFile {
    return {
      services: this.services.map((service) => ({
        name: service.name,
        kind: service.kind,
        pid: service.currentPid ?? 0,
        urls: urlsOf(service),
      })),
      nats: { url: this.natsUrl, pid: this.nats.currentPid ?? 0 },
      redis: { url: this.redisUrl, pid: this.redis.currentPid ?? 0 },
      servers: this.servers.map(({ name, kind, port, currentPid }) => ({
        name,
        kind: kind as ServerRun['kind'],
        pid: currentPid ?? 0,
        port,
      })),
    };
  }

  /** Starts everything and resolves when all are healthy. Throws what failed first; the caller then calls `stop()`. */
  async start(): Promise<void> {
    const { options } = this.parts;
    await this.startServers();
    await this.startAll(this.services);
    if (this.stopped !== undefined) return;
    await options.onHealthy?.(this);
    if (this.stopped !== undefined) return;
    for (const process of [...this.servers, ...this.services]) this.supervisor?.watch(process);
    this.writeRun();
    options.onEvent?.({ kind: 'healthy', name: 'all' });
  }

  /** Stops everything in order: what takes work in goes first, nats and redis last. May be called more than once. */
  stop(): Promise<void> {
    this.stopping.abort();
    this.stopped ??= this.stopAll();
    return this.stopped;
  }

  /** Kills everything at once. */
  async killNow(): Promise<void> {
    const all = [...this.services, ...this.servers];
    // Told to stop first, so that nothing counts as a crash and nothing is restarted.
    await Promise.all(all.map((process) => process.stop(0)));
    await this.stop();
  }

  private async startServers(): Promise<void> {
    const { redisGroup, natsGroup } = this;
    const { signal } = this.stopping;
    await this.startAll([...redisGroup.servers, ...natsGroup.servers]);
    if (signal.aborted) return;
    await Promise.all([redisGroup.form(signal), natsGroup.form(signal)]);
    if (redisGroup.sentinels.length === 0 || signal.aborted) return;
    await this.startAll(redisGroup.sentinels);
    await redisGroup.formSentinels(signal);
  }

  private async startAll(processes: readonly ManagedProcess[]): Promise<void> {
    const { onEvent } = this.parts.options;
    onEvent?.({ kind: 'starting', names: processes.map((process) => process.name) });
    await Promise.all(
      processes.map(async (process) => {
        if (this.stopped !== undefined) return;
        await process.start();
        onEvent?.({ kind: 'healthy', name: process.name });
      }),
    );
  }

  private async stopAll(): Promise<void> {
    // T1: whoever reads run.json must not find a stack that is going away.
    rmSync(join(this.dir, 'run.json'), { force: true });
    const supervised = this.supervisor?.stop();
    try {
      for (const kind of serviceKinds) await this.stopGroup(this.servicesOf(kind));
      await this.stopGroup(this.natsGroup.servers);
      // Before the servers that they watch: a stop is no death.
      await this.stopGroup(this.redisGroup.sentinels);
      await this.stopGroup(this.redisGroup.servers);
      // A restart that was under way when the stop came may have brought a process back.
      await supervised;
      await Promise.all([...this.services, ...this.servers].map((process) => process.stop()));
    } finally {
      this.parts.unlock();
    }
  }

  private async stopGroup(processes: readonly ManagedProcess[]): Promise<void> {
    const running = processes.filter((process) => process.currentPid !== undefined);
    if (running.length > 0) {
      this.parts.options.onEvent?.({ kind: 'stopping', names: running.map((process) => process.name) });
    }
    await Promise.all(processes.map((process) => process.stop()));
  }

  private writeRun(): void {
    if (this.stopped === undefined) writeJsonAtomically(join(this.dir, 'run.json'), this.run());
  }
}

/**
 * Prepares a stack without starting it: checks the options, takes the lock, ends what a killed launcher left
 * behind, settles the ports and keeps them. Then `start()` starts it. Whoever gets a stack must `stop()` it.
 */
export async function prepareStack(options: StackOptions): Promise<Stack> {
  checkStackOptions(options);
  const dir = resolve(options.dir);
  const unlock = lockStack(dir);
  try {
    rmSync(join(dir, 'run.json'), { force: true });
    const previous = readState(dir);
    await endLeftovers(dir, previous);
    const plan = await planStack({ ...options, dir }, previous);
    const servers = await prepareServers(dir, options, { plan, previous });
    writeState(dir, plan.state);
    return new Stack({
      dir,
      options,
      plan,
      ...servers,
      ...prepareServices(dir, options, { plan, previous }),
      unlock,
    });
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Prepares and starts a stack. Throws a StackError that names the part that failed; nothing is left running then. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stack = await prepareStack(options);
  try {
    await stack.start();
    return stack;
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

interface Planned {
  readonly plan: StackPlan;
  /** Of the start before. */
  readonly previous: StackState | undefined;
}

function limitsOf(options: StackOptions) {
  return {
    readyTimeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
    stopGraceMs: options.stopGraceMs ?? STOP_GRACE_MS,
  };
}

function logIn(dir: string, name: string): string {
  return join(dir, 'logs', `${name}.log`);
}

async function prepareServers(
  dir: string,
  options: StackOptions,
  { plan, previous }: Planned,
): Promise<{ redis: RedisGroup; nats: NatsGroup }> {
  const common = { dir, logOf: (name: string) => logIn(dir, name), ...limitsOf(options) };
  const masterPort = lastMasterPort(dir);
  const redis = await prepareRedisGroup({
    ...common,
    topology: plan.redis,
    members: plan.redisMembers,
    masterName: plan.redisMembers.find(({ name }) => previous?.ports[name] === masterPort)?.name,
  });
  const nats = await prepareNatsGroup({ ...common, members: plan.natsMembers, shards: plan.state.shards });
  return { redis, nats };
}

function prepareServices(
  dir: string,
  options: StackOptions,
  { plan, previous }: Planned,
): Pick<StackParts, 'services' | 'previousReceiverUrl'> {
  const toService = (service: ServicePlan) =>
    prepareService({
      kind: service.kind,
      name: service.name,
      env: service.env,
      dir,
      logFile: logIn(dir, service.name),
      entry: (options.entryOf ?? entryOfKind)(service.kind),
      nodeArgs: options.nodeArgs,
      onLine:
        service.kind === 'sample-receiver' && options.onReceiverLine !== undefined
          ? (line) => options.onReceiverLine?.(line, service.name)
          : undefined,
      ...limitsOf(options),
    });
  const receiverPort = previous?.ports['sample-receiver-1'];
  return {
    services: plan.services.map(toService),
    previousReceiverUrl: receiverPort === undefined ? undefined : `http://127.0.0.1:${receiverPort}`,
  };
}

const SERVER_NAME = /^(redis|nats|sentinel)(-\d+)?$/;

/** Ends processes of a launcher that was killed, before the ports are looked at, which they may still hold. */
async function endLeftovers(dir: string, previous: StackState | undefined): Promise<void> {
  const servers = Object.keys(previous?.ports ?? {}).flatMap((name) => {
    const kind = SERVER_NAME.exec(name)?.[1];
    if (kind === undefined) return [];
    // Sentinels are redis-servers too.
    const program = kind === 'nats' ? 'nats' : 'redis';
    const cwd = join(dir, name);
    return endLeftover({ pidFile: join(cwd, `${program}.pid`), cwd, commandPart: `${program}-server` });
  });
  const services = Object.keys(previous?.nodeIds ?? {}).map((name) =>
    // The working directory is the proof; every service is a node program.
    endLeftover({ pidFile: join(dir, 'pids', `${name}.pid`), cwd: dir, commandPart: 'node' }),
  );
  await Promise.all([...servers, ...services]);
}

/** True for errors whose message is enough for a person. */
export function isStackError(error: unknown): error is StackError {
  return error instanceof StackError;
}

function urlsOf(service: ServiceProcess): Record<string, string> {
  if (service.serviceKind === 'sample-receiver')
    return { http: service.url, received: `${service.url}/received` };
  return { http: service.url, ready: `${service.url}/readyz`, metrics: `${service.url}/metrics` };
}
