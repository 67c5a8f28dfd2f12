import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the customer's server behaves. `slow` answers after a delay, `reset` ends the connection without an answer. */
export type ReceiverMode =
  | { readonly kind: 'ok' }
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'reset' };

export interface PushText {
  readonly text: string;
  /** Start of the request, epoch ms. */
  readonly atMs: number;
}

export interface ReceiverPlace {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

const BODY_BYTES_MAX = 1_048_576;

/** A customhttp web server that can be told to misbehave, to go away and to come back on the same port. */
export class DrillReceiver {
  private server: Server | undefined;
  private place: ReceiverPlace;
  private mode: ReceiverMode = { kind: 'ok' };

  private constructor(
    place: ReceiverPlace,
    private readonly onPush: (push: PushText) => void,
  ) {
    this.place = place;
  }

  static async start(place: ReceiverPlace, onPush: (push: PushText) => void): Promise<DrillReceiver> {
    const receiver = new DrillReceiver(place, onPush);
    await receiver.open();
    return receiver;
  }

  get port(): number {
    return this.place.port;
  }

  behave(mode: ReceiverMode): void {
    this.mode = mode;
  }

  /** Listens again on the same port. */
  async open(): Promise<void> {
    const server = createServer((request, response) => this.receive(request, response));
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.place.port, this.place.host, resolve);
    });
    this.place = { host: this.place.host, port: (server.address() as AddressInfo).port };
    this.server = server;
  }

  /** Refuses connections from now on and cuts those that are there. */
  async close(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  private receive(request: IncomingMessage, response: ServerResponse): void {
    const atMs = performance.timeOrigin + performance.now();
    const { mode } = this;
    if (mode.kind === 'reset') {
      request.socket.destroy();
      return;
    }
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > BODY_BYTES_MAX) request.destroy();
    });
    request.on('end', () => {
      const status = mode.kind === 'status' ? mode.status : 200;
      const answer = () => response.writeHead(status, { 'content-length': '0' }).end();
      if (mode.kind === 'slow') setTimeout(answer, mode.delayMs).unref();
      else answer();
      // A server that answers 500 has not taken the push.
      if (status < 300) this.onPush({ text, atMs });
    });
  }
}
