import type { ChatResponse } from '@flexpush/contracts';
import type { HttpAnswer, ParityTarget } from './parity-target';

export interface BayeuxMessage {
  channel: string;
  id?: string;
  successful?: boolean;
  clientId?: string;
  error?: string;
  advice?: { reconnect?: string };
  data?: ChatResponse;
}

const WAIT_MS = 5_000;

/** A CometD client on the wire: long-polling, one message per request, so that differences show as they are. */
export class BayeuxCaller {
  private cookie = '';
  private id = 0;
  clientId = '';
  /** Everything that came on service channels. */
  readonly received: ChatResponse[] = [];
  private connecting: Promise<void> | undefined;
  private isClosed = false;

  constructor(private readonly target: ParityTarget) {}

  get channel(): string {
    return `/service/chatV2/${this.target.settings.service}`;
  }

  /** One request; the replies that are not data. */
  async post(message: object): Promise<BayeuxMessage[]> {
    const { bytes, headers } = await this.target.http({
      path: `/${this.target.settings.app}/cometd`,
      headers: { 'content-type': 'application/json', ...(this.cookie ? { cookie: this.cookie } : {}) },
      body: JSON.stringify([{ id: String(++this.id), clientId: this.clientId || undefined, ...message }]),
    });
    const set = [headers['set-cookie'] ?? []].flat().find((line) => line.startsWith('BAYEUX_BROWSER='));
    if (set !== undefined) this.cookie = set.split(';')[0] ?? '';
    const messages = JSON.parse(bytes.toString('utf8')) as BayeuxMessage[];
    for (const { data } of messages) if (data) this.received.push(data);
    return messages.filter(({ data }) => !data);
  }

  async handshake(): Promise<BayeuxMessage | undefined> {
    const [reply] = await this.post({
      channel: '/meta/handshake',
      version: '1.0',
      minimumVersion: '1.0',
      supportedConnectionTypes: ['long-polling'],
    });
    this.clientId = reply?.clientId ?? '';
    return reply;
  }

  /** Keeps a /meta/connect under way until the client is closed. */
  listen(): void {
    const loop = async (): Promise<void> => {
      while (!this.isClosed) {
        const [reply] = await this.post({ channel: '/meta/connect', connectionType: 'long-polling' });
        if (reply?.successful !== true) return;
      }
    };
    this.connecting = loop().catch(() => undefined);
  }

  async publish(data: object): Promise<BayeuxMessage | undefined> {
    const [reply] = await this.post({ channel: this.channel, data });
    return reply;
  }

  /** The first answer that is as asked. */
  async until(what: string, fits: (answer: ChatResponse) => boolean): Promise<ChatResponse> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      const found = this.received.find(fits);
      if (found) return found;
      if (performance.now() > endMs) throw new Error(`no ${what} came within ${WAIT_MS} ms`);
      await new Promise<void>((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The answer that carries the event of this type. */
  event(type: string): Promise<ChatResponse> {
    return this.until(type, ({ messages }) => messages.some((message) => message.type === type));
  }

  /** A file operation by HTTP, with the cookie of the handshake (CONTRACT 2.3). */
  file(fields: Record<string, string>, file?: { name: string; content: Buffer }): Promise<HttpAnswer> {
    const path = `/${this.target.settings.app}/2/chat-ntf`;
    return this.target.multipart(path, fields, { cookie: this.cookie, ...(file ? { file } : {}) });
  }

  /** As a client that goes to the background. */
  async disconnect(more: object = {}): Promise<void> {
    this.isClosed = true;
    await this.post({ channel: '/meta/disconnect', ...more });
    await this.connecting;
  }
}
