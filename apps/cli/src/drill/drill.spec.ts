import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { connectBus, openOptionStore } from '@flexpush/nats-bus';
import { startStack, temporaryFolder, type Stack } from '@flexpush/testkit';

const program = join(__dirname, '..', '..', 'dist', 'main.js');
jest.setTimeout(120_000);

interface Ended {
  readonly code: number | null;
  readonly result: Record<string, unknown>;
  readonly stderr: string;
}

/** Runs the command in a process of its own; `onProgress` hears what it says and may signal it. */
function drill(
  args: readonly string[],
  env: Record<string, string> = {},
  onProgress: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'drill', ...args], { env: { ...process.env, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onProgress(stderr, (signal) => child.kill(signal));
    });
    child.on('close', (code) => {
      const last = stdout.trim().split('\n').at(-1) ?? '';
      resolve({ code, result: last === '' ? {} : (JSON.parse(last) as Ended['result']), stderr });
    });
  });
}

function brokenLimits({ result }: Ended): string[] {
  return (result['limits'] as { name: string; ok: boolean }[])
    .filter(({ ok }) => !ok)
    .map(({ name }) => name);
}

let dir: string;
beforeAll(() => {
  dir = temporaryFolder('drill');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('kills the owner of most shards of a stack of its own, and finds nothing lost', async () => {
  const report = join(dir, 'report.html');
  const sizes = ['--sessions', '100', '--rate', '40', '--seconds', '8'];
  // The time is measured by hand on an idle machine; here others may want the same cores.
  const ended = await drill([
    ...['run', 'kill-owner', ...sizes, '--json', '--report', report],
    ...['--max-takeover-ms', '8000'],
  ]);
  expect(ended).toMatchObject({ code: 0, result: { drill: 'kill-owner', verdict: 'pass', lost: 0 } });
  expect(ended.result).toMatchObject({
    duplicated: 0,
    inversions: 0,
    afterConfirm: 0,
    overAttempts: 0,
    takeoverMs: expect.any(Number),
    latenessP99Ms: expect.any(Number),
    latenessMaxMs: expect.any(Number),
  });
  expect(ended.result['published']).toBeGreaterThan(250);
  expect(readFileSync(report, 'utf8')).toContain('class="gap"');
});

describe('against a running system', () => {
  let stack: Stack;
  let env: Record<string, string>;
  const calls = () => readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n');

  beforeAll(async () => {
    stack = await startStack({
      dir: join(dir, 'stack'),
      shards: 8,
      counts: { 'session-actor': 2, 'sample-receiver': 0 },
      logLevel: 'warn',
    });
    await setOptions([
      ['settings', 'flex-push-on-join', 'true'],
      ['settings', 'flex-push-resend-delay', '1'],
      ['push', 'pushEnabled', 'customhttp'],
    ]);
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'kubectl'), standInKubectl(stack.dir, join(dir, 'calls')));
    chmodSync(join(bin, 'kubectl'), 0o755);
    env = { PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`, FLEXPUSH_NATS_URL: stack.nats.url };
  });
  afterAll(() => stack?.stop());

  async function setOptions(
    options: readonly [section: string, name: string, value: string][],
  ): Promise<void> {
    const bus = await connectBus({ url: stack.nats.url, name: 'drill-spec' });
    const store = await openOptionStore(bus);
    for (const [section, name, value] of options) await store.set(section, name, value);
    store.close();
    await bus.close();
  }

  async function optionKeys(): Promise<string[]> {
    const bus = await connectBus({ url: stack.nats.url, name: 'drill-spec' });
    const store = await openOptionStore(bus);
    const keys = Object.keys(store.values()).sort();
    store.close();
    await bus.close();
    return keys;
  }

  const onTarget = () => ['--target', stack.chatApiUrl ?? '', '--sessions', '20', '--rate', '20', '--json'];

  it('deletes the pod through kubectl, exits with 1 for a broken limit, and leaves no option behind', async () => {
    const before = await optionKeys();
    const pidsBefore = stack.servicesOf('session-actor').map(({ pid }) => pid);
    const ended = await drill(
      [
        ...['run', 'kill-owner', ...onTarget(), '--seconds', '6', '--kube', '--namespace', 'chat'],
        ...['--max-takeover-ms', '0'],
      ],
      env,
    );
    expect({ code: ended.code, broken: brokenLimits(ended), lost: ended.result['lost'] }).toEqual({
      code: 1,
      broken: ['takeoverMs'],
      lost: 0,
    });
    expect(calls()).toEqual([
      '--namespace chat get pods -l app.kubernetes.io/name=session-actor -o json',
      expect.stringMatching(
        /^--namespace chat delete pod session-actor-[12] --grace-period=0 --force --wait=false$/,
      ),
    ]);
    const pidsAfter = stack.servicesOf('session-actor').map(({ currentPid }) => currentPid);
    expect(pidsAfter.filter((pid, n) => pid !== pidsBefore[n])).toHaveLength(1);
    expect(await optionKeys()).toEqual(before);
  });

  it('ends on Ctrl-C with code 130, and leaves no option behind', async () => {
    const before = await optionKeys();
    let seen: Promise<string[]> | undefined;
    const ended = await drill(
      ['run', 'receiver-down', ...onTarget(), '--seconds', '60'],
      env,
      (text, kill) => {
        if (seen !== undefined || !text.includes('events/s')) return;
        seen = optionKeys();
        void seen.then(() => kill('SIGINT'));
      },
    );
    expect(ended.code).toBe(130);
    expect((await seen)?.filter((key) => key.startsWith('push.provider.drill-'))).toHaveLength(2);
    expect(await optionKeys()).toEqual(before);
  });

  it('refuses a failover of Redis where no replica could take over', async () => {
    const target = ['--target', join(dir, 'stack', 'run.json'), '--sessions', '20', '--rate', '20'];
    const ended = await drill(['run', 'redis-failover', ...target, '--seconds', '4'], env);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('no Redis master that could be told from its replicas');
  });

  it.each([
    { name: 'an unknown drill', args: ['run', 'no-such'], says: 'there is no drill "no-such"' },
    {
      name: 'a drill that only a stack of its own survives',
      args: ['run', 'redis-wipe', '--target', 'http://127.0.0.1:1'],
      says: 'runs against a stack of its own only',
    },
    {
      name: 'a folder where nothing runs',
      args: ['run', 'kill-owner', '--target', '/nowhere/run.json'],
      says: 'nothing runs in /nowhere',
    },
    {
      name: 'servers that the drill cannot use',
      args: ['run', 'partition', '--nats-servers', '3'],
      says: 'it needs a stack with one of each',
    },
    {
      name: 'one server where it takes another to go on',
      args: ['run', 'redis-failover', '--redis', 'single'],
      says: 'redis-failover needs --redis sentinel or cluster',
    },
    {
      name: 'servers for a system that runs already',
      args: ['run', 'kill-owner', '--target', '/nowhere/run.json', '--redis', 'sentinel'],
      says: 'are for a stack of its own; leave --target out',
    },
  ])('refuses $name', async ({ args, says }) => {
    const ended = await drill(args, env);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(says);
  });
});

/** A kubectl whose pods are the processes of a stack. */
function standInKubectl(stackDir: string, callsFile: string): string {
  return `#!${process.execPath}
const { appendFileSync, readFileSync } = require('node:fs');
const args = process.argv.slice(2);
appendFileSync(${JSON.stringify(callsFile)}, args.join(' ') + '\\n');
const { services } = JSON.parse(readFileSync(${JSON.stringify(join(stackDir, 'run.json'))}, 'utf8'));
if (args.includes('get')) {
  const kind = args[args.indexOf('-l') + 1].split('=')[1];
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
  const items = services.filter((s) => s.kind === kind).map((s) => ({ metadata: { name: s.name }, status }));
  process.stdout.write(JSON.stringify({ items }));
} else {
  const name = args[args.indexOf('pod') + 1];
  process.kill(services.find((s) => s.name === name).pid, args.includes('--force') ? 'SIGKILL' : 'SIGTERM');
}
`;
}
