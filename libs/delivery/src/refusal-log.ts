import type { DeliveryLogger } from './failure-log';
import { NODE_BOUNDS } from './node-bounds';

/** Log lines about refused input, by fact, each at most once per interval and with a count: a broken sender does not stop. */
export class RefusalLog {
  private readonly lines = new Map<string, { nextAtMs: number; held: number }>();

  constructor(private readonly log: Pick<DeliveryLogger, 'warn'>) {}

  /** `fact` comes from a fixed set, so the lines are few. */
  note(fact: string, fields: object, nowMs: number): void {
    const line = this.lines.get(fact) ?? { nextAtMs: nowMs, held: 0 };
    this.lines.set(fact, line);
    line.held += 1;
    if (nowMs < line.nextAtMs) return;
    this.log.warn({ ...fields, count: line.held }, fact);
    line.held = 0;
    line.nextAtMs = nowMs + NODE_BOUNDS.refusalLogIntervalMs;
  }
}
