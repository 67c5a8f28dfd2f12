import { BOUNDS, type CallReply, type ChatEvent } from '@flexpush/contracts';

/** A whole reply, all of its parts together. */
export type WholeReply = Pick<CallReply, 'alias' | 'reply' | 'messages'>;

/**
 * Puts the parts of a reply together. They come over core NATS, which may lose one, and a repeated record is answered
 * again from the start, perhaps by another node.
 *
 * P1. A part that does not continue where the last one ended, or a beginning that is not the position asked for, makes
 *     the reply void: positions have no gap (I1), and a client that steps over an event never comes back for it.
 *     The record is appended again and brings a new reply.
 * P2. A part that begins where a reply begins is the beginning of a new one.
 * P3. At most BOUNDS.eventsPerSession events are kept.
 */
export class ReplyParts {
  private messages: ChatEvent[] = [];
  private startIndex: number | undefined;
  private nextIndex: number | undefined;
  private state: 'waiting' | 'collecting' | 'broken' = 'waiting';

  /** `wanted`: the position that a transcript must begin at, when one is asked for. */
  constructor(private readonly wanted: number | undefined) {
    this.startIndex = wanted === undefined ? undefined : Math.max(1, wanted);
  }

  /** The whole reply once its last part is here. */
  add(part: CallReply): WholeReply | undefined {
    const first = part.messages.find(({ index }) => index !== undefined)?.index;
    if (this.begins(first)) this.begin(first);
    else if (!this.continues(first)) this.state = 'broken';
    if (this.state !== 'collecting') return undefined;
    this.append(part.messages);
    if (part.more || this.state !== 'collecting') return undefined;
    return { alias: part.alias, reply: part.reply, messages: this.messages };
  }

  private begins(first: number | undefined): boolean {
    if (first === undefined) return this.state !== 'collecting';
    if (this.startIndex === undefined) return this.state === 'waiting';
    return first <= this.startIndex;
  }

  private continues(first: number | undefined): boolean {
    return this.state === 'collecting' && (first === undefined || first === this.nextIndex);
  }

  private begin(first: number | undefined): void {
    this.messages = [];
    this.nextIndex = undefined;
    this.state = 'collecting';
    if (this.wanted === undefined) this.startIndex = first;
  }

  private append(messages: ChatEvent[]): void {
    if (this.messages.length + messages.length > BOUNDS.eventsPerSession) {
      this.state = 'broken';
      this.messages = [];
      return;
    }
    this.messages = this.messages.length === 0 ? messages : this.messages.concat(messages);
    const last = messages.findLast(({ index }) => index !== undefined)?.index;
    if (last !== undefined) this.nextIndex = last + 1;
  }
}
