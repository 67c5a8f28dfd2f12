import { BOUNDS, type LogRecord } from '@flexpush/contracts';
import type { Appender, LogMessage, LogReader, LogState, ShardLog } from '../ports';

interface Stored extends LogMessage {
  shard: number;
}

type AppendAnswer = Awaited<ReturnType<Appender['append']>>;

const encoder = new TextEncoder();

/** The log stream in memory: one sequence for all shards, times from the given clock. */
export class MemoryLog implements ShardLog, Appender {
  createdAt = '2026-11-23T00:00:00Z';
  ageMaxMs: number | undefined;
  private messages: Stored[] = [];
  private lastSeq = 0;
  private readonly readers = new Set<MemoryReader>();
  /** Set by a test: the next appends are answered with this and not stored. */
  refusal: AppendAnswer | undefined;
  /** Records that `append` was called with, stored or not. */
  readonly appended: { shard: number; record: LogRecord }[] = [];

  constructor(private readonly nowMs: () => number) {}

  /** As our own services: an internal record of the shard. */
  append(shard: number, record: LogRecord): Promise<AppendAnswer> {
    this.appended.push({ shard, record });
    const json = JSON.stringify(record);
    // The real appender refuses it too.
    if (encoder.encode(json).length > BOUNDS.recordBytes)
      return Promise.resolve({ kind: 'refused', reason: 'record-too-large', retryable: false });
    if (this.refusal) return Promise.resolve(this.refusal);
    return Promise.resolve({ kind: 'appended', seq: this.publish(shard, json) });
  }

  publish(
    shard: number,
    payload: string | Uint8Array,
    o: { isPublic?: boolean; atMs?: number } = {},
  ): number {
    const data = typeof payload === 'string' ? encoder.encode(payload) : payload;
    const message = {
      shard,
      seq: ++this.lastSeq,
      atMs: o.atMs ?? this.nowMs(),
      isPublic: o.isPublic ?? false,
      data,
    };
    this.messages.push(message);
    for (const reader of this.readers) reader.wake();
    return message.seq;
  }

  state(): Promise<LogState> {
    return Promise.resolve({
      createdAt: this.createdAt,
      firstSeq: this.messages[0]?.seq ?? this.lastSeq + 1,
      lastSeq: this.lastSeq,
      ageMaxMs: this.ageMaxMs,
    });
  }

  lastSeqOf(shard: number): Promise<number> {
    return Promise.resolve(this.messages.findLast((message) => message.shard === shard)?.seq ?? 0);
  }

  read(options: { shard: number; fromSeq: number }): Promise<LogReader> {
    const reader = new MemoryReader(options.fromSeq, (fromSeq, max) =>
      this.from(options.shard, fromSeq, max),
    );
    this.readers.add(reader);
    reader.onClose = () => this.readers.delete(reader);
    return Promise.resolve(reader);
  }

  get openReaders(): number {
    return this.readers.size;
  }

  /** A power cut took everything behind `lastSeq`. */
  truncate(lastSeq: number): void {
    this.messages = this.messages.filter(({ seq }) => seq <= lastSeq);
    this.lastSeq = lastSeq;
  }

  /** The stream was deleted and made anew, empty. */
  recreate(createdAt: string): void {
    this.createdAt = createdAt;
    this.messages = [];
    this.lastSeq = 0;
  }

  /** Age or size took everything before `firstSeq`. */
  expire(firstSeq: number): void {
    this.messages = this.messages.filter(({ seq }) => seq >= firstSeq);
  }

  /** Age took everything older than this. */
  expireBefore(atMs: number): void {
    this.messages = this.messages.filter((message) => message.atMs >= atMs);
  }

  private from(shard: number, fromSeq: number, max: number): LogMessage[] {
    const found: LogMessage[] = [];
    for (const { shard: its, ...message } of this.messages) {
      if (its === shard && message.seq >= fromSeq) found.push(message);
      if (found.length === max) break;
    }
    return found;
  }
}

class MemoryReader implements LogReader {
  private waiter: (() => void) | undefined;
  private closed = false;
  onClose: () => void = () => undefined;

  constructor(
    private nextSeq: number,
    private readonly from: (fromSeq: number, max: number) => LogMessage[],
  ) {}

  async next(max: number): Promise<LogMessage[]> {
    if (!this.closed && this.from(this.nextSeq, 1).length === 0)
      await new Promise<void>((resolve) => (this.waiter = resolve));
    if (this.closed) return [];
    const messages = this.from(this.nextSeq, max);
    const last = messages.at(-1);
    if (last) this.nextSeq = last.seq + 1;
    return messages;
  }

  /** A message has come. */
  wake(): void {
    if (this.from(this.nextSeq, 1).length > 0) this.nudge();
  }

  nudge(): void {
    this.waiter?.();
    this.waiter = undefined;
  }

  waiting(): number {
    return this.from(this.nextSeq, Number.MAX_SAFE_INTEGER).length;
  }

  close(): void {
    this.closed = true;
    this.onClose();
    this.nudge();
  }
}
