import type { CallReply, CallReplies } from '@flexpush/contracts';
import type { DeadLetter, DeadLetters, Log, Meter, MeterName, ReplyTransport } from '../ports';

/** Dead letters and skip notes in memory. */
export class MemoryLetters implements DeadLetters {
  readonly letters: DeadLetter[] = [];
  private readonly notes = new Map<number, Set<string>>();
  /** How many of the next refusals fail. */
  failures = 0;
  onRefuse: (letter: DeadLetter) => void = () => undefined;

  async refuse(letter: DeadLetter): Promise<void> {
    if (this.failures > 0) {
      this.failures--;
      throw new Error('the dead-letter stream does not answer');
    }
    this.letters.push(letter);
    this.onRefuse(letter);
  }

  async noteSkip({ shard, seq, index, atMs }: Parameters<DeadLetters['noteSkip']>[0]): Promise<void> {
    const notes = this.notes.get(shard) ?? new Set<string>();
    notes.add(`${seq}.${index}.${atMs}`);
    this.notes.set(shard, notes);
  }

  async skips(shard: number): Promise<Set<string>> {
    return new Set(this.notes.get(shard));
  }
}

/** Replies in the order in which they left. */
export class MemoryReplies implements ReplyTransport {
  readonly sent: (CallReply & { callerId: string })[] = [];
  onReply: () => void = () => undefined;

  readonly announced: { sessionId: string; payload: string }[] = [];

  announce(sessionId: string, payload: string): void {
    this.announced.push({ sessionId, payload });
  }

  reply(callerId: string, payload: string): void {
    for (const reply of (JSON.parse(payload) as CallReplies).replies) this.sent.push({ callerId, ...reply });
    this.onReply();
  }

  ids(): string[] {
    return this.sent.map(({ id }) => id);
  }
}

/** What was logged. */
export class MemoryLogger implements Log {
  readonly lines: { level: string; fact: string; fields: Record<string, unknown> }[] = [];
  debug = (fields: object, fact: string) => this.note('debug', fields, fact);
  info = (fields: object, fact: string) => this.note('info', fields, fact);
  warn = (fields: object, fact: string) => this.note('warn', fields, fact);
  error = (fields: object, fact: string) => this.note('error', fields, fact);

  of(fact: string): Record<string, unknown>[] {
    return this.lines.filter((line) => line.fact === fact).map(({ fields }) => fields);
  }

  private note(level: string, fields: object, fact: string): void {
    this.lines.push({ level, fact, fields: { ...fields } });
  }
}

/** What was counted. */
export class MemoryMeter implements Meter {
  readonly counts: Partial<Record<MeterName, number>> = {};

  count(name: MeterName, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by;
  }

  observe(): void {
    // Durations say nothing under a clock that stands still.
  }
}
