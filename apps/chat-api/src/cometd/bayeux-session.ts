import type { CallClock } from '@flexpush/actor-runtime';
import {
  bayeuxErrors,
  HANDSHAKE_ADVICE,
  NO_ADVICE,
  unsuccessful,
  type BayeuxMessage,
  type BayeuxReply,
} from './bayeux-message';
import { COMETD_BOUNDS } from './bounds';

/** A message on its way to a client. */
interface Outgoing {
  text: string;
  /** The client surely has it. */
  onConfirmed: (() => void) | undefined;
  /** The answer to /meta/connect with which, or before which, it was last sent. */
  batch: number;
}

interface HeldConnect {
  message: BayeuxMessage;
  answer: (texts: string[]) => void;
  cancelTimer: () => void;
}

/** An open WebSocket, as a session sees it. */
export interface Socket {
  send(texts: string[]): void;
  /** False while much of what was sent lies unsent. */
  hasRoom(): boolean;
  attached(session: BayeuxSession): void;
  detached(session: BayeuxSession): void;
}

export type EndCause = 'disconnect' | 'expired' | 'queue-full' | 'stopping';

export interface SessionOptions {
  clientId: string;
  browserId: string;
  /** How long /meta/connect is held. */
  timeoutMs: number;
  /** How long the client may take to come back after an answer. */
  maxIntervalMs: number;
  isAcknowledging: boolean;
  clock: CallClock;
  onEnd: (cause: EndCause, position: number | undefined) => void;
}

/**
 * One Bayeux client: what waits for it, and how it hears of it.
 *
 * B1. Messages go out in the order in which they were queued; each stays here until the client surely has it: until the
 *     first regular /meta/connect after the answer with, or before, which it went out, or its acknowledgement.
 * B2. What is not confirmed goes out again when the connection was seen to break, or the client says so (advice.timeout
 *     0, or an acknowledgement that lags behind): a message may be repeated, none is lost to a client that comes back.
 * B3. At most one /meta/connect is held; a second one ends the first.
 * B4. A session without a held /meta/connect ends after `maxIntervalMs`, and then only once.
 * B5. What waits is bounded by those who queue it: they ask `isFull`, or wait for `room`.
 */
export class BayeuxSession {
  private queue: Outgoing[] = [];
  private unconfirmed: Outgoing[] = [];
  private chars = 0;
  private batch = 1;
  private held: HeldConnect | undefined;
  private socket: Socket | undefined;
  private hasConnected = false;
  private ended = false;
  /** An answer, or what went through a socket, may not have arrived. */
  private wasBroken = false;
  private cancelExpiry: () => void = () => undefined;
  private roomWaiters: (() => void)[] = [];
  /** Operations under way, counted by who performs them. */
  operations = 0;

  constructor(private readonly options: SessionOptions) {
    this.armExpiry();
  }

  get clientId(): string {
    return this.options.clientId;
  }

  get browserId(): string {
    return this.options.browserId;
  }

  get hasEnded(): boolean {
    return this.ended;
  }

  /** Queues a message, whatever waits; at twice the bound the client is dropped. */
  send(message: object, onConfirmed?: () => void): void {
    if (this.ended) return;
    if (this.isFarTooFull()) {
      this.end('queue-full');
      return;
    }
    const text = JSON.stringify(message);
    this.chars += text.length;
    this.queue.push({ text, onConfirmed, batch: 0 });
    this.flush();
  }

  /** Resolves when half of the room for waiting messages is free, or the session has ended. */
  async room(): Promise<void> {
    while (!this.ended && !this.isHalfEmpty())
      await new Promise<void>((resolve) => this.roomWaiters.push(resolve));
  }

  /** From now on messages go through this socket. */
  attach(socket: Socket): void {
    if (this.socket === socket) return;
    if (this.socket) this.wasBroken = true;
    this.socket?.detached(this);
    this.socket = socket;
    socket.attached(this);
  }

  /** The socket is closed; the client has `maxIntervalMs` to come back by whatever way. */
  detach(socket: Socket): void {
    if (this.socket !== socket || this.ended) return;
    this.socket = undefined;
    this.wasBroken = true;
    this.dropHeld();
    this.armExpiry();
  }

  /** The socket has room again. */
  resume(): void {
    this.flush();
  }

  /**
   * Handles /meta/connect. `answer` is called once, at the latest after the time-out. `mayWait` is false where the answer
   * to other messages would wait with it.
   */
  connect(message: BayeuxMessage, mayWait: boolean, answer: (texts: string[]) => void): HeldHandle {
    this.cancelExpiry();
    const earlier = this.held;
    this.held = undefined;
    earlier?.cancelTimer();
    earlier?.answer([JSON.stringify(this.connectReply(earlier.message))]);
    this.hasConnected = true;
    this.settle(message);
    const waitMs = Math.max(0, Math.min(message.advice?.timeout ?? Infinity, this.options.timeoutMs));
    const held: HeldConnect = { message, answer, cancelTimer: () => undefined };
    this.held = held;
    if (!mayWait || waitMs === 0) this.answerHeld();
    else {
      held.cancelTimer = this.options.clock.setTimer(waitMs, () => this.held === held && this.answerHeld());
      this.flush();
    }
    return { gone: () => this.connectGone(held) };
  }

  /** Ends the session; what waits is not sent any more. The position is what the client says that it has. */
  end(cause: EndCause, position?: number): void {
    if (this.ended) return;
    this.ended = true;
    this.cancelExpiry();
    this.socket?.detached(this);
    const { held } = this;
    this.held = undefined;
    held?.cancelTimer();
    held?.answer([JSON.stringify(lastReply(held.message, cause))]);
    for (const resolve of this.roomWaiters.splice(0)) resolve();
    this.queue = [];
    this.unconfirmed = [];
    this.chars = 0;
    this.options.onEnd(cause, position);
  }

  /** Sends what waits and ends, as the process stops. Who polls is told to begin anew; over a socket its close says so. */
  leave(): void {
    if (this.ended) return;
    if (!this.socket) this.answerHeld('stopping');
    else {
      if (this.isPushing()) this.flush();
      this.dropHeld();
    }
    this.end('stopping');
  }

  private settle({ advice, ext }: BayeuxMessage): void {
    if (this.options.isAcknowledging) {
      const acknowledged = typeof ext?.['ack'] === 'number' ? ext['ack'] : 0;
      this.confirm(acknowledged);
      this.sendAgain();
    } else if (advice?.timeout === 0 || this.wasBroken) this.sendAgain();
    else this.confirm(this.batch - 1);
    this.wasBroken = false;
  }

  private confirm(lastBatch: number): void {
    const kept: Outgoing[] = [];
    for (const one of this.unconfirmed) {
      if (one.batch > lastBatch) kept.push(one);
      else {
        this.chars -= one.text.length;
        one.onConfirmed?.();
      }
    }
    this.unconfirmed = kept;
    if (this.isHalfEmpty()) for (const resolve of this.roomWaiters.splice(0)) resolve();
  }

  private sendAgain(): void {
    this.queue = [...this.unconfirmed, ...this.queue];
    this.unconfirmed = [];
  }

  /** Sends what can be sent now: through the socket at once, else with the held /meta/connect. */
  private flush(): void {
    if (this.queue.length === 0) return;
    if (!this.isPushing()) {
      if (this.held) this.answerHeld();
      return;
    }
    while (this.queue.length > 0 && this.socket?.hasRoom()) this.socket.send(this.take());
    // Only the next /meta/connect confirms; one that is held for long would keep all of this here.
    if (this.held && !this.isHalfEmpty()) this.answerHeld();
  }

  /** Messages go through the socket as they come, unless the client acknowledges: it does so by /meta/connect. */
  private isPushing(): boolean {
    return this.socket !== undefined && this.hasConnected && !this.options.isAcknowledging;
  }

  private answerHeld(cause?: EndCause): void {
    const { held } = this;
    if (!held) return;
    this.held = undefined;
    held.cancelTimer();
    const texts = this.take();
    const reply = cause ? lastReply(held.message, cause) : this.connectReply(held.message);
    if (this.options.isAcknowledging) reply['ext'] = { ack: this.batch };
    this.batch++;
    this.armExpiry();
    held.answer([...texts, JSON.stringify(reply)]);
  }

  private take(): string[] {
    let chars = 0;
    let count = 0;
    while (count < this.queue.length && (count === 0 || chars < COMETD_BOUNDS.charsPerDelivery)) {
      chars += this.queue[count]?.text.length ?? 0;
      count++;
    }
    const taken = this.queue.splice(0, count);
    for (const one of taken) one.batch = this.batch;
    this.unconfirmed.push(...taken);
    return taken.map(({ text }) => text);
  }

  /** The request broke before it was answered in full. */
  private connectGone(held: HeldConnect): void {
    this.wasBroken = true;
    if (this.held !== held || this.ended) return;
    this.dropHeld();
    this.armExpiry();
  }

  private dropHeld(): void {
    this.held?.cancelTimer();
    this.held = undefined;
  }

  private armExpiry(): void {
    this.cancelExpiry();
    this.cancelExpiry = this.options.clock.setTimer(this.options.maxIntervalMs, () => this.end('expired'));
  }

  /** No more should be queued but answers (B5). */
  /** Answers to what it asks are queued whatever waits, up to here. */
  private isFarTooFull(): boolean {
    return (
      this.queue.length + this.unconfirmed.length >= 2 * COMETD_BOUNDS.queuedMessages ||
      this.chars >= 2 * COMETD_BOUNDS.queuedChars
    );
  }

  isFull(): boolean {
    return (
      this.queue.length + this.unconfirmed.length >= COMETD_BOUNDS.queuedMessages ||
      this.chars >= COMETD_BOUNDS.queuedChars
    );
  }

  private isHalfEmpty(): boolean {
    return (
      this.queue.length + this.unconfirmed.length <= COMETD_BOUNDS.queuedMessages / 2 &&
      this.chars <= COMETD_BOUNDS.queuedChars / 2
    );
  }

  private connectReply({ channel, id }: BayeuxMessage): BayeuxReply {
    const { timeoutMs, maxIntervalMs } = this.options;
    return {
      channel,
      ...(id === undefined ? {} : { id }),
      successful: true,
      advice: { reconnect: 'retry', interval: 0, timeout: timeoutMs, maxInterval: maxIntervalMs },
    };
  }
}

/**
 * The answer to the /meta/connect of a session that has ended. Who did not want to go begins anew; only with a failure,
 * for after a success the CometD client knows no advice but to connect again, and stands still.
 */
function lastReply(message: BayeuxMessage, cause: EndCause): BayeuxReply {
  if (cause !== 'disconnect') return unsuccessful(message, bayeuxErrors.unknownClient, HANDSHAKE_ADVICE);
  const { channel, id } = message;
  return { channel, ...(id === undefined ? {} : { id }), successful: true, advice: NO_ADVICE };
}

/** For the transport that holds a /meta/connect. */
export interface HeldHandle {
  /** Its connection broke before the answer was written. */
  gone(): void;
}
