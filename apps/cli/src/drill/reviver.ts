import type { ManagedProcess } from '@flexpush/stack';

/**
 * Starts again what died, after a pause as a scheduler of containers would need; so a drill measures what the others do
 * meanwhile. It also tells of deaths that no drill asked for.
 */
export class Reviver {
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly starts = new Set<Promise<void>>();
  private readonly expected = new Set<string>();
  private readonly unsubscribe: (() => void)[] = [];
  private stopped = false;

  constructor(
    private readonly pauseMs: number,
    private readonly onEvent: (text: string) => void,
  ) {}

  watch(process: ManagedProcess): void {
    this.unsubscribe.push(
      process.onExit(({ code, signal }) => {
        if (!this.expected.delete(process.name))
          this.onEvent(`${process.name} died by itself (${signal ?? `exit code ${code}`})`);
        this.startLater(process);
      }),
    );
  }

  /** The next death of this process is the drill's doing. */
  expect(name: string): void {
    this.expected.add(name);
  }

  /** Starts a process after the pause, unless it runs by then. */
  startLater(process: ManagedProcess, pauseMs = this.pauseMs): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      const start = this.start(process).finally(() => this.starts.delete(start));
      this.starts.add(start);
    }, pauseMs);
    this.timers.add(timer);
  }

  /** Nothing is started any more; resolves when no start is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const unsubscribe of this.unsubscribe) unsubscribe();
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all(this.starts);
  }

  private async start(process: ManagedProcess): Promise<void> {
    if (this.stopped || process.currentPid !== undefined) return;
    try {
      await process.start();
      this.onEvent(`${process.name} runs again`);
    } catch (error) {
      if (this.stopped) return;
      this.onEvent(
        `${process.name} does not start: ${error instanceof Error ? error.message : String(error)}`,
      );
      this.startLater(process);
    }
  }
}
