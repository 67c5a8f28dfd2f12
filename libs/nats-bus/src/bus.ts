import { parseNatsUrl } from '@flexpush/contracts';
import type { Duplex } from 'node:stream';
import { coalesceWrites } from './coalesced-writes';
import { Requests } from './requests';
import { NotThereError, waitFor } from './waiting';
import { connect, Events, type Msg, type NatsConnection } from 'nats';

export interface BusMessage {
  subject: string;
  text(): string;
  /** Answers a request; without effect on a plain publish. */
  respond(payload: string): void;
}

export type BusAnswer = { kind: 'answer'; text: string } | { kind: 'no-responders' } | { kind: 'timeout' };

/** Core NATS as the services use it: text payloads, no exception for an expected outcome. */
export interface Bus {
  publish(subject: string, payload: string): void;
  request(subject: string, payload: string, options: { timeoutMs: number }): Promise<BusAnswer>;
  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): { stop(): void };
  connected(): boolean;
  /** Resolves when the server has taken everything published so far. */
  flush(): Promise<void>;
  /** Drains the subscriptions and closes. */
  close(): Promise<void>;
}

export interface BusOptions {
  /** Hears `disconnect` and `reconnect`. */
  onStatus?: (status: string) => void;
  /** Takes what a message handler throws; without it the error is uncaught and ends the process. */
  onHandlerError?: (error: unknown) => void;
}

const decoder = new TextDecoder();

/** `Bus` over one connection; the adapters of this lib also use the connection itself. */
export class NatsBus implements Bus {
  private up = true;
  private readonly reconnectHandlers = new Set<() => void>();
  /** For the adapters of this lib. */
  readonly requests: Requests;

  constructor(
    readonly connection: NatsConnection,
    private readonly options: BusOptions = {},
  ) {
    this.requests = new Requests(connection, (handle) => this.guard(handle));
    this.coalesce();
    void this.watchStatus();
  }

  publish(subject: string, payload: string): void {
    // While the server is away the client drops it, as core NATS may; once closed it would throw.
    if (!this.connection.isClosed()) this.connection.publish(subject, payload);
  }

  async request(subject: string, payload: string, options: { timeoutMs: number }): Promise<BusAnswer> {
    try {
      const answer = await this.requests.send(subject, payload, options);
      return answer.kind === 'answer' ? { kind: 'answer', text: answer.message.string() } : answer;
    } catch {
      // It could not be sent, so nobody will answer.
      return { kind: 'timeout' };
    }
  }

  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options: { queue?: string } = {},
  ): { stop(): void } {
    const subscription = this.connection.subscribe(subject, {
      ...(options.queue ? { queue: options.queue } : {}),
      callback: (error, message) => {
        if (error === null) this.guard(() => handler(new TextMessage(message)));
      },
    });
    return { stop: () => subscription.unsubscribe() };
  }

  connected(): boolean {
    return this.up && !this.connection.isClosed();
  }

  async flush(): Promise<void> {
    await this.connection.flush();
  }

  async close(): Promise<void> {
    if (this.connected()) await this.connection.drain();
    // A drain that meets a lost server gives up without closing, and the client would reconnect for ever.
    await this.connection.close();
  }

  /** Calls the handler after each reconnect; returns how to end that. */
  onReconnect(handler: () => void): () => void {
    this.reconnectHandlers.add(handler);
    return () => this.reconnectHandlers.delete(handler);
  }

  /**
   * Runs what handles a message. An error that reached the client would end its read loop: the connection would stay
   * open and hear nothing more. So it goes round the client, and crashes the process unless someone takes it.
   */
  guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      const { onHandlerError } = this.options;
      if (onHandlerError) onHandlerError(error);
      else
        queueMicrotask(() => {
          throw error;
        });
    }
  }

  /** The client shows no socket, so it is taken from inside; should it move there, only the saving is gone. */
  private coalesce(): void {
    const inside = this.connection as unknown as { protocol?: { transport?: { socket?: Duplex } } };
    const socket = inside.protocol?.transport?.socket;
    if (socket) coalesceWrites(socket);
  }

  private async watchStatus(): Promise<void> {
    const { onStatus } = this.options;
    for await (const status of this.connection.status()) {
      if (status.type === Events.Disconnect) {
        this.up = false;
        this.requests.disconnected();
      }
      if (status.type === Events.Reconnect) {
        this.up = true;
        this.coalesce();
        for (const handler of this.reconnectHandlers) handler();
      }
      if (status.type === Events.Disconnect || status.type === Events.Reconnect) onStatus?.(status.type);
    }
    this.up = false;
    this.requests.close();
  }
}

class TextMessage implements BusMessage {
  constructor(private readonly message: Msg) {}
  get subject(): string {
    return this.message.subject;
  }
  text(): string {
    return decoder.decode(this.message.data);
  }
  respond(payload: string): void {
    this.message.respond(payload);
  }
}

/**
 * Connects, and goes on trying until it succeeds; afterwards the client reconnects by itself for ever. With a time-out
 * it throws `NotThereError` when no server has answered by then.
 */
export async function connectBus(
  options: { url: string; name: string; firstConnectTimeoutMs?: number } & BusOptions,
): Promise<NatsBus> {
  const { url, name, firstConnectTimeoutMs } = options;
  const open = (isPatient: boolean) =>
    connect({
      ...parseNatsUrl(url),
      name,
      // A server that takes connections and says nothing must not outlast the time-out either.
      ...(isPatient ? { waitOnFirstConnect: true } : { timeout: firstConnectTimeoutMs }),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 200,
      reconnectJitter: 50,
      pingInterval: 5_000,
      maxPingOut: 2,
      // A stack trace for every request costs more than the request.
      noAsyncTraces: true,
    });
  if (firstConnectTimeoutMs === undefined) return new NatsBus(await open(true), options);
  try {
    return new NatsBus(await waitFor(() => open(false), firstConnectTimeoutMs), options);
  } catch (error) {
    if (!(error instanceof NotThereError)) throw error;
    const { cause } = error;
    const reason = cause instanceof Error ? cause.message : 'no answer';
    throw new NotThereError(`no NATS server answers at ${url.replace(/\/\/[^@/]*@/g, '//')}: ${reason}`, {
      cause,
    });
  }
}
