import { parseJson, type ChatResponse } from '@flexpush/contracts';
import { WebSocket } from 'undici';
import type { BayeuxMessage } from './bayeux-caller';
import type { ParityTarget } from './parity-target';

const WAIT_MS = 5_000;

/** A CometD client over one WebSocket, frame by frame. The cookie is that of its own upgrade. */
export class BayeuxSocket {
  private readonly received: BayeuxMessage[] = [];
  private waiters: (() => void)[] = [];
  private id = 0;
  private clientId: string | undefined;

  private constructor(
    private readonly socket: WebSocket,
    private readonly channel: string,
  ) {
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      const messages = typeof data === 'string' ? parseJson(data) : undefined;
      if (Array.isArray(messages)) this.received.push(...(messages as BayeuxMessage[]));
      for (const wake of this.waiters.splice(0)) wake();
    });
  }

  static async open({ settings }: ParityTarget): Promise<BayeuxSocket> {
    const { baseUrl, app, service } = settings;
    const socket = new WebSocket(`${baseUrl.replace(/^http/, 'ws')}/${app}/cometd`);
    const client = new BayeuxSocket(socket, `/service/chatV2/${service}`);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => fail('in time'), WAIT_MS);
      const fail = (why: string) => {
        clearTimeout(timer);
        reject(new Error(`the WebSocket did not open ${why}`));
      };
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.addEventListener('error', () => fail('at all'));
    });
    return client;
  }

  /** Sends one message, and resolves with the acknowledgement of it. */
  async post(message: object): Promise<BayeuxMessage> {
    const id = this.send(message);
    const reply = await this.until('acknowledgement', (one) => one.id === id && one.data === undefined);
    this.clientId ??= reply.clientId;
    return reply;
  }

  publish(data: object): Promise<BayeuxMessage> {
    return this.post({ channel: this.channel, data });
  }

  /** The server keeps it until there is something to say, so its answer is not waited for. */
  connect(): void {
    this.send({ channel: '/meta/connect', connectionType: 'websocket' });
  }

  /** The first answer on the channel that is as asked. */
  async answer(what: string, fits: (answer: ChatResponse) => boolean): Promise<ChatResponse> {
    const { data } = await this.until(what, ({ data }) => data !== undefined && fits(data));
    return data as ChatResponse;
  }

  close(): void {
    this.socket.close();
  }

  private send(message: object): string {
    const id = String(++this.id);
    this.socket.send(JSON.stringify([{ id, clientId: this.clientId, ...message }]));
    return id;
  }

  private async until(what: string, fits: (message: BayeuxMessage) => boolean): Promise<BayeuxMessage> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const found = this.received.find(fits);
      if (found) return found;
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new Error(`no ${what} came within ${WAIT_MS} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}
