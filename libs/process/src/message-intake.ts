import { parseJson, type JsonReader } from '@flexpush/contracts';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from './clock';
import { LogBound } from './log-bound';
import type { Logger } from './logger';

const LINES_MAX = 5;
const WINDOW_MS = 10_000;

/**
 * Reads messages that came over NATS. What is not of the expected shape is counted (`flexpush_messages_malformed_total`)
 * and logged, a few lines in ten seconds; never its content, which may be anything.
 */
export class MessageIntake {
  private readonly malformed: Counter<'kind'>;
  private readonly lines = new LogBound({ linesMax: LINES_MAX, windowMs: WINDOW_MS });

  constructor(private readonly parts: { registry: Registry; clock: Clock; log: Logger }) {
    this.malformed = new Counter({
      name: 'flexpush_messages_malformed_total',
      help: 'Messages over NATS that could not be read and were ignored',
      labelNames: ['kind'],
      registers: [parts.registry],
    });
  }

  /** undefined: it cannot be read. `kind` is what it should have been. */
  read<T>(kind: string, shape: JsonReader<T>, text: string): T | undefined {
    const parsed = shape.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    this.malformed.inc({ kind });
    const line = this.lines.pass(this.parts.clock.monotonicMs());
    const where = parsed.error.issues[0]?.path.join('.').slice(0, 80);
    if (line) this.parts.log.warn({ kind, where, ...line }, 'message.malformed');
    return undefined;
  }
}
