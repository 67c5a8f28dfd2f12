import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './leftover';
import { repositoryRoot } from './paths';
import { freePort } from './port';
import { pollUntil } from './probe';
import { redisCommand } from './redis-command';
import { serviceKinds } from './service-process';
import { prepareStack, type Stack, startStack } from './stack';
import type { RunFile } from './stack-files';
import type { StackEvent, StackOptions } from './stack-options';

const fake = join(__dirname, '..', 'fixtures', 'fake-service.mjs');
let dir: string;
let stacks: Stack[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'fp-stack-'));
  stacks = [];
});
afterEach(async () => {
  await Promise.all(stacks.map((stack) => stack.killNow()));
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: Partial<StackOptions> = {}): Promise<Stack> {
  const stack = await startStack({ dir: join(dir, 'state'), entryOf: () => fake, ...options });
  stacks.push(stack);
  return stack;
}

function readRun(): RunFile {
  return JSON.parse(readFileSync(join(dir, 'state', 'run.json'), 'utf8')) as RunFile;
}

async function environmentOf(url: string): Promise<Record<string, string>> {
  return (await (await fetch(`${url}/env`)).json()) as Record<string, string>;
}

function pidsOf(run: RunFile): number[] {
  return [...run.services, ...run.servers].map(({ pid }) => pid);
}

/** Event-driven wait for something that the stack reports. */
function eventLog() {
  const events: StackEvent[] = [];
  const waiters = new Set<() => void>();
  return {
    events,
    onEvent: (event: StackEvent) => {
      events.push(event);
      for (const wake of waiters) wake();
    },
    until: (predicate: (event: StackEvent) => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!events.some(predicate)) return;
          waiters.delete(look);
          resolve();
        };
        waiters.add(look);
        look();
      }),
  };
}

describe('a stack', () => {
  it('runs everything, says so in run.json, and leaves nothing running', async () => {
    const stack = await start({ counts: { 'gms-node': 3, 'session-actor': 2 }, groups: ['a', 'b'] });
    const run = readRun();
    expect(run).toEqual(stack.run());
    expect(run.services.map((service) => service.name).sort()).toEqual([
      'chat-api-1',
      'gms-node-1',
      'gms-node-2',
      'gms-node-3',
      'gms-registry-1',
      'resend-timer-1',
      'sample-receiver-1',
      'session-actor-1',
      'session-actor-2',
    ]);
    expect(pidsOf(run).every(isAlive)).toBe(true);
    await stack.stop();
    expect(pidsOf(run).some(isAlive)).toBe(false);
    expect(existsSync(join(dir, 'state', 'run.json'))).toBe(false);
  });

  it('gives the services what they need to know', async () => {
    const stack = await start({
      counts: { 'gms-node': 2, 'session-actor': 2 },
      groups: ['a', 'b'],
      shards: 8,
      env: { all: { FLEXPUSH_EXTRA: 'x' }, 'chat-api': { FLEXPUSH_OWN: 'y' } },
      envByName: { 'gms-node-1': { FLEXPUSH_EXTRA: 'z' } },
    });
    const common = {
      FLEXPUSH_NATS_URL: stack.nats.url,
      FLEXPUSH_REDIS_URL: stack.redis.url,
      FLEXPUSH_EXTRA: 'x',
    };
    expect(await environmentOf(stack.service('session-actor-2').url)).toMatchObject({
      ...common,
      FLEXPUSH_NODE_ID: 'session-actor-2',
      FLEXPUSH_SHARDS: '8',
      FLEXPUSH_ALIAS: '102',
    });
    expect(await environmentOf(stack.service('gms-node-1').url)).toMatchObject({ FLEXPUSH_EXTRA: 'z' });
    expect(await environmentOf(stack.service('gms-node-2').url)).toMatchObject({
      FLEXPUSH_GMS_GROUP: 'b',
      FLEXPUSH_EXTRA: 'x',
    });
    const api = await environmentOf(stack.service('chat-api-1').url);
    expect(api).toMatchObject({ ...common, FLEXPUSH_KEY_SECRET: stack.keySecret, FLEXPUSH_OWN: 'y' });
  });

  it('keeps ports and secret over a second start, and its shard count for good', async () => {
    const first = await start();
    const { keySecret } = first;
    const urls = first.run().services.map((service) => service.urls);
    await first.stop();
    expect(statSync(join(dir, 'state', 'state.json')).mode & 0o777).toBe(0o600);
    const second = await start();
    expect(second.keySecret).toBe(keySecret);
    expect(second.run().services.map((service) => service.urls)).toEqual(urls);
    expect(second.previousReceiverUrl).toBe(first.receiverUrl);
    await second.stop();
    await expect(start({ shards: 5 })).rejects.toMatchObject({ code: 'shards-fixed' });
  });

  it('refuses a second start in the same folder and names the pid', async () => {
    await start();
    await expect(start()).rejects.toMatchObject({
      code: 'already-running',
      message: expect.stringContaining(`pid ${process.pid}`) as string,
    });
  });

  it('takes over a lock whose holder is gone', async () => {
    const stack = await start();
    await stack.stop();
    writeFileSync(join(dir, 'state', 'lock'), '999999999 1 dead');
    await start();
  });

  it('refuses a busy port that was asked for and passes over one that was only used before', async () => {
    const port = await freePort();
    const blocker = createServer().listen(port, '127.0.0.1');
    await once(blocker, 'listening');
    try {
      await expect(start({ ports: { chatApi: port } })).rejects.toMatchObject({
        code: 'port-busy',
        message: expect.stringContaining('--chat-api-port') as string,
      });
      const stack = await start({ ports: { nats: await freePort() } });
      expect(stack.chatApiUrl).not.toContain(String(port));
    } finally {
      blocker.close();
    }
  });

  it('says which service failed, with its last words, and stops the rest', async () => {
    const names = { 'gms-node': { FAKE_FAIL: 'no luck' } };
    await expect(start({ env: names })).rejects.toThrow(
      /gms-node-1 ended with exit code 3.*cannot go on: no luck/s,
    );
    const stuck = { 'chat-api': { FAKE_NEVER_READY: '1' } };
    // Alone, so that on a busy machine no other service can be the first to be late.
    const counts = Object.fromEntries(serviceKinds.map((kind) => [kind, kind === 'chat-api' ? 1 : 0]));
    await expect(start({ env: stuck, counts, readyTimeoutMs: 3_000 })).rejects.toThrow(
      /chat-api-1 was not ready within 3 s/,
    );
  });

  it('does not take a stranger on the port for its own service', async () => {
    const port = await freePort();
    const stranger = createHttpServer((_, response) => response.end('ok'));
    // The stranger comes after the ports were looked at, and before the service gets to listen.
    const onEvent = (event: StackEvent) => {
      if (event.kind === 'starting' && event.names.includes('nats')) stranger.listen(port, '127.0.0.1');
    };
    try {
      await expect(start({ ports: { chatApi: port }, onEvent })).rejects.toThrow(
        /chat-api-1 ended with.*EADDRINUSE/s,
      );
    } finally {
      stranger.close();
      stranger.closeAllConnections();
    }
  });

  it('starts again what dies, with the same port, and rewrites run.json', async () => {
    const log = eventLog();
    const stack = await start({ onEvent: log.onEvent });
    const before = readRun();
    await Promise.all([stack.service('session-actor-1').kill(), stack.nats.kill(), stack.redis.kill()]);
    for (const name of ['session-actor-1', 'nats', 'redis']) {
      await log.until((event) => event.kind === 'restarted' && event.name === name);
    }
    const after = readRun();
    expect(after).toEqual(stack.run());
    expect(after.nats.url).toBe(before.nats.url);
    expect(after.nats.pid).not.toBe(before.nats.pid);
    expect(pidsOf(after).every(isAlive)).toBe(true);
  });

  it('leaves what dies alone when told so, until it is started by hand', async () => {
    const log = eventLog();
    const stack = await start({ supervise: false, onEvent: log.onEvent });
    const service = stack.service('chat-api-1');
    await service.kill('SIGKILL');
    expect(service.currentPid).toBeUndefined();
    expect(log.events.some((event) => event.kind === 'died')).toBe(false);
    await service.start();
    expect(isAlive(service.pid)).toBe(true);
  });

  it('kills what does not listen to SIGTERM, after the grace', async () => {
    const stack = await start({ env: { all: { FAKE_IGNORE_TERM: '1' } }, stopGraceMs: 200 });
    const pids = pidsOf(stack.run());
    await stack.stop();
    expect(pids.some(isAlive)).toBe(false);
  });

  it('stops in the middle of a start', async () => {
    const stack = await prepareStack({
      dir: join(dir, 'state'),
      entryOf: () => fake,
      env: { all: { FAKE_NEVER_READY: '1' } },
    });
    stacks.push(stack);
    const started = stack.start().catch((error: unknown) => error);
    await stack.stop();
    await started;
    expect(pidsOf(stack.run()).every((pid) => pid === 0)).toBe(true);
  });
});

/** Only what a test of the servers needs. */
const oneService = Object.fromEntries(serviceKinds.map((kind) => [kind, kind === 'session-actor' ? 1 : 0]));

describe('a stack of several servers', () => {
  it('runs Sentinel and a NATS cluster, tells the services, and goes on with the master it ended with', async () => {
    const stack = await start({ counts: oneService, supervise: false, redis: 'sentinel', natsServers: 3 });
    const run = readRun();
    expect(run.servers.map(({ name }) => name)).toEqual([
      ...['nats-1', 'nats-2', 'nats-3', 'redis-1', 'redis-2', 'sentinel-1', 'sentinel-2', 'sentinel-3'],
    ]);
    expect(pidsOf(run).every(isAlive)).toBe(true);
    const portsOf = (kind: string) =>
      run.servers.filter((one) => one.kind === kind).map(({ port }) => `127.0.0.1:${port}`);
    expect(await environmentOf(stack.service('session-actor-1').url)).toMatchObject({
      FLEXPUSH_NATS_URL: portsOf('nats')
        .map((host) => `nats://${host}`)
        .join(','),
      FLEXPUSH_REDIS_URL: `redis+sentinel://${portsOf('sentinel').join(',')}/flexpush`,
      FLEXPUSH_STREAM_REPLICAS: '3',
    });
    const { redisGroup } = stack;
    expect((await redisGroup.masters()).map(({ name }) => name)).toEqual(['redis-1']);
    await stack.redis.kill();
    const hasFailedOver = async () => (await redisGroup.masters())[0]?.name === 'redis-2';
    expect(await pollUntil(hasFailedOver, { timeoutMs: 30_000 })).toBe(true);
    await redisCommand(redisGroup.servers[1]?.port ?? 0, 'SET', 'key', 'kept');
    await stack.stop();
    expect(pidsOf(run).some(isAlive)).toBe(false);
    // The old master has not seen the key and must not be the master again.
    const second = await start({ counts: oneService });
    expect((await second.redisGroup.masters()).map(({ name }) => name)).toEqual(['redis-2']);
    for (const { port } of second.redisGroup.servers)
      expect(await redisCommand(port, 'GET', 'key')).toBe('kept');
    await second.stop();
    await expect(start({ natsServers: 1 })).rejects.toMatchObject({
      code: 'nats-servers-fixed',
      message: expect.stringContaining('was made with 3 NATS servers') as string,
    });
  }, 90_000);

  it('runs a Redis Cluster, which is whole again at the next start, on other ports too', async () => {
    const stack = await start({ counts: oneService, redis: 'cluster' });
    expect((await stack.redisGroup.masters()).map(({ name }) => name)).toEqual([
      'redis-1',
      'redis-2',
      'redis-3',
    ]);
    // The slot of `{a}` lies on one of them.
    const answers = await Promise.all(
      stack.redisGroup.servers
        .slice(0, 3)
        .map(({ port }) => redisCommand(port, 'SET', '{a}', 'kept').catch(() => null)),
    );
    expect(answers.filter((answer) => answer === 'OK')).toHaveLength(1);
    await stack.stop();
    const taken = createServer().listen(stack.redisGroup.servers[answers.indexOf('OK')]?.port, '127.0.0.1');
    await once(taken, 'listening');
    try {
      const second = await start({ counts: oneService });
      expect(second.redisUrl).not.toBe(stack.redisUrl);
      const port = second.redisGroup.servers[answers.indexOf('OK')]?.port ?? 0;
      expect(await redisCommand(port, 'GET', '{a}')).toBe('kept');
    } finally {
      taken.close();
    }
  }, 90_000);

  it.each([
    { name: 'Redis', options: { redis: 'many' }, says: /redis must be one of single, sentinel, cluster/ },
    { name: 'NATS', options: { natsServers: 2 }, says: /NATS servers must be 1 or 3/ },
  ])('refuses a $name that there is not', async ({ options, says }) => {
    await expect(start(options as Partial<StackOptions>)).rejects.toThrow(says);
  });
});

describe('a launcher that is killed', () => {
  it.each([
    { name: 'redis and nats', options: {} },
    { name: 'sentinels and nats cluster', options: { redis: 'sentinel', natsServers: 3 } },
  ])(
    'leaves no services, and the next start ends its $name',
    async ({ options }) => {
      const launcher = startLauncher(options);
      try {
        const run = await runOf(launcher);
        launcher.kill('SIGKILL');
        await once(launcher, 'exit');
        const servicePids = run.services.map((service) => service.pid);
        const isGone = () => Promise.resolve(!servicePids.some(isAlive));
        expect(await pollUntil(isGone, { timeoutMs: 5_000 })).toBe(true);
        const serverPids = run.servers.map(({ pid }) => pid);
        expect(serverPids.every(isAlive)).toBe(true);
        const next = await start();
        expect(serverPids.some(isAlive)).toBe(false);
        expect(next.natsUrl).toBe(run.nats.url);
      } finally {
        launcher.kill('SIGKILL');
      }
    },
    60_000,
  );
});

/** A launcher of its own, from the sources, since tests need no build. */
function startLauncher(options: object): ChildProcess {
  const program = join(dir, 'launcher.cjs');
  const [index, state, register] = [
    join(__dirname, 'index.ts'),
    join(dir, 'state'),
    join(repositoryRoot, 'tools', 'register-sources.cjs'),
  ];
  writeFileSync(
    program,
    `require(${JSON.stringify(index)})
       .startStack({ ...${JSON.stringify(options)}, dir: ${JSON.stringify(state)}, entryOf: () => ${JSON.stringify(fake)} })
       .then((stack) => process.send(stack.run()), (error) => { console.error(error); process.exit(1); });`,
  );
  return spawn(process.execPath, ['--require', register, program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

async function runOf(launcher: ChildProcess): Promise<RunFile> {
  const [run] = (await once(launcher, 'message')) as [RunFile];
  return run;
}
