import {
  shardOf,
  type LogRecord,
  type PushJob,
  type RecordOf,
  type SubscriptionRequest,
} from '@flexpush/contracts';
import { OutboxEntry } from '../outbox';

export const KEY_HASH = 'a1'.repeat(32);
export const SHARDS = 4;

/** The `i`-th session id that lies in a shard. */
export function sessionIn(shard: number, i = 0, shardCount = SHARDS): string {
  for (let n = 0, found = 0; ; n++) {
    const sessionId = `chat-${n}`;
    if (shardOf(sessionId, shardCount) === shard && found++ === i) return sessionId;
  }
}

let lastId = 0;

function build<T extends LogRecord['type']>(type: T, fields: object): RecordOf<T> {
  lastId += 1;
  return { v: 1, id: `record-${lastId}`, type, ...fields } as unknown as RecordOf<T>;
}

/** A chat whose customer Mira is registered for reliable pushes. */
export function create(
  sessionId: string,
  subscription: Partial<SubscriptionRequest> = {},
  more: object = {},
) {
  return build('session.create', {
    sessionId,
    service: 'support',
    userId: 'mira',
    secureKey: 'secret-of-mira',
    keyHash: KEY_HASH,
    obfuscatedKey: 'opaque',
    nickname: 'Mira',
    userData: {},
    subscription: {
      deviceId: 'device',
      deviceType: 'customhttp',
      notifyRequestor: false,
      resend: true,
      debug: false,
      ...subscription,
    },
    ...more,
  });
}

export const join = (sessionId: string, more: object = {}) =>
  build('participant.join', {
    sessionId,
    userId: 'jonas',
    nickname: 'Jonas',
    participantType: 'Agent',
    ...more,
  });
export const message = (sessionId: string, text = 'Hello', more: object = {}) =>
  build('message.send', { sessionId, userId: 'jonas', text, ...more });
export const refresh = (sessionId: string, more: object = {}) =>
  build('request.refresh', { sessionId, userId: 'mira', keyHash: KEY_HASH, ...more });
/** Where Mira's CometD client is connected. */
export const ADDRESS = 'chat-api-1/client-1';
export const follow = (sessionId: string, more: object = {}) =>
  build('request.follow', { sessionId, userId: 'mira', keyHash: KEY_HASH, address: ADDRESS, ...more });
export const away = (sessionId: string, more: object = {}) =>
  build('request.away', { sessionId, userId: 'mira', keyHash: KEY_HASH, address: ADDRESS, ...more });
export const readReceipt = (sessionId: string, transcriptPosition: number) =>
  build('request.readReceipt', { sessionId, userId: 'mira', keyHash: KEY_HASH, transcriptPosition });
export const end = (sessionId: string) => build('session.end', { sessionId });

export const fired = (...timers: [string, number][]): RecordOf<'timers.fired'> => ({
  v: 1,
  type: 'timers.fired',
  timers,
});
export const settled = (...ids: string[]): RecordOf<'push.settled'> => ({
  v: 1,
  type: 'push.settled',
  results: ids.map((id) => [id, 'delivered']),
});

/** Push is off for chats by REST unless an option allows it; most tests are about push. */
export const OPTIONS = { 'settings/flex-push-on-join': 'true', 'push/pushEnabled': 'comet, customhttp' };
export const options = (
  revision: number,
  values: Record<string, string> = {},
): RecordOf<'options.changed'> => ({
  v: 1,
  type: 'options.changed',
  revision,
  values: { ...OPTIONS, ...values },
});

/** Is a record of the kind that anyone may publish? */
export function isPublic(record: LogRecord): boolean {
  return /^(participant|message|typing|notice|url)\.|^session\.end$/.test(record.type);
}

/** An outbox entry without a session behind it, for tests of the dispatcher alone. */
export function entry(
  subscription: string,
  n: number,
  given: Partial<PushJob> & { kind?: 'trigger' | 'plain' } = {},
): OutboxEntry {
  const [sessionId, userId] = subscription.split(':');
  const job = {
    kind: 'trigger',
    id: `${subscription}:${n}`,
    n,
    sessionId,
    userId,
    service: 'support',
    deviceType: 'customhttp',
    deviceId: 'device',
    debug: false,
    obfuscatedKey: 'opaque',
    chatEnded: false,
    atMs: 1_790_000_000_000,
    ...(given.kind === 'plain' ? {} : { attempt: 0, position: 1, content: [] }),
    ...given,
  };
  return new OutboxEntry(job as unknown as PushJob);
}
