/** One event of a chat. `index` is its place in the transcript; drop an index that you already have. */
export interface ChatEvent {
  index?: number;
  type: string;
  /** Epoch ms. */
  utcTime?: number;
  text?: string;
  messageType?: string;
  from?: { nickname?: string; participantId?: number; type?: string };
  userData?: Record<string, string>;
  eventAttributes?: unknown;
}

/** The fixed text of the configuration; there may be none. */
export interface TextPush {
  kind: 'text';
  deviceId: string;
  text?: string;
}

/** Events themselves (a plain push with payload). */
export interface EventPush {
  kind: 'events';
  deviceId: string;
  sessionId: string;
  userId: string;
  alias?: string;
  events: ChatEvent[];
  chatEnded: boolean;
}

/** A reliable push: something is there to be read; only a refresh tells what, and ends the repeats. */
export interface TriggerPush {
  kind: 'trigger';
  deviceId: string;
  /** The first event that was not read yet; -1: the participant is no longer in the chat. */
  position: number;
  /** 0 for the first notice, 1 for its first repeat. */
  attempt: number;
  chatEnded: boolean;
  /** What `flex-push-content` lets out; the receiver must know the rest from elsewhere. */
  sessionId?: string;
  userId?: string;
  secureKey?: string;
  alias?: string;
}

export type Push = TextPush | EventPush | TriggerPush;

const EVENTS_MAX = 1_000;

/** Reads a parsed body. Undefined: it is no push. Unknown fields are passed over, so that newer senders are understood. */
export function parsePush(body: unknown): Push | undefined {
  const deviceId = textAt(body, 'deviceId');
  if (deviceId === undefined) return undefined;
  const message = fieldAt(body, 'message');
  if (message === undefined) return { kind: 'text', deviceId };
  if (typeof message === 'string') return { kind: 'text', deviceId, text: message };
  const list = fieldAt(message, 'messages');
  if (!Array.isArray(list) || list.length > EVENTS_MAX) return undefined;
  const userData = fieldAt(list[0], 'userData');
  if (textAt(list[0], 'type') === 'PushUrl' && textAt(userData, 'notify-position') !== undefined)
    return triggerOf(deviceId, message, userData);
  const [sessionId, userId, alias] = ['chatId', 'userId', 'alias'].map((name) => textAt(message, name));
  if (sessionId === undefined || userId === undefined || !list.every(isEvent)) return undefined;
  const chatEnded = fieldAt(message, 'chatEnded') === true;
  return {
    kind: 'events',
    deviceId,
    sessionId,
    userId,
    events: list,
    chatEnded,
    ...(alias ? { alias } : {}),
  };
}

function triggerOf(deviceId: string, message: unknown, userData: unknown): TriggerPush | undefined {
  const position = integerOf(textAt(userData, 'notify-position'));
  const attempt = integerOf(textAt(userData, 'notify-attempt'));
  if (position === undefined || attempt === undefined || position < -1 || attempt < 0) return undefined;
  const credentials = {
    sessionId: textAt(userData, 'session-id'),
    userId: textAt(userData, 'user-id'),
    secureKey: textAt(userData, 'secure-key'),
    alias: textAt(userData, 'app-dbid'),
  };
  const known = Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== undefined));
  const chatEnded = fieldAt(message, 'chatEnded') === true;
  return { kind: 'trigger', deviceId, position, attempt, chatEnded, ...known };
}

/** @internal */
export function isEvent(value: unknown): value is ChatEvent {
  const index = fieldAt(value, 'index');
  return textAt(value, 'type') !== undefined && (index === undefined || Number.isSafeInteger(index));
}

/** @internal */
export function fieldAt(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}

/** @internal */
export function textAt(value: unknown, key: string): string | undefined {
  const field = fieldAt(value, key);
  return typeof field === 'string' ? field : undefined;
}

function integerOf(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}
