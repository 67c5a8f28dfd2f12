import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** The programs in `processes`. */
export type BenchProgram =
  | 'receiver'
  | 'bare-sender'
  | 'bare-consumer'
  | 'bare-rest'
  | 'rest-load'
  | 'bullmq-resend'
  | 'bullmq-timers'
  | 'bullmq-reliable'
  | 'restate-service';

interface Answer {
  readonly n: number;
  readonly value?: unknown;
  readonly error?: string;
}

/**
 * A process of a bench beside this one, so that its CPU can be told from that of the rest. It is asked over the IPC
 * channel of `fork`, and ends with this process whatever happens.
 */
export class BenchProcess {
  private readonly open = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  private asked = 0;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    child.on('message', (message) => this.settle(message as Answer));
    child.on('exit', (code, signal) => {
      for (const { reject } of this.open.values()) reject(new Error(`${name} ended (${signal ?? code})`));
      this.open.clear();
    });
  }

  /** Resolves when the program is ready to be asked. */
  static async start(program: BenchProgram, settings: object, name: string = program): Promise<BenchProcess> {
    const child = fork(join(__dirname, 'processes', `${program}.js`), [JSON.stringify(settings)], {
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const started = new BenchProcess(name, child);
    await new Promise((resolve, reject) => started.open.set(0, { resolve, reject }));
    return started;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  ask<T>(ask: string, argument?: unknown): Promise<T> {
    const n = ++this.asked;
    return new Promise<T>((resolve, reject) => {
      if (!this.child.connected) {
        reject(new Error(`${this.name} has ended`));
        return;
      }
      this.open.set(n, { resolve: resolve as (value: unknown) => void, reject });
      this.child.send({ n, ask, argument });
    });
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.disconnect();
    await ended;
  }

  private settle({ n, value, error }: Answer): void {
    const waiting = this.open.get(n);
    this.open.delete(n);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(`${this.name}: ${error}`));
  }
}
