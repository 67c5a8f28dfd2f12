import { BOUNDS, publicRecordSchema, shardOf, subjects, type PublicRecord } from '@flexpush/contracts';
import { randomUUID } from 'node:crypto';
import { connectBus, type NatsBus } from './bus';
import { PackedWriter } from './packed-writer';
import { waitForShardCount } from './streams';
import { NotThereError } from './waiting';

type WithoutEnvelope<T> = T extends unknown
  ? Omit<T, 'v' | 'id' | 'sessionId'> & { sessionId: string; id?: string }
  : never;
/** A chat event to publish; without an id it gets a random one. */
export type ChatEventInput = WithoutEnvelope<PublicRecord>;

/**
 * `seq` is the sequence of the message in the log and `index` the event's place in it, as dead letters name both.
 * `duplicate` says that the log itself knew the id; it does not of an event that travelled with others (`EventPublisher`).
 */
export type PublishResult =
  | { kind: 'stored'; id: string; seq: number; index: number; duplicate: boolean }
  | { kind: 'invalid'; problems: string[] }
  | { kind: 'refused'; id: string; reason: string };

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Publishes chat events: checks them, hashes to the shard itself (no mapping needed), and waits for the log's
 * acknowledgement. Never in silence: every call ends by an acknowledgement or a reason, at the latest when it and what
 * waits before it in its shard have timed out.
 *
 * Events that wait for those before them travel together (`PackedWriter`). Such a message has no Nats-Msg-Id; a repeat of
 * one of its events is stored and then recognized by the session.
 */
export class EventPublisher {
  private readonly writer: PackedWriter;

  private constructor(
    private readonly bus: NatsBus,
    private readonly shardCount: number,
  ) {
    this.writer = new PackedWriter(bus, {
      subjectOf: subjects.logPublic,
      messageBytesMax: BOUNDS.recordBytes,
    });
  }

  /** Throws `NotThereError` when there is no NATS server, or no flexpush on it, within the time-out (10 s). */
  static async connect(options: { url: string; name?: string; timeoutMs?: number }): Promise<EventPublisher> {
    const { url, name = 'flexpush-publisher', timeoutMs = CONNECT_TIMEOUT_MS } = options;
    const bus = await connectBus({ url, name, firstConnectTimeoutMs: timeoutMs });
    try {
      return new EventPublisher(bus, await waitForShardCount(bus, timeoutMs));
    } catch (error) {
      await bus.close();
      if (!(error instanceof NotThereError)) throw error;
      throw new NotThereError(`the NATS server has no flexpush on it: no shard count after ${timeoutMs} ms`);
    }
  }

  /**
   * A repeat with the same id has no second effect, however late. `refused` may be tried again with the same id; after
   * the reason `timeout` the event may have been stored all the same.
   */
  async publish(event: ChatEventInput): Promise<PublishResult> {
    const id = event.id ?? randomUUID();
    const parsed = publicRecordSchema.safeParse({ v: 1, ...event, id });
    if (!parsed.success)
      return {
        kind: 'invalid',
        problems: parsed.error.issues.map((issue) => `${issue.path.join('.') || 'event'}: ${issue.message}`),
      };
    const json = JSON.stringify(parsed.data);
    const bytes = Buffer.byteLength(json);
    if (bytes > BOUNDS.recordBytes)
      return { kind: 'invalid', problems: [`event: larger than ${BOUNDS.recordBytes} bytes`] };
    const shard = shardOf(event.sessionId, this.shardCount);
    const result = await this.writer.write(shard, { json, bytes, messageId: id });
    return { id, ...result };
  }

  async close(): Promise<void> {
    await this.bus.close();
  }
}
