import { createHash, randomUUID } from 'node:crypto';
import {
  shardOf,
  subjects,
  type InternalRecord,
  type PublicRecord,
  type SubscriptionRequest,
} from '@flexpush/contracts';
import { waitForShardCount, type NatsBus } from '@flexpush/nats-bus';

/** Publishes that wait for their acknowledgement at once. */
const IN_FLIGHT_MAX = 1_024;
const AGENT = 'agent';
const OPEN_PREFIX = 'open-';
/** Whose chats these are. */
export const CUSTOMER = 'customer';

type Unnamed<R> = R extends unknown ? Omit<R, 'v' | 'id' | 'sessionId'> : never;

/**
 * Writes chats into the log as services and publishers would: a customer with reliable pushes, an agent, and then an event
 * and the refresh for it in turn. One record per message, because that is what a log of a calm day holds and it costs most.
 */
export class LogFill {
  private readonly underWay = new Set<Promise<void>>();

  private constructor(
    private readonly bus: NatsBus,
    private readonly shardCount: number,
    private readonly provider: string | undefined,
  ) {}

  /** Pushes that leave go to this provider; without one nobody asks for pushes. */
  static async open(bus: NatsBus, provider?: string): Promise<LogFill> {
    return new LogFill(bus, await waitForShardCount(bus), provider);
  }

  /** Resolves when the log has acknowledged every record. The chats take turns. */
  async write({ records, sessions }: { records: number; sessions: number }): Promise<void> {
    const run = randomUUID().slice(0, 8);
    const chats = Array.from({ length: sessions }, (_, n) => ({
      sessionId: `fill-${run}-${n}`,
      secureKey: `key-${run}-${n}`,
    }));
    let written = 0;
    for (let round = 0; written < records; round++)
      for (const chat of chats) {
        for (const record of round === 0 ? this.first(chat, chat.sessionId) : this.next(chat, round)) {
          if (written++ >= records) break;
          await this.append(chat.sessionId, record);
        }
      }
    await Promise.all(this.underWay);
  }

  /** Opens so many chats, with an agent in each if answered. Resolves with their ids when the log has acknowledged all. */
  async openChats(
    count: number,
    { isAnswered }: { isAnswered: boolean } = { isAnswered: true },
  ): Promise<string[]> {
    const run = randomUUID().slice(0, 8);
    const sessionIds = Array.from({ length: count }, (_, n) => `${OPEN_PREFIX}${run}-${n}`);
    for (const sessionId of sessionIds)
      for (const record of this.first({ secureKey: secureKeyOf(sessionId) }, sessionId).slice(
        0,
        isAnswered ? 2 : 1,
      ))
        await this.append(sessionId, record);
    await Promise.all(this.underWay);
    return sessionIds;
  }

  /** The customers of chats from `openChats` refresh; resolves when the log has acknowledged it. */
  async refreshChats(sessionIds: readonly string[]): Promise<void> {
    for (const sessionId of sessionIds) await this.append(sessionId, this.refresh(secureKeyOf(sessionId)));
    await Promise.all(this.underWay);
  }

  private first(
    { secureKey }: { secureKey: string },
    deviceId: string,
  ): Unnamed<PublicRecord | InternalRecord>[] {
    return [
      {
        type: 'session.create',
        service: 'support-web',
        userId: CUSTOMER as never,
        secureKey,
        keyHash: hashOf(secureKey),
        obfuscatedKey: '',
        nickname: 'Customer',
        userData: {},
        ...(this.provider === undefined ? {} : { subscription: subscriptionTo(this.provider, deviceId) }),
      },
      { type: 'participant.join', userId: AGENT as never, nickname: 'Agent', participantType: 'Agent' },
      this.refresh(secureKey),
    ];
  }

  private next(
    { secureKey }: { secureKey: string },
    round: number,
  ): Unnamed<PublicRecord | InternalRecord>[] {
    return [
      { type: 'message.send', userId: AGENT as never, text: `How can I help you today? ${round}` },
      this.refresh(secureKey),
    ];
  }

  private refresh(secureKey: string): Unnamed<InternalRecord> {
    return {
      type: 'request.refresh',
      userId: CUSTOMER as never,
      keyHash: hashOf(secureKey),
      transcriptPosition: 1_000_000,
    };
  }

  private async append(sessionId: string, record: Unnamed<PublicRecord | InternalRecord>): Promise<void> {
    const shard = shardOf(sessionId, this.shardCount);
    const isInternal = record.type === 'session.create' || record.type === 'request.refresh';
    const subject = isInternal ? subjects.logInternal(shard) : subjects.logPublic(shard);
    const payload = JSON.stringify({ v: 1, id: randomUUID(), sessionId, ...record });
    const publishing: Promise<void> = this.bus.connection
      .jetstream()
      .publish(subject, payload, { timeout: 30_000 })
      .then(() => void this.underWay.delete(publishing));
    this.underWay.add(publishing);
    const [oldest] = this.underWay;
    if (this.underWay.size >= IN_FLIGHT_MAX) await oldest;
  }
}

/** What the customer of a chat from `openChats` knows itself by. */
export function secureKeyOf(sessionId: string): string {
  return `key-${sessionId.slice(OPEN_PREFIX.length)}`;
}

function subscriptionTo(provider: string, deviceId: string): SubscriptionRequest {
  return {
    deviceId,
    deviceType: 'customhttp',
    notifyRequestor: false,
    includePayload: true,
    resend: true,
    provider,
    debug: false,
  };
}

function hashOf(secureKey: string): string {
  return createHash('sha256').update(secureKey).digest('hex');
}
