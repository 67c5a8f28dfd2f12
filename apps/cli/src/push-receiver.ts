import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What arrived, as JSON text, and when (epoch ms, with fractions). */
export interface ReceivedPush {
  readonly text: string;
  readonly atMs: number;
}

const BODY_BYTES_MAX = 1_048_576;

/** A customhttp web server on loopback that answers 200 to each POST and hands it on. */
export class PushReceiver {
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  /** On a free port of loopback, unless told otherwise. */
  static async start(
    onPush: (push: ReceivedPush) => void,
    { host, port }: { host: string; port: number } = { host: '127.0.0.1', port: 0 },
  ): Promise<PushReceiver> {
    const server = createServer((request, response) => receive(request, response, onPush));
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    return new PushReceiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}/push`);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

function receive(
  request: IncomingMessage,
  response: ServerResponse,
  onPush: (push: ReceivedPush) => void,
): void {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) request.destroy();
  });
  request.on('end', () => {
    response.writeHead(200, { 'content-length': '0' }).end();
    onPush({ text, atMs: performance.timeOrigin + performance.now() });
  });
}
