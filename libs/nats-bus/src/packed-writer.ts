import { BOUNDS } from '@flexpush/contracts';
import type { NatsBus } from './bus';
import { storeMessage, type StoreResult } from './store-message';

export interface RecordText {
  readonly json: string;
  readonly bytes: number;
  /** Of a message that holds this record alone. */
  readonly messageId?: string;
}

/** Where a record is stored: the message's sequence, and its place in the message. */
export type WriteResult =
  { kind: 'stored'; seq: number; index: number; duplicate: boolean } | { kind: 'refused'; reason: string };

interface Waiting extends RecordText {
  readonly done: (result: WriteResult) => void;
}

interface Lane {
  readonly subject: string;
  readonly waiting: Waiting[];
  /** In the line, or on its way: it has its turn already. */
  hasTurn: boolean;
}

/** More messages than this at once wait for each other on the server anyway, and each costs as much as many records. */
const OUTSTANDING_MAX = 4;
/** As long as this a message counts as outstanding: one that is lost must not hold up the other shards. */
const SLOW_MS = 100;
const WAITING_RECORDS_MAX = 20_000;
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
const PUBLISH_TIMEOUT_MS = 5_000;

/**
 * Writes records to the shards' logs, as many in a message as wait for it.
 *
 * P1. Per shard one message is outstanding, so records are stored in the order of the calls.
 * P2. Of all shards OUTSTANDING_MAX messages are outstanding, not counting those that take longer than SLOW_MS; the shards
 *     with waiting records take turns. What waits travels together; nothing lingers to be packed.
 * P3. At most WAITING_RECORDS_MAX records of WAITING_BYTES_MAX bytes wait or are on their way; more are refused as `busy`.
 */
export class PackedWriter {
  private readonly lanes = new Map<number, Lane>();
  private readonly line: Lane[] = [];
  private outstanding = 0;
  private count = 0;
  private bytes = 0;

  constructor(
    private readonly bus: NatsBus,
    private readonly to: { subjectOf: (shard: number) => string; messageBytesMax: number },
  ) {}

  /** After the reason `timeout` it may have been stored all the same. */
  write(shard: number, record: RecordText): Promise<WriteResult> {
    if (this.count >= WAITING_RECORDS_MAX || this.bytes + record.bytes > WAITING_BYTES_MAX)
      return Promise.resolve({ kind: 'refused', reason: 'busy' });
    let lane = this.lanes.get(shard);
    if (!lane)
      this.lanes.set(shard, (lane = { subject: this.to.subjectOf(shard), waiting: [], hasTurn: false }));
    const { waiting } = lane;
    this.count++;
    this.bytes += record.bytes;
    const result = new Promise<WriteResult>((done) => waiting.push({ done, ...record }));
    if (!lane.hasTurn) this.lineUp(lane);
    return result;
  }

  /** Resolves when everything written so far is stored or refused. */
  async flush(): Promise<void> {
    while (this.count > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  private lineUp(lane: Lane): void {
    lane.hasTurn = true;
    this.line.push(lane);
    this.sendNext();
  }

  private sendNext(): void {
    if (this.outstanding >= OUTSTANDING_MAX) return;
    const lane = this.line.shift();
    if (lane) void this.send(lane);
  }

  private async send(lane: Lane): Promise<void> {
    const giveWay = this.takePlace();
    const pack = takePack(lane.waiting, this.to.messageBytesMax);
    const result = await this.store(lane.subject, pack);
    giveWay();
    this.count -= pack.length;
    for (const { bytes } of pack) this.bytes -= bytes;
    pack.forEach(({ done }, index) => done(result.kind === 'stored' ? { index, ...result } : result));
    lane.hasTurn = false;
    if (lane.waiting.length > 0) this.lineUp(lane);
    else this.sendNext();
  }

  /** Returns how to free the place; that happens by itself when the message is slow. */
  private takePlace(): () => void {
    this.outstanding++;
    const free = () => {
      this.outstanding--;
      timer = undefined;
    };
    let timer: NodeJS.Timeout | undefined = setTimeout(() => {
      free();
      this.sendNext();
    }, SLOW_MS);
    return () => {
      if (timer === undefined) return;
      clearTimeout(timer);
      free();
    };
  }

  /** A pack has no message id: one of its records may come again alone, or in another pack. */
  private store(subject: string, pack: readonly Waiting[]): Promise<StoreResult> {
    const [first] = pack;
    if (!first || pack.length > 1) {
      const payload = `[${pack.map(({ json }) => json).join(',')}]`;
      return storeMessage(this.bus, subject, payload, { timeoutMs: PUBLISH_TIMEOUT_MS });
    }
    const { json, messageId } = first;
    const ofOne = messageId === undefined ? {} : { messageId };
    return storeMessage(this.bus, subject, json, { timeoutMs: PUBLISH_TIMEOUT_MS, ...ofOne });
  }
}

/** A comma beside each record, and the two brackets. */
const PACK_SIGNS_BYTES = BOUNDS.recordsPerMessage + 1;

/** The first of the waiting records that fit into one message. */
function takePack(waiting: Waiting[], messageBytesMax: number): Waiting[] {
  let bytes = 0;
  let count = 0;
  while (count < waiting.length && count < BOUNDS.recordsPerMessage) {
    bytes += (waiting[count] as Waiting).bytes;
    if (count > 0 && bytes > messageBytesMax - PACK_SIGNS_BYTES) break;
    count++;
  }
  return waiting.splice(0, count);
}
