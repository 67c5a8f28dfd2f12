import { AnswerReader } from './answer';
import type { HttpConnection } from './connection';
import type { Channel, HttpChannelOptions, HttpPost, PostOutcome, Unreached } from './channel';
import {
  Http1Connection,
  type Http1ConnectionPorts,
  type Http1Server,
  type WirePost,
} from './http1-connection';

interface Waiting {
  post: WirePost;
  answer: AnswerReader;
  startedAtMs: number;
}

const CLOSED: Unreached = { kind: 'unreached', cause: 'connection', code: 'CLOSED' };
const NOT_SENDABLE: Unreached = { kind: 'unreached', cause: 'connection', code: 'INVALID_REQUEST' };

/**
 * HTTP/1 to one server, one post per connection at a time.
 *
 * C1. A post goes on the connection whose answer has just been read, else on the one that was used last, else on a new
 *     one. So there are never more connections than posts were in flight at once.
 * C2. An idle connection is only written to after its socket has been looked at once more: when the server has closed
 *     it by then, the post goes on another one. A post that crosses the close on the wire is lost, and not repeated.
 * C3. A connection carries no further post after an answer that cannot be read, that says so, or that has more behind it.
 */
export class Http1Channel implements Channel {
  private readonly server: Http1Server;
  private readonly host: string;
  private readonly ports: Http1ConnectionPorts;
  private readonly connections = new Set<Http1Connection>();
  /** Last used last. */
  private readonly idle: Http1Connection[] = [];
  /** Its answer has just been read, and is being told. */
  private free: Http1Connection | undefined;
  /** Posts that wait for the idle connections to be looked at. */
  private waiting: Waiting[] = [];
  private heads: { path: string; headers: string[]; text: string | undefined } | undefined;
  private isClosed = false;

  constructor(
    connection: Omit<HttpConnection, 'proxy'>,
    private readonly options: HttpChannelOptions,
  ) {
    const url = new URL(connection.origin);
    const isSecure = url.protocol === 'https:';
    this.host = url.host;
    this.server = {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
      tls: isSecure ? (connection.tls ?? {}) : undefined,
    };
    this.ports = {
      nowMs: options.nowMs,
      connectTimeoutMs: connection.connectTimeoutMs ?? options.connectTimeoutMs,
      answerTimeoutMs: connection.answerTimeoutMs ?? options.answerTimeoutMs,
      exchangeTimeoutMs: options.exchangeTimeoutMs,
      freed: (freed, tell) => this.reuse(freed, tell),
      closed: (closed) => this.forget(closed),
      session: { current: undefined },
    };
  }

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    const head = this.headOf(post);
    if (this.isClosed || head === undefined) {
      queueMicrotask(() => done(head === undefined ? NOT_SENDABLE : CLOSED));
      return;
    }
    const wire = { head, body: post.body };
    const answer = new AnswerReader(post.keepsAnswer === true, done);
    const startedAtMs = this.options.nowMs();
    const { free } = this;
    if (free !== undefined) {
      this.free = undefined;
      free.send(wire, answer, startedAtMs);
    } else if (this.idle.length > this.waiting.length) {
      this.waiting.push({ post: wire, answer, startedAtMs });
      if (this.waiting.length === 1) this.lookAtIdle();
    } else this.open().send(wire, answer, startedAtMs);
  }

  sweep(nowMs: number): void {
    for (const connection of this.connections) connection.sweep(nowMs);
  }

  /** Ends at once what is still under way. */
  async close(): Promise<void> {
    this.isClosed = true;
    const waiting = this.takeWaiting();
    for (const connection of this.connections) connection.fail(CLOSED);
    for (const { answer } of waiting) answer.end(CLOSED);
  }

  private open(): Http1Connection {
    const connection = new Http1Connection(this.server, this.ports);
    this.connections.add(connection);
    return connection;
  }

  private reuse(connection: Http1Connection, tell: () => void): void {
    this.free = connection;
    tell();
    if (this.free !== connection) return;
    this.free = undefined;
    connection.rest(this.options.nowMs());
    this.idle.push(connection);
  }

  private forget(connection: Http1Connection): void {
    this.connections.delete(connection);
    if (this.free === connection) this.free = undefined;
    const at = this.idle.lastIndexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
  }

  /**
   * Posts come while sockets may hold what nobody has read. The first step is still of this turn of the event loop; behind
   * the second one the sockets have been read.
   */
  private lookAtIdle(): void {
    setImmediate(() => setImmediate(() => this.sendWaiting()));
  }

  private sendWaiting(): void {
    const nowMs = this.options.nowMs();
    for (const { post, answer, startedAtMs } of this.takeWaiting())
      (this.lastUsed(nowMs) ?? this.open()).send(post, answer, startedAtMs);
  }

  private takeWaiting(): Waiting[] {
    const { waiting } = this;
    this.waiting = [];
    return waiting;
  }

  private lastUsed(nowMs: number): Http1Connection | undefined {
    const last = this.idle.pop();
    // Whoever was used before it is staler still, and is left to the sweep.
    if (last?.isStale(nowMs) !== true) return last;
    this.idle.push(last);
    return undefined;
  }

  /** The head without its length; undefined when it cannot be one. Most posts to a server have the same. */
  private headOf({ path, headers }: HttpPost): string | undefined {
    const { heads } = this;
    if (heads !== undefined && heads.headers === headers && heads.path === path) return heads.text;
    const text = headText(this.host, path, headers);
    this.heads = { path, headers, text };
    return text;
  }
}

/** Fields that decide on how the bytes are read, and are this channel's own. */
const ownFields = new Set([
  ...[
    'content-length',
    'transfer-encoding',
    'connection',
    'keep-alive',
    'host',
    'upgrade',
    'expect',
    'te',
    'trailer',
  ],
]);
const pathPattern = /^\/[\x21-\x7e]*$/;
const namePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;

function headText(host: string, path: string, headers: readonly string[]): string | undefined {
  if (!pathPattern.test(path)) return undefined;
  let text = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (let at = 0; at < headers.length; at += 2) {
    const [name = '', value = ''] = [headers[at], headers[at + 1]];
    if (!namePattern.test(name) || !valuePattern.test(value) || ownFields.has(name.toLowerCase()))
      return undefined;
    text += `${name}: ${value}\r\n`;
  }
  return text;
}
