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
 * C1. A post goes on the connection that was used last, else on a new one. There are never more than `connectionsMax`.
 * C2. A connection that was used before is only written to when its socket has been looked at once more, since it was used
 *     and since the post came: some servers close right behind an answer, and then the post goes on another connection. A
 *     post that crosses the close on the wire is lost, and not repeated.
 * C3. A connection carries no further post after an answer that cannot be read, that says so, or that has more behind it.
 */
export class Http1Channel implements Channel {
  private readonly server: Http1Server;
  private readonly host: string;
  private readonly ports: Http1ConnectionPorts;
  private readonly connections = new Set<Http1Connection>();
  /** Looked at since they were used; last used last. */
  private readonly idle: Http1Connection[] = [];
  /** Freed in this turn of the event loop, and in the one before. */
  private freed: Http1Connection[] = [];
  private cooling: Http1Connection[] = [];
  /** Posts of this turn, and of the one before. */
  private arrived: Waiting[] = [];
  private looking: Waiting[] = [];
  private turnIsDue = false;
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
      freed: (connection) => {
        this.freed.push(connection);
        this.lookOnce();
      },
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
    const unused = this.idle.length + this.cooling.length + this.freed.length;
    if (unused > this.looking.length + this.arrived.length) {
      this.arrived.push({ post: wire, answer, startedAtMs });
      this.lookOnce();
    } else this.open().send(wire, answer, startedAtMs);
  }

  /** A process that stood still has not yet read the answers that came in time. */
  sweep(nowMs: number): void {
    const judge = () => {
      for (const connection of this.connections) connection.sweep(nowMs);
    };
    setImmediate(() => setImmediate(judge));
  }

  /** Ends at once what is still under way. */
  async close(): Promise<void> {
    this.isClosed = true;
    const waiting = [...this.looking, ...this.arrived];
    this.looking = [];
    this.arrived = [];
    for (const connection of this.connections) connection.fail(CLOSED);
    for (const { answer } of waiting) answer.end(CLOSED);
  }

  private open(): Http1Connection {
    const connection = new Http1Connection(this.server, this.ports);
    this.connections.add(connection);
    return connection;
  }

  private forget(connection: Http1Connection): void {
    this.connections.delete(connection);
    for (const list of [this.idle, this.cooling, this.freed]) {
      const at = list.lastIndexOf(connection);
      if (at >= 0) list.splice(at, 1);
    }
  }

  private lookOnce(): void {
    if (this.turnIsDue) return;
    this.turnIsDue = true;
    setImmediate(this.turn);
  }

  /** Sockets are read, then this runs: those of the turn before have been looked at since. */
  private readonly turn = (): void => {
    const { cooling, looking } = this;
    this.cooling = this.freed;
    this.freed = [];
    this.looking = this.arrived;
    this.arrived = [];
    this.idle.push(...cooling);
    const nowMs = this.options.nowMs();
    for (const waiting of looking) {
      const connection = this.lastUsed(nowMs) ?? this.openOne();
      if (connection === undefined) this.arrived.push(waiting);
      else connection.send(waiting.post, waiting.answer, waiting.startedAtMs);
    }
    this.turnIsDue = false;
    if (this.cooling.length + this.looking.length + this.arrived.length > 0) this.lookOnce();
  };

  /** None while there are enough, of which one can be used in the next turn. */
  private openOne(): Http1Connection | undefined {
    const areEnough = this.connections.size >= this.options.connectionsMax && this.cooling.length > 0;
    return areEnough ? undefined : this.open();
  }

  /** What has been idle for too long ends here, so that it does not count beside the connections that take its place. */
  private lastUsed(nowMs: number): Http1Connection | undefined {
    for (let last = this.idle.pop(); last !== undefined; last = this.idle.pop()) {
      if (!last.isStale(nowMs)) return last;
      last.fail(CLOSED);
    }
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
const ownFields = new Set(
  'content-length transfer-encoding connection keep-alive host upgrade expect te trailer'.split(' '),
);
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
