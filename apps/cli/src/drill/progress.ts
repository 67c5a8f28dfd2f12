import { paint } from '../output';
import type { LoadFigures } from './load';
import type { Watcher } from './run-drill';

const PLAIN_LINE_EVERY_MS = 5_000;

/** What goes on, on standard error: one line that changes on a terminal, a line every few seconds elsewhere. */
export class Progress implements Watcher {
  private readonly isLive = process.stderr.isTTY === true;
  private line = '';
  private lastPlainMs = 0;

  phase(text: string): void {
    this.print(text);
    this.lastPlainMs = performance.now();
  }

  note(text: string): void {
    this.print(`  ${paint('yellow', text, process.stderr)}`);
  }

  figures(figures: LoadFigures, untold: number): void {
    const { published, pushes, unacknowledged } = figures;
    const failed = unacknowledged > 0 ? `, ${unacknowledged} not acknowledged` : '';
    const line = `  ${published} events, ${pushes} pushes, ${untold} still to be told${failed}`;
    if (this.isLive) {
      process.stderr.write(`\r\u001b[2K${line}`);
      this.line = line;
    } else if (performance.now() - this.lastPlainMs >= PLAIN_LINE_EVERY_MS) {
      this.lastPlainMs = performance.now();
      process.stderr.write(`${line}\n`);
    }
  }

  end(): void {
    if (this.line !== '') process.stderr.write('\n');
    this.line = '';
  }

  private print(text: string): void {
    if (this.line !== '') process.stderr.write('\r\u001b[2K');
    this.line = '';
    process.stderr.write(`${text}\n`);
  }
}
