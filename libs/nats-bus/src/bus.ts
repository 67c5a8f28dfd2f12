import { connect, Events, NatsError, type Msg, type NatsConnection } from 'nats';

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

const decoder = new TextDecoder();

/** JSON, or undefined when the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** `Bus` over one connection; the adapters of this lib also use the connection itself. */
export class NatsBus implements Bus {
  private up = true;

  constructor(
    readonly connection: NatsConnection,
    onStatus?: (status: string) => void,
  ) {
    void this.watchStatus(onStatus);
  }

  publish(subject: string, payload: string): void {
    // While reconnecting the client buffers; once closed nobody is left to hear.
    if (!this.connection.isClosed()) this.connection.publish(subject, payload);
  }

  async request(subject: string, payload: string, options: { timeoutMs: number }): Promise<BusAnswer> {
    try {
      const answer = await this.connection.request(subject, payload, { timeout: options.timeoutMs });
      return { kind: 'answer', text: answer.string() };
    } catch (error) {
      if (error instanceof NatsError && error.code === '503') return { kind: 'no-responders' };
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
        if (error === null) handler(new TextMessage(message));
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
    if (!this.connection.isClosed()) await this.connection.drain();
  }

  private async watchStatus(onStatus?: (status: string) => void): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === Events.Disconnect) this.up = false;
      if (status.type === Events.Reconnect) this.up = true;
      if (status.type === Events.Disconnect || status.type === Events.Reconnect) onStatus?.(status.type);
    }
    this.up = false;
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

/** Connects, and goes on trying until it succeeds; afterwards the client reconnects by itself for ever. */
export async function connectBus(options: {
  url: string;
  name: string;
  onStatus?: (status: string) => void;
}): Promise<NatsBus> {
  const connection = await connect({
    servers: options.url.split(',').map((server) => server.trim()),
    name: options.name,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    reconnectJitter: 50,
    pingInterval: 5_000,
    maxPingOut: 2,
  });
  return new NatsBus(connection, options.onStatus);
}
