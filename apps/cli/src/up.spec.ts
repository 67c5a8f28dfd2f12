import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunFile } from '@flexpush/stack';

const root = join(__dirname, '..', '..', '..');
const SAME_PRESS_OVER_MS = 600;

let dir: string;
let launched: Launched | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'fp-up-'));
});
afterEach(async () => {
  await launched?.end();
  launched = undefined;
  rmSync(dir, { recursive: true, force: true });
});

/** `up` in a process of its own, with the real receiver and fakes for the other services. */
class Launched {
  stdout = '';
  stderr = '';
  private readonly wakers = new Set<() => void>();
  private readonly child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(options: object, env: Record<string, string> = {}) {
    const program = join(dir, 'launch.cjs');
    const sources = JSON.stringify({ up: join(__dirname, 'up.ts'), root, seeds: join(dir, 'seeds.json') });
    const count = { sessionActors: 1, gmsNodes: 1, resendTimers: 1, gmsRegistries: 1, chatApis: 1 };
    writeFileSync(
      program,
      `const { up, root, seeds } = ${sources};
       const entryOf = (kind) => kind === 'sample-receiver'
         ? root + '/apps/sample-receiver/src/main.ts' : root + '/libs/stack/fixtures/fake-service.mjs';
       const seedOptions = async (...args) => require('node:fs').writeFileSync(seeds, JSON.stringify(args));
       require(up).runUp(${JSON.stringify({ ...count, dir: join(dir, 'state'), ...options })}, { seedOptions, entryOf })
         .catch((error) => { console.error(error); process.exitCode = 1; });`,
    );
    const register = join(root, 'tools', 'register-sources.cjs');
    this.child = spawn(process.execPath, [program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: `--conditions=@flexpush/source --require=${register}`, ...env },
    });
    this.child.stdout?.on('data', (chunk) => this.note('stdout', String(chunk)));
    this.child.stderr?.on('data', (chunk) => this.note('stderr', String(chunk)));
    this.exited = once(this.child, 'close').then(([code]) => code as number | null);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Resolves when the pattern is in the output; rejects when the process ends before. */
  async until(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (!pattern.test(this[stream])) return;
        this.wakers.delete(look);
        resolve();
      };
      this.wakers.add(look);
      look();
    });
    const ended = this.exited.then(() => {
      if (!pattern.test(this[stream]))
        throw new Error(`ended without ${pattern}: ${this.stdout}${this.stderr}`);
    });
    await Promise.race([seen, ended]);
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    await this.exited;
  }

  private note(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const wake of this.wakers) wake();
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    // No such process any more.
    return false;
  }
}

function pidsOf(run: RunFile): number[] {
  return [...run.services, ...run.servers].map(({ pid }) => pid);
}

function readRun(): RunFile {
  return JSON.parse(readFileSync(join(dir, 'state', 'run.json'), 'utf8')) as RunFile;
}

describe('flexpush up', () => {
  it('prints what runs and how to start a chat, shows pushes, and stops all at Ctrl-C', async () => {
    launched = new Launched({ gmsNodes: 2 });
    await launched.until('stdout', /Ready/);
    const run = readRun();
    const receiver = run.services.find((service) => service.kind === 'sample-receiver');
    const chatApi = run.services.find((service) => service.kind === 'chat-api');
    for (const service of run.services) {
      expect(launched.stdout).toMatch(new RegExp(`${service.name} +${service.kind} +${service.pid} +http`));
    }
    expect(launched.stdout).toContain('npx flexpush options set settings flex-push-on-join true\ncurl -s ');
    expect(launched.stdout).toContain(`${chatApi?.urls['http']}/genesys/2/chat/support-web`);
    const seeds: unknown = JSON.parse(readFileSync(join(dir, 'seeds.json'), 'utf8'));
    expect(seeds).toEqual([run.nats.url, receiver?.urls['http'], null]);

    await fetch(receiver?.urls['http'] ?? '', {
      method: 'POST',
      body: '{"deviceId":"d-1","message":"hello"}',
    });
    await launched.until('stdout', /sample-receiver-1 \| .*device d-1 {2}text {5}"hello"/);

    launched.signal('SIGINT');
    expect(await launched.exited).toBe(0);
    expect(launched.stderr).toMatch(/stopping chat-api-1\n.*stopping nats\nstopping redis\nall stopped/s);
    expect(pidsOf(run).some(isRunning)).toBe(false);
  });

  it('prints one JSON object with --json, and progress elsewhere', async () => {
    launched = new Launched({ json: true });
    await launched.until('stdout', /\n/);
    const {
      curl,
      dir: folder,
      ...run
    } = JSON.parse(launched.stdout) as RunFile & { curl: string; dir: string };
    expect(run).toEqual(readRun());
    expect(folder).toBe(join(dir, 'state'));
    expect(curl).toContain('--data-urlencode');
    launched.signal('SIGTERM');
    expect(await launched.exited).toBe(0);
    expect(launched.stdout.trim().split('\n')).toHaveLength(1);
  });

  it('takes two signals at once for one, and a later second one for haste', async () => {
    launched = new Launched({}, { FAKE_IGNORE_TERM: '1' });
    await launched.until('stdout', /Ready/);
    const pids = pidsOf(readRun());
    launched.signal('SIGINT');
    launched.signal('SIGINT');
    await launched.until('stderr', /stopping chat-api-1/);
    expect(launched.stderr).not.toContain('killing everything');
    // The point of the test is that real time passes between two presses of Ctrl-C.
    await new Promise((resolve) => setTimeout(resolve, SAME_PRESS_OVER_MS));
    launched.signal('SIGINT');
    const startedAtMs = performance.now();
    expect(await launched.exited).toBe(0);
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
    expect(launched.stderr).toContain('killing everything');
    expect(pids.some(isRunning)).toBe(false);
  });

  it('stops in order when the signal comes during the start', async () => {
    launched = new Launched({}, { FAKE_NEVER_READY: '1' });
    await launched.until('stderr', /starting chat-api-1/);
    launched.signal('SIGINT');
    expect(await launched.exited).toBe(0);
    expect(launched.stderr).toContain('all stopped');
  });
});
