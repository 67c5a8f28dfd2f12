import { BOUNDS, type LogRecord } from '@flexpush/contracts';
import type { Appender, LogMessage, LogReader, LogState, ShardLog } from '../ports';

type AppendAnswer = Awaited<ReturnType<Appender['append']>>;

const encoder = new TextEncoder();

/** The log stream in memory: one sequence for all shards, times from the given clock. */
export class MemoryLog implements ShardLog, Appender {
  createdAt = '2026-11-23T00:00:00Z';
  ageMaxMs: number | undefined;
  /** By shard, in order. */
  private readonly shards = new Map<number, LogMessage[]>();
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
    const message: LogMessage = {
      seq: ++this.lastSeq,
      atMs: o.atMs ?? this.nowMs(),
      isPublic: o.isPublic ?? false,
      data,
    };
    this.of(shard).push(message);
    for (const reader of this.readers) if (reader.shard === shard) reader.wake();
    return message.seq;
  }

  state(): Promise<LogState> {
    return Promise.resolve({
      createdAt: this.createdAt,
      firstSeq: Math.min(
        this.lastSeq + 1,
        ...[...this.shards.values()].map(([first]) => first?.seq ?? Infinity),
      ),
      lastSeq: this.lastSeq,
      ageMaxMs: this.ageMaxMs,
    });
  }

  lastSeqOf(shard: number): Promise<number> {
    return Promise.resolve(this.of(shard).at(-1)?.seq ?? 0);
  }

  timeOf(seq: number): Promise<number | undefined> {
    for (const messages of this.shards.values()) {
      const found = messages.findLast((message) => message.seq <= seq);
      if (found?.seq === seq) return Promise.resolve(found.atMs);
    }
    return Promise.resolve(undefined);
  }

  read(options: { shard: number; fromSeq: number }): Promise<LogReader> {
    const { shard, fromSeq } = options;
    const reader = new MemoryReader(shard, fromSeq, (seq) => this.from(shard, seq));
    this.readers.add(reader);
    reader.onClose = () => this.readers.delete(reader);
    return Promise.resolve(reader);
  }

  get openReaders(): number {
    return this.readers.size;
  }

  lastSeqBefore(atMs: number): number {
    const seqs = [...this.shards.values()].flatMap((messages) =>
      messages.filter((message) => message.atMs < atMs).map(({ seq }) => seq),
    );
    return Math.max(0, ...seqs);
  }

  /** A power cut took everything behind `lastSeq`. */
  truncate(lastSeq: number): void {
    this.keep(({ seq }) => seq <= lastSeq);
    this.lastSeq = lastSeq;
  }

  /** The stream was deleted and made anew, empty. */
  recreate(createdAt: string): void {
    this.createdAt = createdAt;
    this.keep(() => false);
    this.lastSeq = 0;
  }

  /** Age or size took everything before `firstSeq`. */
  expire(firstSeq: number): void {
    this.keep(({ seq }) => seq >= firstSeq);
  }

  /** Age took everything older than this. */
  expireBefore(atMs: number): void {
    this.keep((message) => message.atMs >= atMs);
  }

  private keep(wants: (message: LogMessage) => boolean): void {
    for (const [shard, messages] of this.shards) this.shards.set(shard, messages.filter(wants));
  }

  private of(shard: number): LogMessage[] {
    let messages = this.shards.get(shard);
    if (!messages) this.shards.set(shard, (messages = []));
    return messages;
  }

  /** The messages of a shard, and where in them the first one is that is not before `fromSeq`. */
  private from(shard: number, fromSeq: number): { messages: readonly LogMessage[]; first: number } {
    const messages = this.of(shard);
    let first = messages.length;
    while (first > 0 && (messages[first - 1] as LogMessage).seq >= fromSeq) first--;
    return { messages, first };
  }
}

class MemoryReader implements LogReader {
  private waiter: (() => void) | undefined;
  private closed = false;
  onClose: () => void = () => undefined;

  constructor(
    readonly shard: number,
    private nextSeq: number,
    private readonly from: (fromSeq: number) => { messages: readonly LogMessage[]; first: number },
  ) {}

  async next(max: number): Promise<LogMessage[]> {
    if (!this.closed && this.waiting() === 0) await new Promise<void>((resolve) => (this.waiter = resolve));
    if (this.closed) return [];
    const { messages: all, first } = this.from(this.nextSeq);
    const messages = all.slice(first, first + max);
    const last = messages.at(-1);
    if (last) this.nextSeq = last.seq + 1;
    return messages;
  }

  /** A message has come. */
  wake(): void {
    if (this.waiting() > 0) this.nudge();
  }

  nudge(): void {
    this.waiter?.();
    this.waiter = undefined;
  }

  waiting(): number {
    const { messages, first } = this.from(this.nextSeq);
    return messages.length - first;
  }

  close(): void {
    this.closed = true;
    this.onClose();
    this.nudge();
  }
}
