import { BOUNDS, subjects, type LogRecord } from '@flexpush/contracts';
import type { NatsBus } from './bus';
import { storeMessage } from './store-message';

export type AppendResult =
  { kind: 'appended'; seq: number } | { kind: 'refused'; reason: string; retryable: boolean };

interface Waiting {
  json: string;
  bytes: number;
  done: (result: AppendResult) => void;
}

/** What waits for one shard, while a message is on its way to the log. */
interface Lane {
  waiting: Waiting[];
  publishing: boolean;
}

const WAITING_RECORDS_MAX = 20_000;
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
/** A comma beside each record, and the two brackets. */
const PACK_SIGNS_BYTES = BOUNDS.recordsPerMessage + 1;
const PUBLISH_TIMEOUT_MS = 5_000;

/**
 * Appends internal records to the shards' logs.
 *
 * A1. Per shard one message is outstanding at a time, so records are stored in the order of the calls.
 * A2. What waits meanwhile travels together in the next message; nothing lingers to be packed.
 * A3. At most WAITING_RECORDS_MAX records of WAITING_BYTES_MAX bytes wait; more are refused as `busy`.
 * A4. A message has no Nats-Msg-Id: appending the same record again stores it again, and the fold knows it by its record
 *     id.
 */
export class LogAppender {
  private readonly lanes = new Map<number, Lane>();
  private waitingCount = 0;
  private waitingBytes = 0;

  constructor(private readonly bus: NatsBus) {}

  /** Resolves when the log has stored the record, or says why not. A `timeout` may have been stored all the same. */
  append(shard: number, record: LogRecord): Promise<AppendResult> {
    const json = JSON.stringify(record);
    const bytes = Buffer.byteLength(json);
    if (bytes > BOUNDS.recordBytes)
      return Promise.resolve({ kind: 'refused', reason: 'record-too-large', retryable: false });
    if (this.waitingCount >= WAITING_RECORDS_MAX || this.waitingBytes + bytes > WAITING_BYTES_MAX)
      return Promise.resolve({ kind: 'refused', reason: 'busy', retryable: true });
    let lane = this.lanes.get(shard);
    if (!lane) this.lanes.set(shard, (lane = { waiting: [], publishing: false }));
    const { waiting, publishing } = lane;
    this.waitingCount++;
    this.waitingBytes += bytes;
    return new Promise((done) => {
      waiting.push({ json, bytes, done });
      if (!publishing) void this.publishLane(shard, lane);
    });
  }

  /** Resolves when everything appended so far is stored or refused. */
  async flush(): Promise<void> {
    while (this.waitingCount > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  private async publishLane(shard: number, lane: Lane): Promise<void> {
    lane.publishing = true;
    while (lane.waiting.length > 0) {
      const pack = takePack(lane.waiting);
      const result = await this.publish(shard, pack);
      this.waitingCount -= pack.length;
      for (const { bytes } of pack) this.waitingBytes -= bytes;
      for (const { done } of pack) done(result);
    }
    lane.publishing = false;
  }

  private async publish(shard: number, pack: Waiting[]): Promise<AppendResult> {
    const payload =
      pack.length === 1 ? (pack[0] as Waiting).json : `[${pack.map(({ json }) => json).join(',')}]`;
    const result = await storeMessage(this.bus, subjects.logInternal(shard), payload, {
      timeoutMs: PUBLISH_TIMEOUT_MS,
    });
    return result.kind === 'stored' ? { kind: 'appended', seq: result.seq } : { ...result, retryable: true };
  }
}

/** The first of the waiting records that fit into one message. */
function takePack(waiting: Waiting[]): Waiting[] {
  let bytes = 0;
  let count = 0;
  while (count < waiting.length && count < BOUNDS.recordsPerMessage) {
    bytes += (waiting[count] as Waiting).bytes;
    if (count > 0 && bytes > BOUNDS.messageBytes - PACK_SIGNS_BYTES) break;
    count++;
  }
  return waiting.splice(0, count);
}
