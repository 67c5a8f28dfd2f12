import {
  freePort,
  startTestRedis,
  startTestRedisGroup,
  temporaryFolder,
  type RedisGroup,
  type RedisServer,
  type TestGroup,
} from '@flexpush/testkit';
import { Redis } from 'ioredis';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { keys } from './keys';
import { connectRedis } from './redis';
import { readRedisFacts, type RedisFacts, type RedisServerFacts } from './redis-facts';
import { parseFields, parseInfo, parsePairs } from './redis-info';
import { readShardFacts } from './shard-facts';

const TIMEOUT = { timeoutMs: 3_000 };
const MIB = 1_048_576;
jest.setTimeout(90_000);

const POLL_MS = 50;
const WAIT_MS = 20_000;

/** Resolves when the condition holds; one that throws does not hold yet. */
async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > endMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** redis-servers with lines of their own in their configuration, all gone after `stop`. */
class RedisServers {
  private readonly folder = temporaryFolder('redis');
  private readonly children: ChildProcess[] = [];
  private readonly clients = new Map<number, Redis>();

  async start(lines: readonly string[]): Promise<number> {
    const port = await freePort();
    const file = join(this.folder, `${port}.conf`);
    const own = [`port ${port}`, 'bind 127.0.0.1', 'save ""', `dir "${this.folder}"`, 'loglevel warning'];
    writeFileSync(file, [...own, ...lines, ''].join('\n'));
    this.children.push(spawn('redis-server', [file], { stdio: 'ignore' }));
    await until(`redis on ${port}`, async () => (await this.client(port).ping()) === 'PONG');
    return port;
  }

  client(port: number): Redis {
    let client = this.clients.get(port);
    if (!client) {
      client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: 1, retryStrategy: () => POLL_MS });
      // It asks before the server is there, too.
      client.on('error', () => undefined);
      this.clients.set(port, client);
    }
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.clients.values()) client.disconnect();
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let servers: RedisServers;
beforeEach(() => {
  servers = new RedisServers();
});
afterEach(() => servers.stop());

function onlyServer({ masters }: RedisFacts): RedisServerFacts {
  expect(masters).toHaveLength(1);
  return masters[0] as RedisServerFacts;
}

describe('one server', () => {
  it('tells how it keeps what it has', async () => {
    const port = await servers.start(['appendonly yes', 'maxmemory 64mb', 'maxmemory-policy noeviction']);
    const facts = await readRedisFacts(`redis://127.0.0.1:${port}`, TIMEOUT);
    expect(facts.topology).toEqual({ kind: 'single' });
    expect(onlyServer(facts)).toEqual({
      address: `127.0.0.1:${port}`,
      version: expect.stringMatching(/^\d+\.\d+/),
      role: 'master',
      isLoading: false,
      pingMs: expect.any(Number),
      usedBytes: expect.any(Number),
      usedBytesMax: 64 * MIB,
      hostBytes: expect.any(Number),
      evictionPolicy: 'noeviction',
      evictedKeys: 0,
      appendOnly: true,
      isLastSaveOk: true,
      replicas: [],
      config: { appendFsync: 'everysec', save: '', minReplicasToWrite: 0 },
    });
  });

  it('tells that it drops keys, and that it has done so', async () => {
    const port = await servers.start(['maxmemory 3mb', 'maxmemory-policy allkeys-lru']);
    const client = servers.client(port);
    for (let i = 0; i < 60; i++) await client.set(`key-${i}`, 'x'.repeat(65_536));
    const server = onlyServer(await readRedisFacts(`redis://127.0.0.1:${port}`, TIMEOUT));
    expect(server).toMatchObject({ evictionPolicy: 'allkeys-lru', appendOnly: false, usedBytesMax: 3 * MIB });
    expect(server.evictedKeys).toBeGreaterThan(0);
  });

  it('goes without CONFIG where it is refused, and takes the password of the URL', async () => {
    const port = await servers.start(['user app on >secret ~* &* +@all -config']);
    const server = onlyServer(await readRedisFacts(`redis://app:secret@127.0.0.1:${port}`, TIMEOUT));
    expect(server).toMatchObject({
      address: `127.0.0.1:${port}`,
      config: undefined,
      evictionPolicy: 'noeviction',
    });
  });

  it('is read through its unix socket', async () => {
    const redis = await startTestRedis();
    try {
      const server = onlyServer(await readRedisFacts(redis.socketPath, TIMEOUT));
      expect(server).toMatchObject({ address: redis.socketPath, role: 'master' });
    } finally {
      await redis.stop();
    }
  });

  it('tells that its disk refuses', async () => {
    const port = await servers.start(['dbfilename a-folder']);
    const client = servers.client(port);
    await client.set('key', 'value');
    const [, folder = ''] = (await client.config('GET', 'dir')) as string[];
    mkdirSync(join(folder, 'a-folder'));
    await client.bgsave();
    await until('the save has failed', async () =>
      /rdb_last_bgsave_status:err/.test(await client.info('persistence')),
    );
    const server = onlyServer(await readRedisFacts(`redis://127.0.0.1:${port}`, TIMEOUT));
    expect(server.isLastSaveOk).toBe(false);
  });
});

describe('a server that is not there', () => {
  it('is an error, when it refuses', async () => {
    const port = await freePort();
    await expect(readRedisFacts(`redis://127.0.0.1:${port}`, TIMEOUT)).rejects.toThrow(/ECONNREFUSED/);
  });

  it('is an error after the time-out, when it is silent', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    try {
      await expect(readRedisFacts(`redis://127.0.0.1:${port}`, { timeoutMs: 300 })).rejects.toThrow(
        /timed out/,
      );
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('is an error, when the password is wrong', async () => {
    const port = await servers.start([]);
    await servers.client(port).config('SET', 'requirepass', 'right');
    await expect(readRedisFacts(`redis://:wrong@127.0.0.1:${port}`, TIMEOUT)).rejects.toThrow(
      /WRONGPASS|NOAUTH/,
    );
  });
});

describe('several servers', () => {
  let several: TestGroup<RedisGroup>;
  afterEach(() => several.stop());

  it('tells what Sentinels know of the master, and of those that are away', async () => {
    several = await startTestRedisGroup('sentinel');
    const { url, group } = several;
    const [master, replica] = group.servers as [RedisServer, RedisServer];
    const facts = await readRedisFacts(url, TIMEOUT);
    expect(facts.topology).toEqual({
      kind: 'sentinel',
      asked: 3,
      answering: 3,
      known: 3,
      quorum: 2,
      master: `127.0.0.1:${master.port}`,
      isMasterDown: false,
    });
    expect(onlyServer(facts)).toMatchObject({
      address: `127.0.0.1:${master.port}`,
      replicas: [{ address: `127.0.0.1:${replica.port}`, isOnline: true, behindBytes: expect.any(Number) }],
    });

    const [first] = group.sentinels as [RedisServer];
    await first.kill();
    await until('the sentinel is gone', async () => {
      const { topology } = await readRedisFacts(url, TIMEOUT);
      return topology.kind === 'sentinel' && topology.answering === 2 && topology.known === 3;
    });
    const nobody = url.replace(/\/\/[^/]*/, `//127.0.0.1:${first.port}`);
    await expect(readRedisFacts(nobody, TIMEOUT)).rejects.toThrow(/no sentinel tells of \w+: .*ECONNREFUSED/);
  });

  it('tells the masters of a cluster, who has a replica, and that it is broken', async () => {
    several = await startTestRedisGroup('cluster');
    const { url, group } = several;
    const masters = await group.masters();
    const expected = masters.map(({ port }) => `127.0.0.1:${port} 1`).sort();
    // Whoever is asked has heard of the last replica a little later than it followed.
    await until('everybody knows of every replica', async () => {
      const { topology } = await readRedisFacts(url, TIMEOUT);
      if (topology.kind !== 'cluster') return false;
      const told = topology.masters.map(({ address, replicas }) => `${address} ${replicas}`).sort();
      return told.join() === expected.join();
    });
    const facts = await readRedisFacts(url, TIMEOUT);
    expect(facts.topology).toMatchObject({ kind: 'cluster', isOk: true, slotsAssigned: 16_384 });
    expect(facts.masters).toHaveLength(3);

    // Most of the masters are gone, and nobody is left to follow them.
    await Promise.all(group.servers.filter((server) => server !== masters[0]).map((server) => server.kill()));
    await until('the cluster calls itself broken', async () => {
      const now = await readRedisFacts(url, TIMEOUT);
      return now.topology.kind === 'cluster' && !now.topology.isOk && now.masters.length === 1;
    });
  });
});

it('tells of each shard how far it is, its earliest timer, its outbox, and whether it is held', async () => {
  const port = await servers.start([]);
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url);
  await client.set(keys.checkpoint(1), 'a|7|1|1|b');
  await client.zadd(keys.timers(1), 900, 'resend:s:u', 500, 'ping:s:u');
  await client.hset(keys.outbox(1), 'one', '{}', 'two', '{}');
  await client.set(keys.hold(1), '1');
  client.disconnect();
  const redis = connectRedis({ url });
  expect(await readShardFacts(redis, [0, 1])).toEqual([
    { shard: 0, checkpoint: '', earliestDueAtMs: undefined, unsettled: 0, isHeld: false },
    { shard: 1, checkpoint: 'a|7|1|1|b', earliestDueAtMs: 500, unsettled: 2, isHeld: true },
  ]);
  redis.disconnect();
});

describe('what Redis answers', () => {
  it('is read field by field', () => {
    const info = parseInfo(
      '# Server\r\nredis_version:7.0.15\r\n\r\n# Replication\r\nslave0:ip=::1,port=2\r\n',
    );
    expect([...info]).toEqual([
      ['redis_version', '7.0.15'],
      ['slave0', 'ip=::1,port=2'],
    ]);
    expect([...parseFields(info.get('slave0') ?? '')]).toEqual([
      ['ip', '::1'],
      ['port', '2'],
    ]);
  });

  it('is no pairs where it is no list', () => {
    expect([...parsePairs(['save', '', 'odd'])]).toEqual([['save', '']]);
    expect([...parsePairs('OK')]).toEqual([]);
  });
});
