import type { ChatEvent, ChatNotice, FoldReply, PushJob, SessionOptions } from '@flexpush/contracts';
import type { Session } from './session';

/** A transcript event with its position. */
export type PositionedEvent = ChatEvent & { index: number };

type WithoutSession<N> = N extends unknown ? Omit<N, 'v' | 'sessionId'> : never;

/** What the fold asks of the outside. Nothing of it leaves before its commit (I2). */
export type Effect =
  | { kind: 'append'; event: PositionedEvent }
  /** Into the outbox; a trigger replaces the older one of its subscription. */
  | { kind: 'notify'; job: PushJob }
  /** The subscription's trigger up to `n` is confirmed: out of the outbox, and not to be started any more. */
  | { kind: 'withdraw'; subscription: string; n: number }
  /** What agents may like to know and what is no event of the chat; published at most once. */
  | { kind: 'announce'; sessionId: string; notice: WithoutSession<ChatNotice> }
  /** A fact for the operator's log. */
  | { kind: 'tell'; fact: string; fields: Record<string, string | number> };

/** A reply to the caller; `pages` names the part of the transcript it carries. */
export interface Reply extends FoldReply {
  page?: { first: number; last: number };
}

export interface Outcome {
  /** undefined: there is no such session (any more). */
  session: Session | undefined;
  effects: Effect[];
  reply?: Reply;
  /** The record is not acceptable: nothing changed, and it belongs into the dead-letter stream. */
  refusal?: string;
}

export interface FoldContext {
  /** The record's time in the log, epoch ms; per shard it never runs backwards. */
  atMs: number;
  options: SessionOptions;
  /** The transcript from a position on, for the records that need it (`needsTranscript`). It is folded state like the session. */
  transcript?: (first: number) => readonly ChatEvent[];
}

/** A fold at work: the session is a copy, free to change. */
export interface Work extends FoldContext {
  session: Session;
  effects: Effect[];
}
