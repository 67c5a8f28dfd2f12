import { subjects, parseNatsUrl } from '@flexpush/contracts';
import type { Logger } from '@flexpush/process';
import type { INestApplication, INestMicroservice } from '@nestjs/common';
import { Transport, type NatsOptions } from '@nestjs/microservices';
import type { NatsConnection } from 'nats';
import { PlainJsonDeserializer, PlainJsonSerializer } from './plain-json-codec';
import type { ViewBus } from './view-publisher';

const RECONNECT_WAIT_MS = 200;
const RECONNECT_JITTER_MS = 50;
/** A dead connection is noticed after three of these, and not after the library's minutes. */
const PING_INTERVAL_MS = 1_000;
const PINGS_OUT_MAX = 2;
/** Handlers are synchronous, so this only lets those in the queue of the event loop finish. */
const CLOSE_GRACE_MS = 100;

/** How the Nest NATS transport is set up: our codec, for ever reconnecting, waiting for handlers at close. */
export function natsOptions(connection: { url: string; name: string }): NatsOptions {
  return {
    transport: Transport.NATS,
    options: {
      ...parseNatsUrl(connection.url),
      name: connection.name,
      deserializer: new PlainJsonDeserializer(new Set<string>([subjects.registryView])),
      serializer: new PlainJsonSerializer(),
      waitOnFirstConnect: true,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: PINGS_OUT_MAX,
      gracefulShutdown: true,
      gracePeriod: CLOSE_GRACE_MS,
    },
  };
}

const encoder = new TextEncoder();

/**
 * The registry's one NATS connection: Nest's transport subscribes on it, views leave by it. A second connection for
 * publishing was rejected: it could be up while the listening one is down, and the view would then be told by a
 * registry that hears nobody.
 */
export class NatsEdge implements ViewBus {
  private microservice: INestMicroservice | undefined;
  private connection: NatsConnection | undefined;
  private up = false;
  private closing = false;

  constructor(
    private readonly options: { url: string; name: string; log: Logger; onReconnect: () => void },
  ) {}

  attach(app: INestApplication): void {
    this.microservice = app.connectMicroservice<NatsOptions>(natsOptions(this.options));
    this.microservice.status.subscribe((status) => this.follow(String(status)));
  }

  /** Resolves when connected and subscribed; waits for NATS as long as it takes. */
  async listen(): Promise<void> {
    const microservice = this.microservice;
    if (microservice === undefined) throw new Error('attach the Nest app before listening');
    await microservice.listen();
    this.connection = microservice.unwrap<NatsConnection>();
    // The server has taken our subscriptions when it answers; from here on every heartbeat is heard.
    await this.connection.flush();
    void this.watchEnd(this.connection);
  }

  connected(): boolean {
    return this.up && this.connection !== undefined && !this.connection.isClosed();
  }

  publish(subject: string, text: string): void {
    if (this.connected()) this.connection?.publish(subject, encoder.encode(text));
  }

  /** Unsubscribes, lets running handlers finish, then closes. */
  async close(): Promise<void> {
    this.closing = true;
    // A flush waits for the server; without one there is nothing to wait for.
    if (this.connected()) await this.connection?.flush();
    await this.microservice?.close();
  }

  private follow(status: string): void {
    const wasUp = this.up;
    this.up = status === 'connected';
    if (this.up === wasUp) return;
    this.options.log[this.up ? 'info' : 'warn']({ status }, 'nats.status');
    // At the first connect nothing listens yet; start() of the publisher begins the listening.
    if (this.up && this.connection !== undefined) this.options.onReconnect();
  }

  /** The client gives up for good only when the server refuses our credentials; a new start may have better ones. */
  private async watchEnd(connection: NatsConnection): Promise<void> {
    const error = await connection.closed();
    if (!this.closing) throw new Error('the NATS connection was closed for good', { cause: error });
  }
}
