import { PassingMap } from '@flexpush/contracts';
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from 'nats';

export type RawAnswer = { kind: 'answer'; message: Msg } | { kind: 'no-responders' } | { kind: 'timeout' };

interface Waiting {
  readonly done: (answer: RawAnswer) => void;
  readonly timer: NodeJS.Timeout;
  readonly endsWithConnection: boolean;
}

const NO_RESPONDERS = 503;

/**
 * Requests over one subscription. The client's own `request` makes an error object, with its stack, for every answer that
 * comes in time, which costs more than all the rest of it.
 */
export class Requests {
  private readonly waiting = new PassingMap<string, Waiting>();
  private inbox: string | undefined;
  private count = 0;

  constructor(
    private readonly connection: NatsConnection,
    /** Runs what an answer lets go on, so that what it throws does not end the client's read loop. */
    private readonly guard: (handle: () => void) => void,
  ) {}

  /**
   * Rejects when the message cannot be sent, as one that is larger than the server takes. `endsWithConnection`: a lost
   * connection ends it as a time-out does, for its answer is most likely lost with it.
   */
  send(
    subject: string,
    payload: string,
    {
      timeoutMs,
      headers,
      endsWithConnection = false,
    }: { timeoutMs: number; headers?: MsgHdrs; endsWithConnection?: boolean },
  ): Promise<RawAnswer> {
    if (this.connection.isClosed()) return Promise.resolve({ kind: 'timeout' });
    this.inbox ??= this.listen();
    const token = (this.count++).toString(36);
    const reply = `${this.inbox}.${token}`;
    return new Promise((done) => {
      this.connection.publish(subject, payload, headers === undefined ? { reply } : { reply, headers });
      const timer = setTimeout(() => this.settle(token, { kind: 'timeout' }), timeoutMs);
      this.waiting.set(token, { done, timer, endsWithConnection });
    });
  }

  /** The connection is lost. What is asked from now on waits in the client until there is another. */
  disconnected(): void {
    for (const [token, { endsWithConnection }] of [...this.waiting])
      if (endsWithConnection) this.settle(token, { kind: 'timeout' });
  }

  /** The connection is closed: nobody answers any more. */
  close(): void {
    for (const token of [...this.waiting.keys()]) this.settle(token, { kind: 'timeout' });
  }

  private listen(): string {
    const inbox = createInbox();
    this.connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.guard(() => this.hear(inbox, message));
      },
    });
    return inbox;
  }

  private hear(inbox: string, message: Msg): void {
    const isNobody = message.data.length === 0 && message.headers?.code === NO_RESPONDERS;
    const answer: RawAnswer = isNobody ? { kind: 'no-responders' } : { kind: 'answer', message };
    this.settle(message.subject.slice(inbox.length + 1), answer);
  }

  /** An answer that comes too late, or a second one, finds nobody. */
  private settle(token: string, answer: RawAnswer): void {
    const waiting = this.waiting.get(token);
    if (!waiting) return;
    this.waiting.delete(token);
    clearTimeout(waiting.timer);
    waiting.done(answer);
  }
}
