import type { CallClock } from '@flexpush/actor-runtime';
import { BOUNDS, type ChatEvent, type ChatResponse, type CometPush } from '@flexpush/contracts';
import { COMETD_BOUNDS } from './bounds';

/** Who the client is in the chat. */
export interface ChatIdentity {
  service: string;
  sessionId: string;
  userId: string;
  secureKey: string;
  /** The client's name for all of it (CONTRACT 6 #29). */
  obfuscatedKey: string;
}

/** The two sides of a followed chat: the sessions, and the client. */
export interface ChatPort {
  clock: CallClock;
  /** request.refresh from a position. */
  refresh(position: number): Promise<ChatResponse>;
  /** Queues a message for the client. */
  deliver(body: ChatResponse, replyTo: string | number | undefined, onConfirmed: () => void): void;
  /** No room for what is pushed: the client is dropped. */
  isFull(): boolean;
  dropClient(): void;
  /** Resolves when there is room for a page, or nobody is there any more. */
  room(): Promise<void>;
  isGone(): boolean;
}

/**
 * A chat on its way to one CometD client.
 *
 * F1. Events reach the client in the order of their positions and without a gap: what is pushed too early waits, what
 *     was pushed before is dropped, what is missing is pulled.
 * F2. One call to the session at a time, so that pages do not overtake each other.
 * F3. `confirmedPosition` never exceeds what the client surely has.
 */
export class FollowedChat {
  /** The position that the client needs next. */
  private expected = 1;
  private confirmed = 0;
  /** Changes when the client asks for another position; what was under way for an earlier one moves nothing. */
  private round = 0;
  private readonly waiting = new Map<number, CometPush>();
  private isBusy = false;
  /** Something was not kept, or a ping wants an answer: pull even if nothing waits. */
  private mustPull = false;
  private fruitlessPulls = 0;
  private latest: Pick<ChatResponse, 'alias' | 'monitored' | 'chatEnded'> = {
    monitored: false,
    chatEnded: false,
  };

  constructor(
    private identity: ChatIdentity,
    private readonly port: ChatPort,
  ) {}

  /** The highest position that the client surely has, together with all before it. */
  get confirmedPosition(): number {
    return this.confirmed;
  }

  /** All that was pushed or pulled is with the client. */
  get isSettled(): boolean {
    return this.confirmed === this.expected - 1 && this.waiting.size === 0 && !this.isBusy;
  }

  get chatEnded(): boolean {
    return this.latest.chatEnded;
  }

  get who(): ChatIdentity {
    return this.identity;
  }

  /**
   * The client wants everything from this position on. `ask` gets the first page; its answer goes to the client as the
   * reply to `replyTo`, and what does not fit into it follows. Returns the answer.
   */
  async begin(start: {
    position: number;
    identity: ChatIdentity;
    replyTo: string | number | undefined;
    ask: () => Promise<ChatResponse>;
  }): Promise<ChatResponse> {
    const round = ++this.round;
    this.identity = start.identity;
    this.expected = Math.max(1, start.position);
    this.confirmed = this.expected - 1;
    this.isBusy = true;
    const body = await start.ask();
    if (round !== this.round) {
      this.port.deliver(this.shown(body), start.replyTo, () => undefined);
      return body;
    }
    await this.deliverPage(body, start.replyTo);
    if (round === this.round) {
      this.mustPull ||= body.statusCode === 0 && body.messages.length >= BOUNDS.eventsPerReply;
      this.isBusy = false;
      this.proceed();
    }
    return body;
  }

  /** An event, or a ping, from the session. */
  push(push: CometPush): void {
    this.latest = { ...this.latest, alias: push.alias };
    const index = push.event?.index;
    if (push.event === undefined) this.mustPull = true;
    else if (index === undefined) this.deliverPush(push, push.event);
    else if (index >= this.expected) {
      if (this.waiting.size < COMETD_BOUNDS.waitingEvents) this.waiting.set(index, push);
      else this.mustPull = true;
    }
    if (!this.isBusy) this.proceed();
  }

  /** Delivers what waits in order, and pulls what is missing before it. */
  private proceed(): void {
    for (let next = this.waiting.get(this.expected); next; next = this.waiting.get(this.expected)) {
      if (this.port.isFull()) {
        this.port.dropClient();
        return;
      }
      this.waiting.delete(this.expected);
      this.expected++;
      if (next.event) this.deliverPush(next, next.event);
    }
    for (const index of this.waiting.keys()) if (index < this.expected) this.waiting.delete(index);
    if ((this.mustPull || this.waiting.size > 0) && !this.port.isGone()) void this.pull();
  }

  private async pull(): Promise<void> {
    const { round } = this;
    this.isBusy = true;
    const isCurrent = () => round === this.round && !this.port.isGone();
    const from = this.expected;
    for (let pulls = 0; pulls < COMETD_BOUNDS.pulls && isCurrent(); pulls++) {
      this.mustPull = false;
      const body = await this.ask(isCurrent);
      if (!isCurrent()) return;
      if (body.statusCode !== 0 || body.messages.length > 0) await this.deliverPage(body, undefined);
      if (!isCurrent()) return;
      // Without an answer the client asks anew (CONTRACT 2.4), and what comes is pulled with the next event.
      if (body.statusCode !== 0) {
        this.waiting.clear();
        break;
      }
      this.expected = Math.max(this.expected, body.nextPosition ?? 0);
      if (body.messages.length < BOUNDS.eventsPerReply) break;
    }
    if (!isCurrent()) return;
    this.noteProgress(from);
    this.isBusy = false;
    this.proceed();
  }

  /**
   * An answer may be older than what was pushed while it was on its way; the next one is not. A session that then still
   * has nothing before what waits has nothing there, and asking again would never end.
   */
  private noteProgress(from: number): void {
    this.fruitlessPulls = this.expected > from || this.waiting.size === 0 ? 0 : this.fruitlessPulls + 1;
    if (this.fruitlessPulls < COMETD_BOUNDS.fruitlessPulls) return;
    this.fruitlessPulls = 0;
    this.expected = Math.max(this.expected, Math.min(...this.waiting.keys()));
  }

  /** Asks for the next page until the session answers, a bounded number of times. */
  private async ask(isCurrent: () => boolean): Promise<ChatResponse> {
    for (let tries = 1; ; tries++) {
      const body = await this.port.refresh(this.expected);
      if (body.statusCode !== 1 || tries >= COMETD_BOUNDS.tries || !isCurrent()) return body;
      await this.pause(COMETD_BOUNDS.retryMs * 2 ** (tries - 1));
    }
  }

  private pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.port.clock.setTimer(durationMs, resolve));
  }

  /** Queues a page in messages of bounded size, each when there is room for it. */
  private async deliverPage(body: ChatResponse, replyTo: string | number | undefined): Promise<void> {
    const { round } = this;
    if (body.statusCode === 0)
      this.latest = { alias: body.alias, monitored: body.monitored, chatEnded: body.chatEnded };
    let rest = body.messages;
    for (let isFirst = true; isFirst || rest.length > 0; isFirst = false) {
      if (!isFirst) await this.port.room();
      if (round !== this.round || this.port.isGone()) return;
      const messages = rest.slice(0, COMETD_BOUNDS.eventsPerMessage);
      rest = rest.slice(messages.length);
      const last = lastIndex(messages);
      const isLast = rest.length === 0;
      if (last !== undefined) this.expected = Math.max(this.expected, last + 1);
      const nextPosition = isLast ? body.nextPosition : this.expected;
      const shown = {
        ...this.shown(body),
        messages,
        ...(nextPosition === undefined ? {} : { nextPosition }),
      };
      this.port.deliver(shown, isFirst ? replyTo : undefined, () => this.confirm(round, last));
    }
  }

  private deliverPush(push: CometPush, event: ChatEvent): void {
    const { round } = this;
    this.latest = { ...this.latest, chatEnded: push.chatEnded };
    const { sessionId, userId, obfuscatedKey } = this.identity;
    const { index } = event;
    this.port.deliver(
      {
        statusCode: 0,
        messages: [event],
        chatId: sessionId,
        userId,
        secureKey: obfuscatedKey,
        ...this.latest,
        ...(index === undefined ? {} : { nextPosition: index + 1 }),
      },
      undefined,
      () => this.confirm(round, index),
    );
  }

  private confirm(round: number, position: number | undefined): void {
    if (round === this.round && position !== undefined) this.confirmed = Math.max(this.confirmed, position);
  }

  /** The key that CometD clients know, in place of that of REST. */
  private shown(body: ChatResponse): ChatResponse {
    return body.secureKey === undefined ? body : { ...body, secureKey: this.identity.obfuscatedKey };
  }
}

function lastIndex(messages: readonly ChatEvent[]): number | undefined {
  return messages.findLast(({ index }) => index !== undefined)?.index;
}
