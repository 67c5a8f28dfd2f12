import { LOG_STREAM, subjects } from '@flexpush/contracts';
import { connectBus, ensureStreams } from '@flexpush/nats-bus';
import { freePort, startStack, temporaryFolder, type Stack } from '@flexpush/testkit';
import { DiscardPolicy, nanos, StorageType } from 'nats';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from './finding';
import type { Diagnosis } from './judge';

const program = join(__dirname, '..', '..', 'dist', 'main.js');
jest.setTimeout(120_000);

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a process of its own. */
function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'doctor', ...args], { env: { ...process.env, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function diagnose(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Diagnosis & { code: number | null }> {
  const { code, stdout } = await run([...args, '--json'], env);
  return { ...(JSON.parse(stdout) as Diagnosis), code };
}

function idsOf(findings: readonly Finding[], level: Finding['level']): string[] {
  return findings.filter((finding) => finding.level === level).map(({ id }) => id);
}

let dir: string;
beforeAll(() => {
  dir = temporaryFolder('doctor');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('what "flexpush up" runs', () => {
  let stack: Stack;
  let target: string[];
  beforeAll(async () => {
    stack = await startStack({ dir: join(dir, 'stack'), shards: 8, counts: { 'sample-receiver': 0 } });
    target = ['--dir', join(dir, 'stack')];
  });
  afterAll(() => stack.stop());

  it('passes, and is not fit for production because there is one of each', async () => {
    const plain = await diagnose(target);
    expect(plain).toMatchObject({ code: 0, verdict: 'pass', profile: null });
    const { findings, ...rest } = await diagnose([...target, '--profile', 'production']);
    expect(rest).toMatchObject({ code: 1, verdict: 'fail', profile: 'production' });
    expect(idsOf(findings, 'unsafe')).toEqual([
      'nats.servers',
      'nats.replicas',
      'nats.sync-interval',
      'redis.failover',
      'flexpush.session-actors',
      'flexpush.resend-timers',
      'flexpush.gms-nodes',
    ]);
    expect(idsOf(findings, 'warning')).toEqual(['flexpush.registries']);
    expect(findings).toContainEqual(expect.objectContaining({ id: 'flexpush.fold', level: 'ok' }));
    expect(findings).toContainEqual(
      expect.objectContaining({ id: 'flexpush.leases', level: 'ok', value: 8 }),
    );
  });

  it('is told in plain words, without colours in a pipe', async () => {
    const { code, stdout } = await run(target);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^NATS\n[^]*\nRedis\n[^]*\nflexpush\n/);
    expect(stdout).toContain('can lose up to 2 minutes of acknowledged events: sync_interval');
    expect(stdout).toMatch(/\d+ unsafe, \d+ warnings?, \d+ notes?, \d+ ok\npass\n$/);
    expect(stdout).not.toContain('\u001b[');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it('names the shards whose owner has died', async () => {
    const actor = stack.run().services.find(({ kind }) => kind === 'session-actor');
    process.kill(actor?.pid ?? 0, 'SIGSTOP');
    try {
      const { findings } = await diagnose(target);
      const leases = findings.find(({ id }) => id === 'flexpush.leases');
      expect(leases).toMatchObject({
        level: 'unsafe',
        value: 8,
        meaning: expect.stringContaining('session-actor-1'),
      });
    } finally {
      process.kill(actor?.pid ?? 0, 'SIGCONT');
    }
  });

  it('says within seconds that Redis is frozen, and tells the rest', async () => {
    const { pid } = stack.run().redis;
    process.kill(pid, 'SIGSTOP');
    try {
      const { code, verdict, findings } = await diagnose(target);
      expect({ code, verdict }).toEqual({ code: 2, verdict: 'fail' });
      expect(findings).toContainEqual(expect.objectContaining({ id: 'redis.reachable', level: 'unsafe' }));
      expect(findings).toContainEqual(expect.objectContaining({ id: 'nats.storage', level: 'ok' }));
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
});

describe('servers with bad settings', () => {
  const children: ChildProcess[] = [];
  let natsUrl: string;
  let monitorUrl: string;
  let redisUrl: string;

  beforeAll(async () => {
    const [nats = 0, monitor = 0, redis = 0] = await Promise.all([freePort(), freePort(), freePort()]);
    const conf = join(dir, 'bad.conf');
    writeFileSync(
      conf,
      `server_name: bad, host: 127.0.0.1, port: ${nats}, http: "127.0.0.1:${monitor}", max_payload: 64KB
       jetstream { store_dir: "${join(dir, 'bad')}" }
       mappings = { "flexpush.event.*": "flexpush.log.{{partition(7,1)}}.pub" }`,
    );
    children.push(spawn('nats-server', ['-c', conf], { stdio: 'ignore' }));
    const redisArgs = ['--port', String(redis), '--bind', '127.0.0.1', '--save', '', '--dir', dir];
    children.push(
      spawn('redis-server', [...redisArgs, '--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'], {
        stdio: 'ignore',
      }),
    );
    [natsUrl, monitorUrl] = [`nats://127.0.0.1:${nats}`, `http://127.0.0.1:${monitor}`];
    redisUrl = `redis://127.0.0.1:${redis}`;
    const bus = await connectBus({ url: natsUrl, name: 'test' });
    const jsm = await bus.connection.jetstreamManager();
    await jsm.streams.add({
      name: LOG_STREAM,
      subjects: [subjects.logWildcard],
      storage: StorageType.Memory,
      discard: DiscardPolicy.Old,
      duplicate_window: nanos(100),
      max_age: nanos(60_000),
    });
    await ensureStreams(bus, {
      shardCount: 8,
      replicas: 1,
      logBytesMax: 64 * 1_048_576,
      logAgeMaxMs: 3_600_000,
    });
    await bus.close();
  });
  afterAll(async () => {
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  });

  it('are each named', async () => {
    const args = ['--nats', natsUrl, '--redis', redisUrl, '--nats-monitor', monitorUrl];
    const { findings, code } = await diagnose([...args, '--profile', 'production']);
    expect(code).toBe(1);
    expect(idsOf(findings, 'unsafe')).toEqual(
      expect.arrayContaining([
        ...['nats.max-payload', 'nats.storage', 'nats.replicas', 'nats.discard', 'nats.mapping'],
        ...['redis.failover', 'redis.eviction', 'flexpush.session-actors', 'flexpush.leases'],
      ]),
    );
    expect(idsOf(findings, 'warning')).toEqual(
      expect.arrayContaining(['nats.duplicate-window', 'nats.log-age', 'nats.log-room', 'redis.persistence']),
    );
    const sync = findings.find(({ id }) => id === 'nats.sync-interval');
    expect(sync?.meaning).not.toContain('--nats-monitor');
  });

  it('are found by the environment', async () => {
    const env = { FLEXPUSH_NATS_URL: natsUrl, FLEXPUSH_REDIS_URL: redisUrl };
    const { findings } = await diagnose([], env);
    expect(idsOf(findings, 'unsafe')).toContain('redis.eviction');
  });

  it('are not judged by the Redis of another system', async () => {
    const { findings, code } = await diagnose(['--nats', natsUrl, '--dir', join(dir, 'nowhere')], {
      FLEXPUSH_REDIS_URL: '',
    });
    expect(code).toBe(0);
    expect(findings.filter(({ id }) => id.startsWith('redis.'))).toMatchObject([
      { id: 'redis.reachable', level: 'note' },
    ]);
  });

  it('says why a monitoring port could not be read', async () => {
    const { findings } = await diagnose([
      '--nats',
      natsUrl,
      '--nats-monitor',
      `http://127.0.0.1:${await freePort()}`,
    ]);
    const sync = findings.find(({ id }) => id === 'nats.sync-interval');
    expect(sync?.meaning).toMatch(/could not be read .*ECONNREFUSED/);
  });
});

it('says with a code of its own, and without the password, that no NATS answers', async () => {
  const where = `127.0.0.1:${await freePort()}`;
  const ended = await run(['--nats', `nats://me:secret@${where}`]);
  expect(ended.code).toBe(2);
  expect(ended.stdout).toContain(`No NATS server answers at nats://${where}`);
  expect(ended.stdout + ended.stderr).not.toContain('secret');
});

it('ends when NATS is silent', async () => {
  const port = await freePort();
  const conf = join(dir, 'frozen.conf');
  writeFileSync(conf, `host: 127.0.0.1, port: ${port}`);
  const child = spawn('nats-server', ['-c', conf], { stdio: 'ignore' });
  const bus = await connectBus({ url: `nats://127.0.0.1:${port}`, name: 'test' });
  child.kill('SIGSTOP');
  try {
    const ended = await Promise.race([run(['--nats', `nats://127.0.0.1:${port}`]), sleep(60_000)]);
    expect(ended).toMatchObject({ code: 2, stdout: expect.stringContaining('No NATS server answers') });
  } finally {
    child.kill('SIGKILL');
    await bus.close();
  }
});

it('says what is wrong with a URL', async () => {
  const ended = await run(['--nats', 'nats://127.0.0.1:1', '--redis', 'http://x:y@z']);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('the Redis URL must be redis://host:port');
});
