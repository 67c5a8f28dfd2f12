import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Environment, inheritedEnvironment } from './config';
import { StackError } from './errors';
import { ManagedProcess, type ProcessSpec } from './managed-process';
import { repositoryRoot } from './paths';
import { isHttpReady, listensOn } from './probe';

/** Kinds of services, in the order in which they stop: those that take work in go first. */
export const serviceKinds = [
  'chat-api',
  'resend-timer',
  'session-actor',
  'gms-node',
  'gms-registry',
  'sample-receiver',
] as const;
export type ServiceKind = (typeof serviceKinds)[number];

/** Environment variables of the services that a launcher sets, by kind. They are a contract with `apps/*`. */
export const commonEnvNames = [
  'FLEXPUSH_NODE_ID',
  'FLEXPUSH_NATS_URL',
  'FLEXPUSH_REDIS_URL',
  'FLEXPUSH_HTTP_HOST',
  'FLEXPUSH_HTTP_PORT',
  'FLEXPUSH_LOG_LEVEL',
  'FLEXPUSH_EXIT_WITH_PARENT',
] as const;
export const kindEnvNames: Readonly<Record<ServiceKind, readonly string[]>> = {
  'chat-api': ['FLEXPUSH_KEY_SECRET'],
  'resend-timer': [],
  'session-actor': ['FLEXPUSH_SHARDS', 'FLEXPUSH_ALIAS', 'FLEXPUSH_STREAM_REPLICAS'],
  'gms-node': ['FLEXPUSH_GMS_GROUP'],
  'gms-registry': [],
  'sample-receiver': ['RECEIVER_DELAY_MS'],
};

/**
 * For node itself, as deploy/compose.yaml has them. A session lives until its next record, so that with young generations
 * of the usual 16 MiB a sixth of session-actor's time goes into copying sessions.
 */
export const kindNodeArgs: Partial<Record<ServiceKind, readonly string[]>> = {
  'session-actor': ['--max-semi-space-size=64'],
};

/** The built entry of a service. */
export function entryOfKind(kind: ServiceKind): string {
  return join(repositoryRoot, 'apps', kind, 'dist', 'main.js');
}

export interface ServiceOptions {
  readonly kind: ServiceKind;
  readonly name: string;
  /** Set on top of the inherited environment; must hold FLEXPUSH_HTTP_PORT. */
  readonly env: Environment;
  readonly logFile: string;
  /** Folder for the pid file; the working directory too. The log's folder by default. */
  readonly dir?: string;
  /** Started instead of `apps/<kind>/dist/main.js`. */
  readonly entry?: string;
  /** For node itself, such as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[] | undefined;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
  readonly onLine?: ((line: string) => void) | undefined;
}

/** One service as a child process. */
export class ServiceProcess extends ManagedProcess {
  constructor(
    spec: ProcessSpec,
    readonly serviceKind: ServiceKind,
    /** `http://127.0.0.1:<port>` */
    readonly url: string,
  ) {
    super(spec);
  }
}

/** Starts a service and resolves when its /readyz answers 200. Throws a StackError with its log otherwise. */
export async function startService(options: ServiceOptions): Promise<ServiceProcess> {
  const service = prepareService(options);
  await service.start();
  return service;
}

/** Returns the service, not started. */
export function prepareService(options: ServiceOptions): ServiceProcess {
  const port = options.env['FLEXPUSH_HTTP_PORT'];
  if (port === undefined)
    throw new StackError('invalid-options', `${options.name} has no FLEXPUSH_HTTP_PORT`);
  const entry = options.entry ?? entryOfKind(options.kind);
  if (!existsSync(entry)) {
    throw new StackError(
      'entry-missing',
      `${entry} does not exist; build the workspace first: npm run build`,
    );
  }
  const url = `http://${options.env['FLEXPUSH_HTTP_HOST'] ?? '127.0.0.1'}:${port}`;
  const cwd = resolve(options.dir ?? dirname(options.logFile));
  return new ServiceProcess(
    {
      name: options.name,
      kind: options.kind,
      command: process.execPath,
      args: [...(kindNodeArgs[options.kind] ?? []), ...(options.nodeArgs ?? []), entry],
      env: { ...inheritedEnvironment(), ...options.env, FLEXPUSH_EXIT_WITH_PARENT: '1' },
      cwd,
      commandPart: entry,
      logFile: options.logFile,
      pidFile: join(cwd, 'pids', `${options.name}.pid`),
      probe: async (pid) => listensOn(pid, Number(port)) && (await isHttpReady(`${url}/readyz`)),
      readyTimeoutMs: options.readyTimeoutMs ?? 60_000,
      stopGraceMs: options.stopGraceMs ?? 10_000,
      holdStdin: true,
      onLine: options.onLine,
    },
    options.kind,
    url,
  );
}
