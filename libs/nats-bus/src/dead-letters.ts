import { SKIP_BUCKET, subjects } from '@flexpush/contracts';
import type { JetStreamManager, KV } from 'nats';
import type { NatsBus } from './bus';

/** A refused record. `record` must be redacted already. */
export interface DeadLetter {
  shard: number;
  seq: number;
  /** Which record of the log message. */
  index: number;
  atMs: number;
  reason: string;
  record: unknown;
}

/** Where refused records go, and the notes that make a replay skip them too (DESIGN section 4). */
export class DeadLetters {
  private constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(bus: NatsBus): Promise<DeadLetters> {
    const kv = await bus.connection.jetstream().views.kv(SKIP_BUCKET, { bindOnly: true });
    return new DeadLetters(bus, kv, await bus.connection.jetstreamManager({ checkAPI: false }));
  }

  /** Stores the letter; resolves when it is stored, so that the commit may pass the record. */
  async refuse(letter: DeadLetter): Promise<void> {
    await this.bus.connection
      .jetstream()
      .publish(subjects.deadLetter(letter.shard), JSON.stringify({ v: 1, ...letter }), {
        msgID: `dead-${placeOf(letter)}`,
        timeout: 5_000,
      });
  }

  /** Notes that a replay is to skip the record. */
  async noteSkip(place: Omit<DeadLetter, 'record'>): Promise<void> {
    await this.kv.put(placeOf(place), place.reason.slice(0, 200));
  }

  /** The notes of a shard, as `<sequence>.<index>.<time, epoch ms>`. */
  async skips(shard: number): Promise<Set<string>> {
    // Not `kv.keys`: it makes a consumer and removes it again, and every shard that is taken asks.
    const prefix = `$KV.${SKIP_BUCKET}.${shard}.`;
    const { state } = await this.jsm.streams.info(`KV_${SKIP_BUCKET}`, { subjects_filter: `${prefix}>` });
    return new Set(Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length)));
  }
}

/** With its time: in a log that was recreated or cut short, another record may come to stand at this place. */
function placeOf({ shard, seq, index, atMs }: Omit<DeadLetter, 'record' | 'reason'>): string {
  return `${shard}.${seq}.${index}.${atMs}`;
}
