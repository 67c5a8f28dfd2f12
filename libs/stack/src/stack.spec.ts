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
  return [...run.services.map((service) => service.pid), run.nats.pid, run.redis.pid];
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

describe('a launcher that is killed', () => {
  it('leaves no services, and the next start ends its redis and nats', async () => {
    const launcher = startLauncher();
    try {
      const run = await runOf(launcher);
      launcher.kill('SIGKILL');
      await once(launcher, 'exit');
      const servicePids = run.services.map((service) => service.pid);
      const isGone = () => Promise.resolve(!servicePids.some(isAlive));
      expect(await pollUntil(isGone, { timeoutMs: 5_000 })).toBe(true);
      expect(isAlive(run.nats.pid)).toBe(true);
      const next = await start();
      expect([run.nats.pid, run.redis.pid].some(isAlive)).toBe(false);
      expect(next.nats.url).toBe(run.nats.url);
    } finally {
      launcher.kill('SIGKILL');
    }
  });
});

/** A launcher of its own, from the sources, since tests need no build. */
function startLauncher(): ChildProcess {
  const program = join(dir, 'launcher.cjs');
  const [index, state, register] = [
    join(__dirname, 'index.ts'),
    join(dir, 'state'),
    join(repositoryRoot, 'tools', 'register-sources.cjs'),
  ];
  writeFileSync(
    program,
    `require(${JSON.stringify(index)})
       .startStack({ dir: ${JSON.stringify(state)}, entryOf: () => ${JSON.stringify(fake)} })
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
