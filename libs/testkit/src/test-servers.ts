import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, type RedisServer, startNats, startRedis } from '@flexpush/stack';

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

/** A new folder under the system's temporary folder; the caller removes it. Short, for unix sockets lie in it. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `fp-${name}-`));
}

async function stopAndRemove(server: RedisServer | NatsServer, dir: string): Promise<void> {
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
