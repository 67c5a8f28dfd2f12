import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Environment } from './config';
import { StackError } from './errors';
import { endLeftover, signalQuietly } from './leftover';
import { openLog, tailOf } from './log-file';
import { pollUntil } from './probe';

export interface ProcessSpec {
  readonly name: string;
  readonly kind: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the child. */
  readonly env: Environment;
  /** Own working directory; it also marks the process as ours when a killed launcher left it behind. */
  readonly cwd: string;
  /** A piece of the command line that no stranger in the same directory has. */
  readonly commandPart: string;
  readonly logFile: string;
  readonly pidFile: string;
  /** Whether the child with this pid serves now. Called until it says yes. */
  readonly probe: (pid: number) => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopGraceMs: number;
  /** Keep a pipe to its stdin open, whose end tells the child that its launcher has died. */
  readonly holdStdin: boolean;
  /** Gets each line of its standard output, which goes to the log as well. */
  readonly onLine?: ((line: string) => void) | undefined;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type ExitListener = (exit: ProcessExit) => void;

interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
}

/** Processes to end when this one exits without having stopped them, for example by an uncaught error. */
const living = new Set<number>();
let exitHookSet = false;

/**
 * One server or service as a child process that can be started, stopped, killed and started again.
 *
 * P1. There is at most one child at a time.
 * P2. The pid file stands while the child may be alive.
 * P3. `onExit` listeners hear only of exits that nobody asked for by `stop()`; a `kill()` counts as a crash.
 */
export class ManagedProcess {
  private running: Running | undefined;
  private stopping = false;
  private readonly exitListeners = new Set<ExitListener>();

  constructor(protected readonly spec: ProcessSpec) {}

  get name(): string {
    return this.spec.name;
  }

  get kind(): string {
    return this.spec.kind;
  }

  get logFile(): string {
    return this.spec.logFile;
  }

  get stopGraceMs(): number {
    return this.spec.stopGraceMs;
  }

  /** Undefined while it does not run. */
  get currentPid(): number | undefined {
    return this.running?.pid;
  }

  /** Throws while it does not run. */
  get pid(): number {
    if (this.running === undefined) throw new Error(`${this.name} does not run`);
    return this.running.pid;
  }

  /** Calls back at each exit that nobody asked for. Returns a function that ends this. */
  onExit(listener: ExitListener): () => void {
    this.exitListeners.add(listener);
    return () => this.exitListeners.delete(listener);
  }

  /**
   * Starts it and resolves when it serves. Throws `process-exited` or `not-ready` with the last lines of its log;
   * nothing is left running then.
   */
  async start(): Promise<void> {
    if (this.running !== undefined) throw new Error(`${this.name} runs already`);
    this.stopping = false;
    await endLeftover(this.spec);
    // A stop that came meanwhile found nothing to end, so nothing may begin after it.
    if (this.isStopping())
      throw new StackError('process-exited', `${this.name} was stopped before it started`, true);
    await this.untilReady(this.spawnChild());
  }

  /** Asks it to end and makes it after the grace. Resolves when it is gone; harmless when it does not run. */
  async stop(graceMs: number = this.spec.stopGraceMs): Promise<void> {
    this.stopping = true;
    const running = this.running;
    if (running === undefined) return;
    signalQuietly(running.pid, 'SIGTERM');
    // A paused process does not see SIGTERM before it is continued.
    signalQuietly(running.pid, 'SIGCONT');
    const timer = setTimeout(() => killGroup(running.pid), graceMs);
    await running.exited;
    clearTimeout(timer);
  }

  /** Sends a signal. SIGKILL resolves when the process is gone, others at once. It counts as a crash (P3). */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = this.running;
    if (running === undefined) return;
    signalQuietly(running.pid, signal);
    if (signal === 'SIGKILL') await running.exited;
  }

  /** Resolves at the exit of the present child, at once when there is none. */
  async untilExit(): Promise<ProcessExit | undefined> {
    return this.running?.exited;
  }

  private isStopping(): boolean {
    return this.stopping;
  }

  private spawnChild(): Running {
    const { spec } = this;
    mkdirSync(spec.cwd, { recursive: true });
    mkdirSync(dirname(spec.pidFile), { recursive: true });
    const log = openLog(spec.logFile);
    // Its own process group, so that Ctrl-C in a terminal reaches only the launcher, which stops all in order.
    const child = spawn(spec.command, [...spec.args], {
      cwd: spec.cwd,
      env: { ...spec.env },
      detached: true,
      stdio: [spec.holdStdin ? 'pipe' : 'ignore', spec.onLine === undefined ? log : 'pipe', log],
    });
    // A dead child breaks the pipe; its exit is reported by itself.
    child.stdin?.on('error', () => undefined);
    const exited = this.whenExited(child, log);
    if (child.pid === undefined) {
      // The spawn failed; the exit promise carries the reason.
      return { child, pid: -1, exited };
    }
    const running = { child, pid: child.pid, exited };
    this.running = running;
    writeFileSync(spec.pidFile, `${child.pid}\n`);
    rememberLiving(child.pid);
    if (child.stdout !== null && spec.onLine !== undefined) this.forwardLines(child, log, spec.onLine);
    return running;
  }

  private forwardLines(child: ChildProcess, log: number, onLine: (line: string) => void): void {
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      writeSync(log, `${line}\n`);
      onLine(line);
    });
  }

  private whenExited(child: ChildProcess, log: number): Promise<ProcessExit> {
    return new Promise((resolve) => {
      const finish = (exit: ProcessExit) => {
        closeSync(log);
        if (child.pid !== undefined) living.delete(child.pid);
        if (this.running?.child === child) this.running = undefined;
        rmSync(this.spec.pidFile, { force: true });
        resolve(exit);
        if (!this.stopping) for (const listener of this.exitListeners) listener(exit);
      };
      // 'close' comes after the last output, so that no line is written to a closed log.
      child.once('close', (code, signal) => finish({ code, signal }));
      child.once('error', (error) => {
        if (child.pid !== undefined) return;
        writeSync(log, `cannot start: ${error.message}\n`);
        if (child.listenerCount('close') > 0) child.removeAllListeners('close');
        finish({ code: null, signal: null });
      });
    });
  }

  private async untilReady(running: Running): Promise<void> {
    const gone = new AbortController();
    const exited = running.exited.then((exit) => {
      gone.abort();
      return exit;
    });
    const ready = pollUntil(() => this.spec.probe(running.pid), {
      timeoutMs: this.spec.readyTimeoutMs,
      signal: gone.signal,
    });
    const outcome = await Promise.race([ready, exited]);
    // The answer may have come just before the end.
    if (outcome === true && this.running === running) return;
    if (outcome === false && this.running === running) {
      killGroup(running.pid);
      // Its end was asked for here, so nobody is told of a crash.
      this.stopping = true;
      await running.exited;
      throw new StackError(
        'not-ready',
        `${this.name} was not ready within ${this.spec.readyTimeoutMs / 1000} s${this.lastLines()}`,
        true,
      );
    }
    const exit = await running.exited;
    throw new StackError(
      'process-exited',
      `${this.name} ended with ${describeExit(exit)}${this.lastLines()}`,
      true,
    );
  }

  private lastLines(): string {
    const lines = tailOf(this.spec.logFile);
    return lines === ''
      ? ` (empty log ${this.spec.logFile})`
      : `; last lines of ${this.spec.logFile}:\n${lines}`;
  }
}

export function describeExit(exit: ProcessExit): string {
  return exit.signal === null ? `exit code ${exit.code ?? 'unknown'}` : `signal ${exit.signal}`;
}

/** Kills a child and whatever it has started, which is all in the child's own group. */
function killGroup(pid: number): void {
  signalQuietly(-pid, 'SIGKILL');
}

function rememberLiving(pid: number): void {
  living.add(pid);
  if (exitHookSet) return;
  exitHookSet = true;
  process.once('exit', () => {
    for (const child of living) signalQuietly(child, 'SIGTERM');
  });
}
