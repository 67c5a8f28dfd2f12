import { describeExit, type ManagedProcess } from './managed-process';

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** A process that has lived this long gets a fresh back-off. */
const SETTLED_AFTER_MS = 10_000;

export type SupervisorEvent =
  | { readonly kind: 'died'; readonly name: string; readonly reason: string; readonly restartInMs: number }
  | { readonly kind: 'restarted'; readonly name: string; readonly pid: number }
  | {
      readonly kind: 'restart-failed';
      readonly name: string;
      readonly reason: string;
      readonly restartInMs: number;
    };

interface Watched {
  readonly process: ManagedProcess;
  readonly unsubscribe: () => void;
  backoffMs: number;
  startedAtMs: number;
  restarting: boolean;
}

/**
 * Starts processes again that end without having been asked to, after 100 ms, doubling to 5 s, for as long as
 * it takes. The same object is started, so name, port and environment stay.
 *
 * U1. One restart loop per process, however many exits are reported.
 * U2. After `stop()` nothing is started any more, and a start under way is waited for.
 */
export class Supervisor {
  private readonly watched: Watched[] = [];
  private readonly loops = new Set<Promise<void>>();
  private readonly pauses = new Set<() => void>();
  private stopped = false;

  constructor(private readonly onEvent: (event: SupervisorEvent) => void) {}

  watch(process: ManagedProcess): void {
    const entry: Watched = {
      process,
      unsubscribe: process.onExit((exit) => this.handleExit(entry, describeExit(exit))),
      backoffMs: BACKOFF_FIRST_MS,
      startedAtMs: performance.now(),
      restarting: false,
    };
    this.watched.push(entry);
    // It may have died between its start and this call.
    if (process.currentPid === undefined) this.handleExit(entry, 'an exit before supervision began');
  }

  /** Ends supervision. Resolves when no start is under way any more. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const entry of this.watched) entry.unsubscribe();
    for (const wake of this.pauses) wake();
    await Promise.all(this.loops);
  }

  private handleExit(entry: Watched, reason: string): void {
    if (this.stopped || entry.restarting) return;
    entry.restarting = true;
    if (performance.now() - entry.startedAtMs >= SETTLED_AFTER_MS) entry.backoffMs = BACKOFF_FIRST_MS;
    this.onEvent({ kind: 'died', name: entry.process.name, reason, restartInMs: entry.backoffMs });
    const loop = this.restart(entry).finally(() => {
      entry.restarting = false;
      this.loops.delete(loop);
    });
    this.loops.add(loop);
  }

  private async restart(entry: Watched): Promise<void> {
    const { process } = entry;
    for (;;) {
      await this.pause(entry.backoffMs);
      entry.backoffMs = Math.min(entry.backoffMs * 2, BACKOFF_MAX_MS);
      // Somebody, such as a test, may have started it by hand meanwhile.
      if (this.stopped || process.currentPid !== undefined) return;
      try {
        await process.start();
        entry.startedAtMs = performance.now();
        if (!this.stopped) this.onEvent({ kind: 'restarted', name: process.name, pid: process.pid });
        return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (this.stopped) return;
        this.onEvent({ kind: 'restart-failed', name: process.name, reason, restartInMs: entry.backoffMs });
      }
    }
  }

  private pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.pauses.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, durationMs);
      this.pauses.add(wake);
    });
  }
}
