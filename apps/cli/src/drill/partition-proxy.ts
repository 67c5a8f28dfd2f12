import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * A TCP proxy on loopback that can become a black hole: connections stay, nothing passes, and new ones are accepted and
 * never answered, as behind a cut cable. Healed, everything that was held back passes, as after a retransmission.
 */
export class PartitionProxy {
  private readonly pairs = new Set<Pair>();
  private isCut = false;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(target: { host: string; port: number }): Promise<PartitionProxy> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const proxy = new PartitionProxy(server, (server.address() as AddressInfo).port);
    server.on('connection', (client) => proxy.join(client, target));
    return proxy;
  }

  cut(): void {
    this.isCut = true;
    for (const pair of this.pairs) this.hold(pair);
  }

  heal(): void {
    this.isCut = false;
    for (const pair of this.pairs) this.pass(pair);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const { client, server } of this.pairs) {
      client.destroy();
      server.destroy();
    }
    await closed;
  }

  private join(client: Socket, target: { host: string; port: number }): void {
    const pair = { client, server: connect(target.port, target.host) };
    this.pairs.add(pair);
    for (const [from, to] of [
      [pair.client, pair.server],
      [pair.server, pair.client],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (chunk) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on('drain', () => {
        if (!this.isCut) from.resume();
      });
      // An end passes too, but not through a cut cable; `heal` looks again.
      from.on('close', () => this.end(pair, to));
      from.on('error', () => undefined);
    }
    if (this.isCut) this.hold(pair);
  }

  private end(pair: Pair, other: Socket): void {
    if (this.isCut) return;
    this.pairs.delete(pair);
    other.destroy();
  }

  private hold({ client, server }: Pair): void {
    client.pause();
    server.pause();
  }

  private pass(pair: Pair): void {
    const { client, server } = pair;
    if (client.destroyed || server.destroyed) {
      this.pairs.delete(pair);
      client.destroy();
      server.destroy();
      return;
    }
    client.resume();
    server.resume();
  }
}
