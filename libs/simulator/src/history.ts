/**
 * What the outside saw of a run: nothing in it comes from inside the system. Times are true ones, ms since the start.
 */
export interface History {
  chats: Map<string, ChatHistory>;
}

export interface ChatHistory {
  chatId: string;
  kind: 'refreshing' | 'silent' | 'plain' | 'comet';
  said: Said[];
  posts: Post[];
  refreshes: Refresh[];
  /** What a CometD client was shown. */
  shown: (SeenEvent & { atMs: number })[];
}

/** A message, or the agent's join, as its author knows it; the text of a message names it. */
export interface Said {
  type: 'ParticipantJoined' | 'Message';
  text: string;
  who: 'agent' | 'customer';
  startedAtMs: number;
  /** When its author was told that it is stored. */
  acknowledgedAtMs?: number;
}

/** What reached the customer's server. */
export type Post = { atMs: number; /** Whether the server answered with 200. */ taken: boolean } & (
  | { kind: 'trigger'; attempt: number; position: number }
  | { kind: 'event'; index: number; text: string | undefined }
);

export interface SeenEvent {
  index: number;
  type: string;
  text?: string | undefined;
  /** As the event says: the time of its record. */
  utcTime: number;
}

/** A refresh that was answered. */
export interface Refresh {
  from: number;
  startedAtMs: number;
  answeredAtMs: number;
  events: SeenEvent[];
  nextPosition: number;
  /** The last one, of the whole transcript, after everything has healed. */
  isFinal: boolean;
}

export function newChat(chatId: string, kind: ChatHistory['kind']): ChatHistory {
  return { chatId, kind, said: [], posts: [], refreshes: [], shown: [] };
}
