import { freePort, temporaryFolder } from '@flexpush/testkit';
import { spawn, type ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';

const POLL_MS = 50;
const WAIT_MS = 20_000;

/** Resolves when the condition holds; one that throws does not hold yet. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > endMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** redis-server processes on loopback, with a plain client to each, all gone after `stop`. */
export class RedisServers {
  private readonly folder = temporaryFolder('redis');
  private readonly children = new Map<number, ChildProcess>();
  private readonly clients = new Map<number, Redis>();

  async start(lines: readonly string[], args: readonly string[] = []): Promise<number> {
    const port = await freePort();
    const file = join(this.folder, `${port}.conf`);
    const own = [`port ${port}`, 'bind 127.0.0.1', 'save ""', `dir "${this.folder}"`, 'loglevel warning'];
    writeFileSync(file, [...own, ...lines, ''].join('\n'));
    this.children.set(port, spawn('redis-server', [file, ...args], { stdio: 'ignore' }));
    await until(`redis on ${port}`, async () => (await this.client(port).ping()) === 'PONG');
    return port;
  }

  client(port: number): Redis {
    let client = this.clients.get(port);
    if (!client) {
      client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: 1, retryStrategy: () => POLL_MS });
      // Servers come and go here on purpose.
      client.on('error', () => undefined);
      this.clients.set(port, client);
    }
    return client;
  }

  kill(port: number, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.children.get(port)?.kill(signal);
  }

  async stop(): Promise<void> {
    for (const client of this.clients.values()) client.disconnect();
    await Promise.all(
      [...this.children.values()].map(
        (child) =>
          new Promise((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve(undefined);
            child.once('exit', resolve);
            child.kill('SIGKILL');
          }),
      ),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A master, a replica and three sentinels that act after half a second. */
export async function startSentinels(
  servers: RedisServers,
): Promise<{ url: string; master: number; replica: number }> {
  const master = await servers.start([]);
  const replica = await servers.start([`replicaof 127.0.0.1 ${master}`, 'repl-ping-replica-period 1']);
  await until('the replica follows', async () =>
    /master_link_status:up/.test(await servers.client(replica).info('replication')),
  );
  const sentinels: number[] = [];
  for (let i = 0; i < 3; i++) {
    const lines = [
      `sentinel monitor main 127.0.0.1 ${master} 2`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 2000',
    ];
    sentinels.push(await servers.start(lines, ['--sentinel']));
  }
  for (const port of sentinels)
    await until('the sentinels know each other and the replica', async () => {
      const seen = await servers.client(port).call('SENTINEL', 'master', 'main');
      const text = (seen as string[]).join(' ');
      return /num-slaves 1\b/.test(text) && /num-other-sentinels 2\b/.test(text);
    });
  const hosts = sentinels.map((port) => `127.0.0.1:${port}`).join(',');
  return { url: `redis+sentinel://${hosts}/main`, master, replica };
}

/** Three masters with the slots between them, and a replica of the first. */
export async function startCluster(
  servers: RedisServers,
): Promise<{ url: string; masters: number[]; replica: number }> {
  const ports: number[] = [];
  for (let i = 0; i < 4; i++) {
    const busPort = await freePort();
    ports.push(
      await servers.start([
        'cluster-enabled yes',
        `cluster-config-file nodes-${i}.conf`,
        'cluster-node-timeout 1000',
        `cluster-port ${busPort}`,
      ]),
    );
  }
  const [first = 0, ...others] = ports;
  const bus = async (port: number) =>
    /^\S+ \S+@(\d+)/m.exec(String(await servers.client(port).call('CLUSTER', 'NODES')))?.[1] ?? '';
  const masters = ports.slice(0, 3);
  for (const [i, port] of masters.entries()) {
    const [from, to] = [Math.floor((16_384 / 3) * i), Math.floor((16_384 / 3) * (i + 1)) - 1];
    await servers.client(port).call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(i === 2 ? 16_383 : to));
    await servers.client(port).call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
  }
  for (const port of others)
    await servers.client(first).call('CLUSTER', 'MEET', '127.0.0.1', String(port), await busOr(bus, port));
  for (const port of ports)
    await until('the cluster knows all its nodes', async () =>
      /cluster_known_nodes:4/.test(String(await servers.client(port).call('CLUSTER', 'INFO'))),
    );
  const replica = ports[3] ?? 0;
  const id = String(await servers.client(first).call('CLUSTER', 'MYID'));
  await servers.client(replica).call('CLUSTER', 'REPLICATE', id);
  for (const port of ports)
    await until('the cluster is whole', async () => {
      const [info, nodes] = await Promise.all([
        servers.client(port).call('CLUSTER', 'INFO'),
        servers.client(port).call('CLUSTER', 'NODES'),
      ]);
      return /cluster_state:ok/.test(String(info)) && /slave/.test(String(nodes));
    });
  await until('the replica follows', async () =>
    /master_link_status:up/.test(await servers.client(replica).info('replication')),
  );
  return { url: `redis+cluster://${ports.map((port) => `127.0.0.1:${port}`).join(',')}`, masters, replica };
}

async function busOr(bus: (port: number) => Promise<string>, port: number): Promise<string> {
  const found = await bus(port);
  return found === '' ? String(port + 10_000) : found;
}
