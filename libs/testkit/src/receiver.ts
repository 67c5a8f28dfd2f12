import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RecordedPost {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Parsed JSON, or the text when it is none. */
  readonly body: unknown;
  /** Epoch ms. */
  readonly receivedAtMs: number;
}

type PostPredicate = (post: RecordedPost, all: readonly RecordedPost[]) => boolean;

interface Waiter {
  readonly predicate: PostPredicate;
  readonly resolve: (post: RecordedPost) => void;
}

/** Starts a receiver on a free port of loopback. The test must `close()` it. */
export async function startReceiver(options: { readonly port?: number } = {}): Promise<Receiver> {
  const receiver = new Receiver();
  await receiver.listen(options.port ?? 0);
  return receiver;
}

/**
 * An HTTP server that plays the customer's: it records every POST when its body is complete, and answers as
 * the test has told it. Posts are recorded before they are answered, also those that are held.
 */
export class Receiver {
  /** In order of arrival. */
  readonly posts: RecordedPost[] = [];
  private readonly waiters = new Set<Waiter>();
  private server: Server | undefined;
  private listenPort = 0;
  private answer: { readonly status: number; readonly delayMs: number } = { status: 200, delayMs: 0 };
  private held: (() => void)[] | undefined;

  /** `http://127.0.0.1:<port>`; it stays the same over `refuse()` and `accept()`. */
  get url(): string {
    return `http://127.0.0.1:${this.listenPort}`;
  }

  get port(): number {
    return this.listenPort;
  }

  /** How later posts are answered. */
  respondWith(status: number, delayMs: number = 0): void {
    this.answer = { status, delayMs };
  }

  /** Leaves later posts without an answer until `release()`. */
  hold(): void {
    this.held ??= [];
  }

  /** Answers the held posts, with the answer that stood when they came, and holds no more. */
  release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const answerNow of held) answerNow();
  }

  /** Closes the port and all connections, so that connecting is refused. */
  async refuse(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    this.server = undefined;
    this.held = this.held === undefined ? undefined : [];
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  /** Listens again on the same port after `refuse()`. */
  async accept(): Promise<void> {
    if (this.server === undefined) await this.listen(this.listenPort);
  }

  /** Forgets the recorded posts. */
  clear(): void {
    this.posts.length = 0;
  }

  /** The first post, recorded or to come, that the predicate takes. Rejects at the time-out with what was recorded. */
  waitFor(predicate: PostPredicate, timeoutMs: number = 5_000): Promise<RecordedPost> {
    const found = this.posts.find((post) => predicate(post, this.posts));
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        predicate,
        resolve: (post) => {
          clearTimeout(timer);
          this.waiters.delete(waiter);
          resolve(post);
        },
      };
      const timer = setTimeout(() => {
        this.waiters.delete(waiter);
        const seen = JSON.stringify(this.posts.slice(-5).map((post) => post.body));
        reject(
          new Error(`no such post within ${timeoutMs} ms; ${this.posts.length} recorded, the last: ${seen}`),
        );
      }, timeoutMs);
      this.waiters.add(waiter);
    });
  }

  /** Resolves when so many posts have been recorded. */
  async waitForCount(count: number, timeoutMs: number = 5_000): Promise<readonly RecordedPost[]> {
    if (this.posts.length < count) await this.waitFor((_, all) => all.length >= count, timeoutMs);
    return this.posts.slice(0, count);
  }

  async close(): Promise<void> {
    await this.refuse();
  }

  /** @internal use `startReceiver` */
  async listen(port: number): Promise<void> {
    const server = createServer((request, response) => this.handle(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    this.server = server;
    this.listenPort = (server.address() as AddressInfo).port;
  }

  private handle(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    // A sender that hangs up has not posted anything.
    request.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { status, delayMs } = this.answer;
      const answerNow = () => {
        if (!response.destroyed) response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
      };
      if (this.held !== undefined) this.held.push(answerNow);
      else if (delayMs > 0) setTimeout(answerNow, delayMs);
      else answerNow();
      this.record(request, Buffer.concat(chunks).toString('utf8'));
    });
  }

  private record(request: IncomingMessage, text: string): void {
    const post: RecordedPost = {
      path: request.url ?? '/',
      headers: request.headers,
      body: parseOrText(text),
      receivedAtMs: Date.now(),
    };
    this.posts.push(post);
    for (const waiter of [...this.waiters]) {
      if (waiter.predicate(post, this.posts)) waiter.resolve(post);
    }
  }
}

function parseOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Tests look at what was sent, good or bad.
    return text;
  }
}
