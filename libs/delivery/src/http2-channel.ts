import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { AnswerReader } from './answer';
import type { HttpConnection } from './connection';
import { Exchanges, type OpenExchange } from './exchanges';
import type { Channel, HttpChannelOptions, HttpPost, PostOutcome } from './channel';

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants;

export type Http2ChannelOptions = Pick<
  HttpChannelOptions,
  'connectTimeoutMs' | 'answerTimeoutMs' | 'exchangeTimeoutMs' | 'nowMs'
>;

/**
 * One HTTP/2 connection with many posts on it. It is node's own client, because undici's (and so that of the libraries
 * for APNs that are built on it) fails every post in flight when the server says, with a graceful GOAWAY, that it will
 * close: those that the server had taken would count as failed.
 *
 * H1. Posts go on the newest connection; one that says GOAWAY, or leaves a post without an answer, gets no more, and the
 *     posts that are on it may end.
 * H2. A post is sent again only when the server has said that it did not touch it (REFUSED_STREAM), and once.
 */
export class Http2Channel implements Channel {
  private session: ClientHttp2Session | undefined;
  private readonly sessions = new Set<ClientHttp2Session>();
  private readonly exchanges: Exchanges<StreamExchange>;
  private closed = false;

  constructor(
    private readonly connection: HttpConnection,
    private readonly options: Http2ChannelOptions,
  ) {
    this.exchanges = new Exchanges(options.exchangeTimeoutMs);
  }

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    this.exchanges.start(done, {
      make: (tell) =>
        new StreamExchange(this.options.nowMs(), new AnswerReader(post.keepsAnswer === true, tell)),
      send: (exchange) => this.send(post, exchange, true),
    });
  }

  sweep(nowMs: number): void {
    this.exchanges.sweep(nowMs);
  }

  /** Ends at once what is still under way. */
  async close(): Promise<void> {
    this.closed = true;
    for (const session of this.sessions) session.destroy();
    for (const exchange of this.exchanges) exchange.fail({ cause: 'connection', code: 'CLOSED' });
  }

  private send(post: HttpPost, exchange: StreamExchange, mayRepeat: boolean): void {
    if (this.closed) {
      exchange.fail({ cause: 'connection', code: 'CLOSED' });
      return;
    }
    try {
      const session = this.session ?? this.openSession();
      const stream = session.request(headersOf(post));
      stream.setTimeout(this.connection.answerTimeoutMs ?? this.options.answerTimeoutMs, () => {
        this.retire(session);
        exchange.giveUp('ANSWER_TIMEOUT');
      });
      exchange.follow(stream, {
        refused: () => {
          this.retire(session);
          if (!mayRepeat) return false;
          this.send(post, exchange, false);
          return true;
        },
        lost: (done) => {
          // Streams end before their connection says why.
          if (session.destroyed && this.sessions.has(session))
            session.once('close', () => done(sessionErrors.get(session)));
          else done(sessionErrors.get(session));
        },
      });
      stream.end(post.body);
    } catch (error) {
      exchange.fail({ cause: 'connection', code: codeOf(error) ?? 'unknown' });
    }
  }

  private openSession(): ClientHttp2Session {
    const { origin, tls } = this.connection;
    const session = connect(origin, { ...tls });
    const connectTimeoutMs = this.connection.connectTimeoutMs ?? this.options.connectTimeoutMs;
    const timer = setTimeout(() => {
      sessionErrors.set(session, { cause: 'timeout', code: 'CONNECT_TIMEOUT' });
      session.destroy();
    }, connectTimeoutMs);
    session.once('connect', () => clearTimeout(timer));
    session.on('error', (error) => {
      if (!sessionErrors.has(session))
        sessionErrors.set(session, { cause: 'connection', code: codeOf(error) ?? 'unknown' });
      this.retire(session);
    });
    session.on('goaway', () => this.retire(session));
    session.once('close', () => {
      clearTimeout(timer);
      this.sessions.delete(session);
      this.retire(session);
    });
    this.sessions.add(session);
    this.session = session;
    return session;
  }

  /** Gives it no more posts; it closes when those on it have ended. */
  private retire(session: ClientHttp2Session): void {
    if (this.session === session) this.session = undefined;
    if (!session.closed && !session.destroyed) session.close();
  }
}

type Unreached = Omit<Extract<PostOutcome, { kind: 'unreached' }>, 'kind'>;

/** Why a connection ended; its streams only say that they were cancelled. */
const sessionErrors = new WeakMap<ClientHttp2Session, Unreached>();

function headersOf(post: HttpPost): Record<string, string> {
  const headers: Record<string, string> = {
    ':method': 'POST',
    ':path': post.path,
    'content-length': String(Buffer.byteLength(post.body)),
  };
  for (let at = 0; at + 1 < post.headers.length; at += 2) {
    const [name, value] = [post.headers[at], post.headers[at + 1]];
    if (name !== undefined && value !== undefined) headers[name] = value;
  }
  return headers;
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** What the channel does about a stream that ended without an answer. */
interface StreamEnds {
  /** The server did not touch it; says whether it is sent again. */
  refused: () => boolean;
  /** Tells why the connection ended, if it has. */
  lost: (done: (why: Unreached | undefined) => void) => void;
}

/** One post and its answer, on one stream at a time. */
class StreamExchange implements OpenExchange {
  private stream: ClientHttp2Stream | undefined;

  constructor(
    readonly startedAtMs: number,
    private readonly answer: AnswerReader,
  ) {}

  follow(stream: ClientHttp2Stream, on: StreamEnds): void {
    const { answer } = this;
    this.stream = stream;
    let code: string | undefined;
    stream.on('response', (headers) => (answer.status = headers[':status']));
    stream.on('data', (chunk: Buffer) => {
      if (answer.take(chunk) === 'too-long') stream.close(NGHTTP2_CANCEL);
    });
    stream.on('error', (error) => (code = codeOf(error)));
    stream.once('close', () => {
      if (answer.told) return;
      const lost: Unreached = { cause: 'connection', code: code ?? 'STREAM_CLOSED' };
      if (answer.status !== undefined) answer.end({ kind: 'unreached', ...lost });
      else if (stream.rstCode !== NGHTTP2_REFUSED_STREAM || !on.refused())
        on.lost((why) => this.fail(why ?? lost));
    });
  }

  /** Ends it from our side. */
  giveUp(code = 'EXCHANGE_TIMEOUT'): void {
    if (this.answer.status === undefined) this.fail({ cause: 'timeout', code });
    this.stream?.close(NGHTTP2_CANCEL);
  }

  fail(why: Unreached): void {
    this.answer.tell({ kind: 'unreached', ...why });
  }
}
