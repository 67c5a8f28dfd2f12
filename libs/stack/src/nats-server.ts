import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { inheritedEnvironment, type Environment } from './config';
import { findExecutable } from './executable';
import { ManagedProcess, type ProcessSpec } from './managed-process';
import { freePort, LOOPBACK } from './port';
import { exchange, listensOn } from './probe';
import { renderTemplate } from './template';

export const DEFAULT_SHARDS = 16;

export interface NatsConf {
  readonly serverName: string;
  readonly host: string;
  readonly port: number;
  readonly storeDir: string;
  readonly pidFile: string;
  readonly shards: number;
  readonly cluster?: NatsClusterConf | undefined;
}

/** How the servers of a cluster find each other. */
export interface NatsClusterConf {
  /** Where this server listens for the others. */
  readonly routePort: number;
  /** Of all the servers, this one included. */
  readonly routePorts: readonly number[];
}

export interface NatsServerOptions {
  /** Folder for the configuration, the JetStream store, pid file and log. */
  readonly dir: string;
  /** Of the process; `nats` by default. In a cluster also of the server, which must keep it over restarts. */
  readonly name?: string;
  readonly cluster?: NatsClusterConf;
  /** A free one by default. */
  readonly port?: number;
  /** Shard count of the mapping from `flexpush.event.*`; 16 by default. */
  readonly shards?: number;
  readonly logFile?: string;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
}

/** A running nats-server with JetStream. It can be stopped, killed and started again on the same port and store. */
export class NatsServer extends ManagedProcess {
  readonly url: string;

  constructor(
    spec: ProcessSpec,
    readonly port: number,
  ) {
    super(spec);
    this.url = `nats://${LOOPBACK}:${port}`;
  }
}

/** The text of nats.conf for these values. */
export function renderNatsConf(conf: NatsConf): string {
  return renderTemplate('nats.conf', {
    SERVER_NAME: conf.serverName,
    HOST: conf.host,
    PORT: String(conf.port),
    STORE_DIR: conf.storeDir,
    PID_FILE: conf.pidFile,
    SHARDS: String(conf.shards),
    CLUSTER: conf.cluster === undefined ? '' : renderCluster(conf.cluster),
  });
}

/** One line, as values of the template must be. */
function renderCluster({ routePort, routePorts }: NatsClusterConf): string {
  const routes = routePorts.map((port) => `"nats://${LOOPBACK}:${port}"`).join(', ');
  return `cluster { name: "flexpush", listen: "${LOOPBACK}:${routePort}", routes: [${routes}] }`;
}

/**
 * Half of the cores run the server's threads, unless `GOMAXPROCS` says otherwise: everything else runs on this machine too,
 * and threads that wake each other to find nothing left to do took a fifth of what the server needs.
 */
export function natsEnvironment(inherited: Environment, cores: number): Environment {
  return { GOMAXPROCS: String(Math.max(1, Math.floor(cores / 2))), ...inherited };
}

/** Starts nats-server on loopback and resolves when JetStream is there. Throws a StackError with its log otherwise. */
export async function startNats(options: NatsServerOptions): Promise<NatsServer> {
  const server = await prepareNats(options);
  await server.start();
  return server;
}

/** Writes the configuration and returns the server, not started. */
export async function prepareNats(options: NatsServerOptions): Promise<NatsServer> {
  const dir = resolve(options.dir);
  const port = options.port ?? (await freePort());
  const { cluster, name = 'nats' } = options;
  // The servers of a cluster know each other by name, and their streams too; alone it only has to be unique.
  const serverName = cluster === undefined ? `flexpush-${randomBytes(6).toString('hex')}` : name;
  const confFile = join(dir, 'nats.conf');
  const pidFile = join(dir, 'nats.pid');
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    confFile,
    renderNatsConf({
      serverName,
      host: LOOPBACK,
      port,
      storeDir: join(dir, 'store'),
      pidFile,
      shards: options.shards ?? DEFAULT_SHARDS,
      cluster,
    }),
  );
  return new NatsServer(
    {
      name,
      kind: 'nats',
      command: findExecutable('nats-server'),
      args: ['--config', confFile],
      env: natsEnvironment(inheritedEnvironment(), availableParallelism()),
      cwd: dir,
      commandPart: confFile,
      logFile: options.logFile ?? join(dir, 'nats.log'),
      pidFile,
      probe: async (pid) => listensOn(pid, port) && (await isNatsReady(port, serverName)),
      readyTimeoutMs: options.readyTimeoutMs ?? 30_000,
      stopGraceMs: options.stopGraceMs ?? 10_000,
      holdStdin: false,
    },
    port,
  );
}

/**
 * A server greets with one INFO line. The name in it must be ours: a stranger on the same port would answer
 * before our own server has had the time to fail.
 */
async function isNatsReady(port: number, serverName: string): Promise<boolean> {
  const greeting = await exchange({ host: LOOPBACK, port }, '', (text) => text.includes('\r\n'));
  if (greeting === undefined || !greeting.startsWith('INFO ')) return false;
  const info: unknown = JSON.parse(greeting.slice('INFO '.length, greeting.indexOf('\r\n')));
  if (typeof info !== 'object' || info === null) return false;
  return (
    'jetstream' in info && info.jetstream === true && 'server_name' in info && info.server_name === serverName
  );
}

/**
 * Whether JetStream answers through this server. In a cluster it does so when the servers have found each other and have
 * elected one of them to lead.
 */
export async function isJetStreamReady(port: number): Promise<boolean> {
  const inbox = '_INBOX.flexpush-start';
  const ask = [
    'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}',
    `SUB ${inbox} 1`,
    `PUB $JS.API.INFO ${inbox} 0`,
    '',
    '',
  ].join('\r\n');
  const answer = await exchange({ host: LOOPBACK, port }, ask, (text) => /\r\nH?MSG /.test(text));
  return (
    answer !== undefined &&
    /"type":"io\.nats\.jetstream\.api\.v1\.account_info_response"/.test(answer) &&
    !answer.includes('"error"')
  );
}
