import { BOUNDS, publicRecordSchema, shardOf, subjects, type PublicRecord } from '@flexpush/contracts';
import { randomUUID } from 'node:crypto';
import { connectBus, type NatsBus } from './bus';
import { refusal } from './log-appender';
import { waitForShardCount } from './streams';

type WithoutEnvelope<T> = T extends unknown
  ? Omit<T, 'v' | 'id' | 'sessionId'> & { sessionId: string; id?: string }
  : never;
/** A chat event to publish; without an id it gets a random one. */
export type ChatEventInput = WithoutEnvelope<PublicRecord>;

export type PublishResult =
  | { kind: 'stored'; id: string; seq: number; duplicate: boolean }
  | { kind: 'invalid'; problems: string[] }
  | { kind: 'refused'; id: string; reason: string };

/** Publishes chat events: checks them, hashes to the shard itself (no mapping needed), and waits for the log's acknowledgement. */
export class EventPublisher {
  private constructor(
    private readonly bus: NatsBus,
    private readonly shardCount: number,
  ) {}

  static async connect(options: { url: string; name?: string }): Promise<EventPublisher> {
    const bus = await connectBus({ url: options.url, name: options.name ?? 'flexpush-publisher' });
    return new EventPublisher(bus, await waitForShardCount(bus));
  }

  /** A repeat with the same id has no second effect, however late. `refused` may be tried again with the same id. */
  async publish(event: ChatEventInput): Promise<PublishResult> {
    const id = event.id ?? randomUUID();
    const parsed = publicRecordSchema.safeParse({ v: 1, ...event, id });
    if (!parsed.success)
      return {
        kind: 'invalid',
        problems: parsed.error.issues.map((issue) => `${issue.path.join('.') || 'event'}: ${issue.message}`),
      };
    const payload = JSON.stringify(parsed.data);
    if (Buffer.byteLength(payload) > BOUNDS.recordBytes)
      return { kind: 'invalid', problems: [`event: larger than ${BOUNDS.recordBytes} bytes`] };
    const subject = subjects.logPublic(shardOf(event.sessionId, this.shardCount));
    try {
      const ack = await this.bus.connection
        .jetstream()
        .publish(subject, payload, { msgID: id, timeout: 5_000 });
      return { kind: 'stored', id, seq: ack.seq, duplicate: ack.duplicate };
    } catch (error) {
      return { kind: 'refused', id, reason: refusal(error) };
    }
  }

  async close(): Promise<void> {
    await this.bus.close();
  }
}
