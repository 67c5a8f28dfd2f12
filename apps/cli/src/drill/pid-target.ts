import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { dirname } from 'node:path';
import { readRun, redisMasters, type RunFile } from '@flexpush/stack';
import type { Target, Victim, VictimKind } from './target';

const BACK_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

interface RunningProcess {
  readonly name: string;
  readonly kind: VictimKind;
  readonly pid: number;
}

/** What `flexpush up` runs on this machine. It is hurt by the pids of its run.json, and `up` starts again what died. */
export class PidTarget implements Target {
  readonly description: string;

  constructor(private readonly dir: string) {
    this.description = `what runs in ${dir}`;
    // Fails now rather than in the middle.
    void this.run;
  }

  get natsUrl(): string {
    return this.run.nats.url;
  }

  get chatApiUrls(): readonly string[] {
    return this.run.services
      .filter(({ kind }) => kind === 'chat-api')
      .flatMap(({ urls }) => urls['http'] ?? []);
  }

  victims(kind: VictimKind): Promise<readonly Victim[]> {
    return Promise.resolve(
      processesOf(this.run, kind)
        .filter(isItself)
        .map((process) => this.victim(process)),
    );
  }

  async redisMasters(): Promise<readonly Victim[]> {
    const { servers } = this.run;
    const ports = await redisMasters(servers);
    const data = servers.filter(({ kind }) => kind === 'redis');
    const masters = data.filter(({ port }) => ports.includes(port));
    // Without a replica nothing fails over, and a drill of that would pass for nothing.
    if (masters.length === data.length) return [];
    return masters.map(({ name, pid }) => this.victim({ name, pid, kind: 'redis' }));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private get run(): RunFile {
    const run = readRun(this.dir);
    if (!run) throw new Error(`nothing runs in ${this.dir}; start it with "flexpush up"`);
    return run;
  }

  private victim(running: RunningProcess): Victim {
    const { name, pid, kind } = running;
    return {
      name,
      nodeId: name,
      kill: () => Promise.resolve(void process.kill(pid, 'SIGKILL')),
      drain: async () => {
        process.kill(pid, 'SIGTERM');
        await until(() => !isItself(running), `${name} has ended`);
      },
      restart: async () => {
        process.kill(pid, 'SIGTERM');
        const isBack = () =>
          processesOf(this.run, kind).some((one) => one.name === name && one.pid !== pid && one.pid !== 0);
        await until(isBack, `${name} runs again`);
      },
      freeze: async (durationMs) => {
        process.kill(pid, 'SIGSTOP');
        await sleep(durationMs).finally(() => isItself(running) && process.kill(pid, 'SIGCONT'));
      },
    };
  }
}

/** The folder of a run.json, or of its folder. */
export function runFolderOf(path: string): string {
  return path.endsWith('.json') ? dirname(path) : path;
}

function processesOf(run: RunFile, kind: VictimKind): RunningProcess[] {
  return [...run.services, ...run.servers]
    .filter((one) => one.kind === kind)
    .map(({ name, pid }) => ({ name, kind, pid }));
}

/** A run.json may be older than its processes, and a pid may have been given to a stranger. */
function isItself({ pid, kind }: RunningProcess): boolean {
  if (pid < 2) return false;
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return command.includes(kind === 'nats' || kind === 'redis' ? `${kind}-server` : `/${kind}/`);
  } catch {
    // Gone, or a system without /proc: not ours to hurt.
    return false;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + BACK_TIMEOUT_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${BACK_TIMEOUT_MS / 1_000} s: ${what}`);
    await sleep(POLL_MS);
  }
}
