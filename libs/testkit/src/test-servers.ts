import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  freeNatsMembers,
  freeRedisMembers,
  type NatsGroup,
  type NatsServer,
  prepareNatsGroup,
  prepareRedisGroup,
  type RedisGroup,
  type RedisServer,
  type RedisTopology,
  startNats,
  startRedis,
} from '@flexpush/stack';

export interface TestRedis {
  readonly server: RedisServer;
  /** For `new Redis(socketPath)`. */
  readonly socketPath: string;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

export interface TestNats {
  readonly server: NatsServer;
  readonly url: string;
  /** Where JetStream keeps its files. To be touched only while the server is stopped. */
  readonly storeDir: string;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

/** An own redis on a unix socket in a temporary folder. `appendOnly` for tests that restart it; off by default. */
export async function startTestRedis(options: { readonly appendOnly?: boolean } = {}): Promise<TestRedis> {
  const dir = temporaryFolder('redis');
  const socketPath = join(dir, 'redis.sock');
  const server = await orRemove(dir, () =>
    startRedis({ dir, socketPath, appendOnly: options.appendOnly ?? false, stopGraceMs: 2_000 }),
  );
  return { server, socketPath, stop: () => stopAndRemove(server, dir) };
}

/** An own nats-server with JetStream on a free port, its store in a temporary folder. */
export async function startTestNats(options: { readonly shards?: number } = {}): Promise<TestNats> {
  const dir = temporaryFolder('nats');
  const server = await orRemove(dir, () => startNats({ dir, ...options, stopGraceMs: 2_000 }));
  return { server, url: server.url, storeDir: join(dir, 'store'), stop: () => stopAndRemove(server, dir) };
}

export interface TestGroup<Group> {
  readonly group: Group;
  readonly url: string;
  /** Stops the servers and removes their folder. */
  stop(): Promise<void>;
}

/** Redis servers of their own that are one: a master with a replica and sentinels, or a cluster. */
export function startTestRedisGroup(topology: RedisTopology): Promise<TestGroup<RedisGroup>> {
  return startGroup('redis', async (dir) =>
    prepareRedisGroup({ dir, topology, members: await freeRedisMembers(topology), ...groupLimits }),
  );
}

/** Three nats-servers of their own that are a JetStream cluster. */
export function startTestNatsCluster(
  options: { readonly shards?: number } = {},
): Promise<TestGroup<NatsGroup>> {
  return startGroup('nats', async (dir) =>
    prepareNatsGroup({ dir, members: await freeNatsMembers(3), ...options, ...groupLimits }),
  );
}

const groupLimits = { stopGraceMs: 2_000 };

async function startGroup<
  Group extends { readonly url: string; start(): Promise<void>; stop(): Promise<void> },
>(name: string, prepare: (dir: string) => Promise<Group>): Promise<TestGroup<Group>> {
  const dir = temporaryFolder(name);
  const group = await orRemove(dir, async () => {
    const prepared = await prepare(dir);
    await prepared.start();
    return prepared;
  });
  return { group, url: group.url, stop: () => stopAndRemove(group, dir) };
}

/** A new folder under the system's temporary folder; the caller removes it. Short, for unix sockets lie in it. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `fp-${name}-`));
}

async function stopAndRemove(server: { stop(): Promise<void> }, dir: string): Promise<void> {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

async function orRemove<T>(dir: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}
