import type { ChatEvent, ChatResponse } from '@flexpush/contracts';
import type { CometD, Extension, Message } from 'cometd';
// Before the library itself, to which it adds its class.
import 'cometd/AckExtension.js';
import * as cometdLibrary from 'cometd';
import { adapt } from 'cometd-nodejs-client';

/** Generous: two loaded cores. */
const WAIT_MS = 10_000;

export type CometTransport = 'websocket' | 'long-polling';

interface Waiter {
  isMet: () => boolean;
  resolve: () => void;
}

const { CometD: Client, AckExtension } = cometdLibrary as unknown as {
  CometD: new () => CometD;
  AckExtension: new () => Extension;
};

/** Once for all clients: they share a cookie jar, as tabs of one browser do. */
let isAdapted = false;

/** A customer's web application: the CometD project's own client, and what arrived at it. */
export class CometClient {
  readonly cometd: CometD;
  readonly received: Message[] = [];
  private waiters: Waiter[] = [];

  constructor(
    transport: CometTransport,
    url: string,
    private readonly channel = '/service/chatV2/support-web',
  ) {
    if (!isAdapted) adapt();
    isAdapted = true;
    this.cometd = new Client();
    for (const other of this.cometd.getTransportTypes())
      if (other !== transport) this.cometd.unregisterTransport(other);
    this.cometd.configure({ url, logLevel: 'warn', backoffIncrement: 50 });
    this.cometd.addListener(channel, (message) => {
      this.received.push(message);
      this.look();
    });
    // Their own words for it are on the console else.
    for (const level of ['_warn', '_info', '_debug'] as const)
      Object.assign(this.cometd, { [level]: () => undefined });
  }

  /** From the next handshake on it says which messages it has. */
  acknowledge(): void {
    this.cometd.registerExtension('ack', new AckExtension());
  }

  handshake(): Promise<Message> {
    return new Promise((resolve) => this.cometd.handshake(resolve));
  }

  publish(data: unknown): Promise<Message> {
    return new Promise((resolve) => this.cometd.publish(this.channel, data as object, resolve));
  }

  /** Publishes an operation and resolves with its reply on the channel. */
  async operate(operation: string, fields: object = {}): Promise<ChatResponse> {
    const ack = await this.publish({ operation, ...fields });
    if (ack.successful !== true) throw new Error(`not acknowledged: ${JSON.stringify(ack)}`);
    const isReply = (message: Message) => message.id === ack.id;
    await this.until(`the reply to ${operation}`, () => this.received.some(isReply));
    return (this.received.find(isReply) as Message).data as ChatResponse;
  }

  /** Positions in the order of their arrival. */
  indexes(): number[] {
    return this.events().map(({ index }) => index ?? 0);
  }

  events(): ChatEvent[] {
    return this.received.flatMap(({ data }) => (data as ChatResponse).messages);
  }

  async until(what: string, isMet: () => boolean): Promise<void> {
    if (isMet()) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${WAIT_MS} ms: ${what}`)), WAIT_MS);
      this.waiters.push({ isMet, resolve });
    }).finally(() => clearTimeout(timer));
  }

  disconnect(ext?: object): Promise<void> {
    const props = ext === undefined ? {} : { ext };
    if (this.cometd.isDisconnected()) return Promise.resolve();
    return new Promise((resolve) => this.cometd.disconnect(props, () => resolve()));
  }

  private look(): void {
    const met = this.waiters.filter(({ isMet }) => isMet());
    this.waiters = this.waiters.filter((waiter) => !met.includes(waiter));
    for (const { resolve } of met) resolve();
  }
}
