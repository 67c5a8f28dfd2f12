import { BOUNDS, subjects, type LogRecord } from '@flexpush/contracts';
import type { NatsBus } from './bus';
import { PackedWriter, type WriteResult } from './packed-writer';

export type AppendResult =
  { kind: 'appended'; seq: number } | { kind: 'refused'; reason: string; retryable: boolean };

/**
 * Appends internal records to the shards' logs, in the order of the calls, packed and bounded as `PackedWriter` says.
 *
 * A1. A message has no Nats-Msg-Id: appending the same record again stores it again, and the fold knows it by its record
 *     id.
 */
export class LogAppender {
  private readonly writer: PackedWriter;

  constructor(bus: NatsBus) {
    this.writer = new PackedWriter(bus, {
      subjectOf: subjects.logInternal,
      messageBytesMax: BOUNDS.messageBytes,
    });
  }

  /** Resolves when the log has stored the record, or says why not. A `timeout` may have been stored all the same. */
  append(shard: number, record: LogRecord): Promise<AppendResult> {
    const json = JSON.stringify(record);
    const bytes = Buffer.byteLength(json);
    return bytes > BOUNDS.recordBytes
      ? Promise.resolve({ kind: 'refused', reason: 'record-too-large', retryable: false })
      : this.writer.write(shard, { json, bytes }).then(appendResult);
  }

  /** Resolves when everything appended so far is stored or refused. */
  flush(): Promise<void> {
    return this.writer.flush();
  }
}

function appendResult(written: WriteResult): AppendResult {
  return written.kind === 'stored'
    ? { kind: 'appended', seq: written.seq }
    : { kind: 'refused', reason: written.reason, retryable: true };
}
