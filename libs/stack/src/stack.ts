import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StackError } from './errors';
import { endLeftover } from './leftover';
import type { ManagedProcess } from './managed-process';
import { type NatsServer, prepareNats } from './nats-server';
import { prepareRedis, type RedisServer } from './redis-server';
import {
  entryOfKind,
  prepareService,
  type ServiceKind,
  serviceKinds,
  type ServiceProcess,
} from './service-process';
import { lockStack, readState, type RunFile, writeJsonAtomically, writeState } from './stack-files';
import { checkStackOptions, type StackOptions } from './stack-options';
import { planStack, type ServicePlan, type StackPlan } from './stack-plan';
import { Supervisor } from './supervisor';

const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 10_000;

interface StackParts {
  readonly dir: string;
  readonly options: StackOptions;
  readonly plan: StackPlan;
  readonly redis: RedisServer;
  readonly nats: NatsServer;
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
  readonly redis: RedisServer;
  readonly nats: NatsServer;
  readonly services: readonly ServiceProcess[];
  readonly keySecret: string;
  readonly shards: number;
  /** Where the first receiver listened at the last start of this folder; undefined at the first start. */
  readonly previousReceiverUrl: string | undefined;
  private readonly supervisor: Supervisor | undefined;
  private stopped: Promise<void> | undefined;

  constructor(private readonly parts: StackParts) {
    this.dir = parts.dir;
    this.redis = parts.redis;
    this.nats = parts.nats;
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
      nats: { url: this.nats.url, pid: this.nats.currentPid ?? 0 },
      redis: { url: this.redis.url, pid: this.redis.currentPid ?? 0 },
    };
  }

  /** Starts everything and resolves when all are healthy. Throws what failed first; the caller then calls `stop()`. */
  async start(): Promise<void> {
    const { options } = this.parts;
    await this.startAll([this.redis, this.nats]);
    await this.startAll(this.services);
    if (this.stopped !== undefined) return;
    await options.onHealthy?.(this);
    if (this.stopped !== undefined) return;
    for (const process of [this.redis, this.nats, ...this.services]) this.supervisor?.watch(process);
    this.writeRun();
    options.onEvent?.({ kind: 'healthy', name: 'all' });
  }

  /** Stops everything in order: what takes work in goes first, nats and redis last. May be called more than once. */
  stop(): Promise<void> {
    this.stopped ??= this.stopAll();
    return this.stopped;
  }

  /** Kills everything at once. */
  async killNow(): Promise<void> {
    const all = [...this.services, this.nats, this.redis];
    // Told to stop first, so that nothing counts as a crash and nothing is restarted.
    await Promise.all(all.map((process) => process.stop(0)));
    await this.stop();
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
      await this.stopGroup([this.nats]);
      await this.stopGroup([this.redis]);
      // A restart that was under way when the stop came may have brought a process back.
      await supervised;
      await Promise.all([...this.services, this.nats, this.redis].map((process) => process.stop()));
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
    await endLeftovers(dir, previous?.nodeIds ?? {});
    const plan = await planStack({ ...options, dir }, previous);
    writeState(dir, plan.state);
    return new Stack(await prepareParts(dir, options, plan, previous?.ports['sample-receiver-1'], unlock));
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

async function prepareParts(
  dir: string,
  options: StackOptions,
  plan: StackPlan,
  previousReceiverPort: number | undefined,
  unlock: () => void,
): Promise<StackParts> {
  const limits = {
    readyTimeoutMs: options.readyTimeoutMs ?? READY_TIMEOUT_MS,
    stopGraceMs: options.stopGraceMs ?? STOP_GRACE_MS,
  };
  const logOf = (name: string) => join(dir, 'logs', `${name}.log`);
  const redis = await prepareRedis({
    dir: join(dir, 'redis'),
    port: plan.redisPort,
    logFile: logOf('redis'),
    ...limits,
  });
  const nats = await prepareNats({
    dir: join(dir, 'nats'),
    port: plan.natsPort,
    shards: plan.state.shards,
    logFile: logOf('nats'),
    ...limits,
  });
  const toService = (service: ServicePlan) =>
    prepareService({
      kind: service.kind,
      name: service.name,
      env: service.env,
      dir,
      logFile: logOf(service.name),
      entry: (options.entryOf ?? entryOfKind)(service.kind),
      onLine:
        service.kind === 'sample-receiver' && options.onReceiverLine !== undefined
          ? (line) => options.onReceiverLine?.(line, service.name)
          : undefined,
      ...limits,
    });
  return {
    dir,
    options,
    plan,
    redis,
    nats,
    services: plan.services.map(toService),
    previousReceiverUrl:
      previousReceiverPort === undefined ? undefined : `http://127.0.0.1:${previousReceiverPort}`,
    unlock,
  };
}

/** Ends processes of a launcher that was killed, before the ports are looked at, which they may still hold. */
async function endLeftovers(dir: string, nodeIds: Readonly<Record<string, string>>): Promise<void> {
  const servers = ['redis', 'nats'].map((name) =>
    endLeftover({
      pidFile: join(dir, name, `${name}.pid`),
      cwd: join(dir, name),
      commandPart: `${name}-server`,
    }),
  );
  const services = Object.keys(nodeIds).map((name) =>
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
