import { SKIP_BUCKET, subjects } from '@flexpush/contracts';
import type { KV } from 'nats';
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
  constructor(
    private readonly bus: NatsBus,
    private readonly kv: KV,
  ) {}

  static async open(bus: NatsBus): Promise<DeadLetters> {
    return new DeadLetters(bus, await bus.connection.jetstream().views.kv(SKIP_BUCKET, { bindOnly: true }));
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
    const noted = new Set<string>();
    const prefix = `${shard}.`;
    for await (const key of await this.kv.keys(`${prefix}>`)) noted.add(key.slice(prefix.length));
    return noted;
  }
}

/** With its time: in a log that was recreated or cut short, another record may come to stand at this place. */
function placeOf({ shard, seq, index, atMs }: Omit<DeadLetter, 'record' | 'reason'>): string {
  return `${shard}.${seq}.${index}.${atMs}`;
}
