import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inheritedEnvironment } from './config';
import { StackError } from './errors';
import { findExecutable } from './executable';
import { ManagedProcess, type ProcessSpec } from './managed-process';
import { freePort, LOOPBACK } from './port';
import { type Endpoint, exchange } from './probe';
import { renderTemplate } from './template';

/** What a server is beside others. */
export type RedisRole =
  | { readonly kind: 'replica'; readonly masterPort: number }
  | { readonly kind: 'cluster'; readonly busPort: number };

export interface RedisConf {
  readonly bind: string;
  readonly protectedMode: boolean;
  /** 0 for none. */
  readonly port: number;
  readonly socketPath?: string | undefined;
  readonly appendOnly: boolean;
  readonly dataDir: string;
  readonly pidFile: string;
  /** Left out for a server alone, and for a master. */
  readonly role?: RedisRole | undefined;
}

export interface RedisServerOptions {
  /** Folder for the configuration, the append-only file, pid file and log. */
  readonly dir: string;
  /** Of the process; `redis` by default. */
  readonly name?: string;
  readonly role?: RedisRole | undefined;
  /** A free one by default; none when there is a `socketPath`. */
  readonly port?: number;
  /** Listens on this unix socket. Linux allows 107 bytes. */
  readonly socketPath?: string;
  /** On by default. Tests that never restart the server may save the disk. */
  readonly appendOnly?: boolean;
  readonly logFile?: string;
  readonly readyTimeoutMs?: number;
  readonly stopGraceMs?: number;
}

/** Linux's bound on the path of a unix socket. */
const SOCKET_PATH_BYTES_MAX = 107;

/** A running redis-server. It can be stopped, killed and started again on the same port, socket and data. */
export class RedisServer extends ManagedProcess {
  /** `redis://127.0.0.1:<port>`, or the path of the unix socket; ioredis takes both. */
  readonly url: string;

  constructor(
    spec: ProcessSpec,
    /** 0 when it listens on a unix socket only. */
    readonly port: number,
    readonly socketPath: string | undefined,
  ) {
    super(spec);
    this.url = port === 0 && socketPath !== undefined ? socketPath : `redis://${LOOPBACK}:${port}`;
  }
}

/** So long a master of a cluster may be silent before its replica takes over. */
const CLUSTER_NODE_TIMEOUT_MS = 2_000;

function roleLines(role: RedisRole): readonly string[] {
  switch (role.kind) {
    case 'replica':
      return [`replicaof ${LOOPBACK} ${role.masterPort}`];
    case 'cluster':
      return [
        'cluster-enabled yes',
        'cluster-config-file nodes.conf',
        `cluster-port ${role.busPort}`,
        `cluster-node-timeout ${CLUSTER_NODE_TIMEOUT_MS}`,
        // Each shard lies whole on one master: the shards of the others go on while one is replaced.
        'cluster-require-full-coverage no',
      ];
    default:
      return role satisfies never;
  }
}

/** The text of redis.conf for these values. */
export function renderRedisConf(conf: RedisConf): string {
  const alone = renderServerConf(conf);
  return conf.role === undefined ? alone : [alone, ...roleLines(conf.role), ''].join('\n');
}

function renderServerConf(conf: RedisConf): string {
  return renderTemplate('redis.conf', {
    BIND: conf.bind,
    PROTECTED: conf.protectedMode ? 'yes' : 'no',
    PORT: String(conf.port),
    UNIX_SOCKET: conf.socketPath === undefined ? '' : `unixsocket "${conf.socketPath}"`,
    APPEND_ONLY: conf.appendOnly ? 'yes' : 'no',
    DATA_DIR: conf.dataDir,
    PID_FILE: conf.pidFile,
  });
}

/** Starts redis-server and resolves when it has loaded its data and answers. Throws a StackError with its log otherwise. */
export async function startRedis(options: RedisServerOptions): Promise<RedisServer> {
  const server = await prepareRedis(options);
  await server.start();
  return server;
}

/** Writes the configuration and returns the server, not started. */
export async function prepareRedis(options: RedisServerOptions): Promise<RedisServer> {
  const dir = resolve(options.dir);
  const { socketPath } = options;
  if (socketPath !== undefined && Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) {
    throw new StackError(
      'invalid-options',
      `the socket path ${socketPath} is longer than ${SOCKET_PATH_BYTES_MAX} bytes`,
    );
  }
  const port = options.port ?? (socketPath === undefined ? await freePort() : 0);
  const confFile = join(dir, 'redis.conf');
  const pidFile = join(dir, 'redis.pid');
  mkdirSync(dir, { recursive: true });
  const appendOnly = options.appendOnly ?? true;
  writeFileSync(
    confFile,
    renderRedisConf({
      bind: LOOPBACK,
      protectedMode: true,
      port,
      socketPath,
      appendOnly,
      dataDir: dir,
      pidFile,
      role: options.role,
    }),
  );
  const endpoint: Endpoint =
    port === 0 && socketPath !== undefined ? { path: socketPath } : { host: LOOPBACK, port };
  const name = options.name ?? 'redis';
  return redisProcess({ ...options, dir, name, kind: 'redis', args: [confFile], pidFile, port, endpoint });
}

export interface SentinelOptions extends RedisServerOptions {
  readonly name: string;
  readonly port: number;
  readonly masterPort: number;
}

/** The name under which sentinels know the master. */
export const SENTINEL_MASTER = 'flexpush';
const SENTINEL_QUORUM = 2;
/** Short, because replicas of one machine are never far. A start by the supervisor is sooner, and nothing fails over. */
const SENTINEL_DOWN_AFTER_MS = 1_000;
const SENTINEL_FAILOVER_TIMEOUT_MS = 2_000;

/** Writes the configuration of a sentinel, which rewrites it itself later, and returns it, not started. */
export function prepareSentinel(options: SentinelOptions): RedisServer {
  const { name, port, masterPort } = options;
  const dir = resolve(options.dir);
  const confFile = join(dir, 'sentinel.conf');
  const pidFile = join(dir, 'redis.pid');
  mkdirSync(dir, { recursive: true });
  const lines = [
    `bind ${LOOPBACK}`,
    `port ${port}`,
    'daemonize no',
    `pidfile "${pidFile}"`,
    'logfile ""',
    `dir "${dir}"`,
    `sentinel monitor ${SENTINEL_MASTER} ${LOOPBACK} ${masterPort} ${SENTINEL_QUORUM}`,
    `sentinel down-after-milliseconds ${SENTINEL_MASTER} ${SENTINEL_DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${SENTINEL_MASTER} ${SENTINEL_FAILOVER_TIMEOUT_MS}`,
    `sentinel parallel-syncs ${SENTINEL_MASTER} 1`,
  ];
  writeFileSync(confFile, `${lines.join('\n')}\n`);
  // Debian's redis-sentinel is the same program, and a package of its own that is not needed for this.
  const args = [confFile, '--sentinel'];
  const endpoint = { host: LOOPBACK, port };
  return redisProcess({ ...options, dir, name, kind: 'sentinel', args, pidFile, port, endpoint });
}

interface RedisProcess extends RedisServerOptions {
  readonly name: string;
  readonly kind: 'redis' | 'sentinel';
  readonly args: readonly string[];
  readonly pidFile: string;
  readonly port: number;
  readonly endpoint: Endpoint;
}

function redisProcess(options: RedisProcess): RedisServer {
  const { name, kind, args, dir, pidFile, port, socketPath, endpoint } = options;
  return new RedisServer(
    {
      name,
      kind,
      command: findExecutable('redis-server'),
      args,
      env: inheritedEnvironment(),
      cwd: dir,
      // Redis rewrites its command line, so that only the name is left to compare.
      commandPart: 'redis-server',
      logFile: options.logFile ?? join(dir, `${kind}.log`),
      pidFile,
      probe: (pid) => isRedisReady(endpoint, pid),
      readyTimeoutMs: options.readyTimeoutMs ?? 30_000,
      stopGraceMs: options.stopGraceMs ?? 10_000,
      holdStdin: false,
    },
    port,
    socketPath,
  );
}

/**
 * PING answers only when the data is loaded. The pid must be ours: a stranger on the same port would answer
 * before our own server has had the time to fail.
 */
async function isRedisReady(endpoint: Endpoint, pid: number): Promise<boolean> {
  const answer = await exchange(
    endpoint,
    'PING\r\nINFO server\r\n',
    (text) => text.startsWith('-') || /\r\nprocess_id:\d+\r\n/.test(text),
  );
  return answer !== undefined && answer.startsWith('+PONG') && answer.includes(`\r\nprocess_id:${pid}\r\n`);
}
