import { fieldAt, isEvent, textAt, type ChatEvent, type TriggerPush } from './push';

export interface RefresherOptions {
  /** Of the Chat API, with the application: `https://chat.example.org/genesys`. */
  baseUrl: string;
  /** The chat service: the last part of the path when the chat was requested. */
  service: string;
  /** Further headers, such as an API key of a gateway. */
  headers?: Readonly<Record<string, string>>;
  /** For each request. */
  timeoutMs?: number;
  /** Where the credentials of a chat are when pushes do not carry them. */
  credentials?: (push: TriggerPush) => Promise<Partial<Credentials> | undefined>;
}

export interface Credentials {
  sessionId: string;
  userId: string;
  secureKey: string;
  /** The newest known; it may be absent. */
  alias?: string;
}

/** What a refresh gave. `events` and `removed` have confirmed the push: it is not repeated. */
export type Refreshed =
  /** `isComplete` false: there is more, from `nextPosition`; it was not asked for, to bound one refresh. */
  | {
      kind: 'events';
      events: ChatEvent[];
      nextPosition: number;
      chatEnded: boolean;
      alias?: string;
      isComplete: boolean;
    }
  /** The participant is no longer in the chat (`notify-position` -1). */
  | { kind: 'removed' }
  /** The Chat API refused for good, such as a wrong key or a chat that is long over. */
  | { kind: 'refused'; errors: { code: number; advice: string }[] }
  /** Not now: the next repeat of the push is a chance to try again. */
  | { kind: 'retry'; reason: string }
  | { kind: 'no-credentials'; missing: (keyof Credentials)[] };

export interface Refresher {
  /** Fetches what the push is about, which is also what ends its repeats. Never rejects. */
  refresh(push: TriggerPush): Promise<Refreshed>;
}

const TIMEOUT_MS = 10_000;
/** The Chat API answers with so many events at most; then there may be more. */
const EVENTS_PER_REPLY = 500;
const REPLIES_MAX = 20;
const REPLY_CHARS_MAX = 32 * 1_048_576;

/** Reads chats for which reliable pushes came. */
export function createRefresher(options: RefresherOptions): Refresher {
  return {
    async refresh(push) {
      const credentials = await credentialsOf(push, options);
      if ('missing' in credentials) return { kind: 'no-credentials', missing: credentials.missing };
      return push.position === -1
        ? acknowledge(credentials, options)
        : readOn(push.position, credentials, options);
    },
  };
}

/** A removed participant gets no events any more; that it asked is what ends the repeats. */
async function acknowledge(credentials: Credentials, options: RefresherOptions): Promise<Refreshed> {
  const reply = await ask(1, credentials, options);
  return reply.kind === 'retry' ? reply : { kind: 'removed' };
}

async function readOn(
  position: number,
  credentials: Credentials,
  options: RefresherOptions,
): Promise<Refreshed> {
  const events: ChatEvent[] = [];
  let from = position;
  let known = credentials;
  for (let replies = 1; ; replies += 1) {
    const reply = await ask(from, known, options);
    if (reply.kind !== 'reply') return reply;
    events.push(...reply.events);
    if (reply.alias !== undefined) known = { ...known, alias: reply.alias };
    const { nextPosition, chatEnded } = reply;
    const isComplete = reply.events.length < EVENTS_PER_REPLY || nextPosition <= from;
    if (isComplete || replies >= REPLIES_MAX)
      return {
        kind: 'events',
        events,
        nextPosition,
        chatEnded,
        isComplete,
        ...(known.alias === undefined ? {} : { alias: known.alias }),
      };
    from = nextPosition;
  }
}

type Reply =
  | { kind: 'reply'; events: ChatEvent[]; nextPosition: number; chatEnded: boolean; alias?: string }
  | Extract<Refreshed, { kind: 'refused' | 'retry' }>;

async function ask(position: number, credentials: Credentials, options: RefresherOptions): Promise<Reply> {
  const { sessionId, userId, secureKey, alias } = credentials;
  const base = options.baseUrl.replace(/\/$/, '');
  const path = `/2/chat/${encodeURIComponent(options.service)}/${encodeURIComponent(sessionId)}/refresh`;
  const form = new URLSearchParams({ userId, secureKey, transcriptPosition: String(position) });
  if (alias !== undefined) form.set('alias', alias);
  try {
    const answer = await fetch(`${base}${path}`, {
      method: 'POST',
      headers: { ...options.headers, 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
      signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
      // A redirect would carry the key of the chat to wherever it points.
      redirect: 'manual',
    });
    return replyOf(answer.status, JSON.parse(await boundedText(answer)));
  } catch (error) {
    return { kind: 'retry', reason: String((error as Partial<Error>).name ?? 'unknown') };
  }
}

async function boundedText(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > REPLY_CHARS_MAX) throw new RangeError('the reply is too long');
  }
  return text;
}

/** `statusCode` 0 is good, 1 may be tried again, 2 not. */
function replyOf(status: number, body: unknown): Reply {
  const statusCode = fieldAt(body, 'statusCode');
  if (statusCode === 2 || status === 400) return { kind: 'refused', errors: errorsOf(body) };
  if (status !== 200 || statusCode !== 0)
    return { kind: 'retry', reason: status === 200 ? 'not-now' : `http-${status}` };
  const messages = fieldAt(body, 'messages');
  const events = Array.isArray(messages) ? messages.filter(isEvent) : [];
  const nextPosition = fieldAt(body, 'nextPosition');
  const alias = textAt(body, 'alias');
  return {
    kind: 'reply',
    events,
    nextPosition: typeof nextPosition === 'number' ? nextPosition : 0,
    chatEnded: fieldAt(body, 'chatEnded') === true,
    ...(alias === undefined ? {} : { alias }),
  };
}

function errorsOf(body: unknown): { code: number; advice: string }[] {
  const errors = fieldAt(body, 'errors');
  if (!Array.isArray(errors)) return [];
  return errors.map((error) => {
    const code = fieldAt(error, 'code');
    return { code: typeof code === 'number' ? code : 0, advice: textAt(error, 'advice') ?? '' };
  });
}

async function credentialsOf(
  push: TriggerPush,
  options: RefresherOptions,
): Promise<Credentials | { missing: (keyof Credentials)[] }> {
  const looked = await options.credentials?.(push).catch(() => undefined);
  const { sessionId, userId, secureKey, alias } = { ...definedOf(push), ...definedOf(looked ?? {}) };
  const needed = { sessionId, userId, secureKey };
  const missing = (Object.keys(needed) as (keyof typeof needed)[]).filter(
    (name) => needed[name] === undefined,
  );
  if (sessionId === undefined || userId === undefined || secureKey === undefined) return { missing };
  return { sessionId, userId, secureKey, ...(alias === undefined ? {} : { alias }) };
}

function definedOf(from: Partial<Credentials>): Partial<Credentials> {
  return Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined));
}
