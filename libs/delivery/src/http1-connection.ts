import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { AnswerReader } from './answer';
import { CONNECTION_IDLE_MAX_MS } from './bounds';
import type { Unreached } from './channel';
import type { TlsSettings } from './connection';
import { Http1Answer } from './http1-answer';
import { unreached } from './unreached';

/** Where a connection goes. */
export interface Http1Server {
  host: string;
  port: number;
  /** Undefined: without TLS. */
  tls: TlsSettings | undefined;
}

/** A POST as it goes over the wire. */
export interface WirePost {
  /** Up to the empty line, without the length. */
  head: string;
  body: string;
}

export interface Http1ConnectionPorts {
  nowMs: () => number;
  connectTimeoutMs: number;
  answerTimeoutMs: number;
  exchangeTimeoutMs: number;
  /** The connection may carry another post. */
  freed: (connection: Http1Connection) => void;
  /** It carries nothing more. */
  closed: (connection: Http1Connection) => void;
  /** The newest TLS session with this server, so that the next connection need not begin from nothing. */
  session: { current: Buffer | undefined };
}

const READ_BYTES = 65_536;
/** One for all connections: what is read is told before anything else is read. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
const KEEP_ALIVE_PROBE_MS = 60_000;
/** A server that closes idle connections after some time is not written to in the last second of it. */
const IDLE_HINT_MARGIN_MS = 1_000;

const told = (cause: 'timeout' | 'connection', code: string): Unreached => ({
  kind: 'unreached',
  cause,
  code,
});

/**
 * One connection to a web server, with one post on it at a time. It is not undici's (which has a parser in WebAssembly, a
 * stream and an object or two for each request) because that was a quarter of all that a delivery costs; see
 * docs/performance.md.
 */
export class Http1Connection {
  private readonly socket: Socket;
  private readonly parser = new Http1Answer();
  private open = true;
  private connected = false;
  private answer: AnswerReader | undefined;
  /** What waits for the connection to be there. */
  private unsent: WirePost | undefined;
  private startedAtMs = 0;
  private heardAtMs = 0;
  private idleSinceMs = 0;
  private idleMaxMs = CONNECTION_IDLE_MAX_MS;

  constructor(
    server: Http1Server,
    private readonly ports: Http1ConnectionPorts,
  ) {
    const { host, port, tls } = server;
    if (tls === undefined) {
      const callback = (bytes: number) => this.read(readBuffer.toString('latin1', 0, bytes));
      this.socket = connect({ host, port, onread: { buffer: readBuffer, callback } }, () => this.begin());
    } else {
      const { current } = ports.session;
      const session = current === undefined ? {} : { session: current };
      // Which certificate the server is to show; of an address there is no name.
      const servername = isIP(host) === 0 ? { servername: host } : {};
      // It begins when the certificate is known to be good.
      const secure = connectTls(
        { host, port, ALPNProtocols: ['http/1.1'], ...tls, ...session, ...servername },
        () => this.begin(),
      );
      secure.on('session', (latest: Buffer) => (ports.session.current = latest));
      secure.on('data', (chunk: Buffer) => this.read(chunk.toString('latin1')));
      this.socket = secure;
    }
    this.socket.setNoDelay(true);
    this.socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
    this.socket.on('error', (error) => this.fail(unreached(error)));
    this.socket.on('end', () => this.hangUp());
    this.socket.on('close', () => this.hangUp());
  }

  /** Sends a post; there must be none on the connection. Its outcome is never told before this returns. */
  send(post: WirePost, answer: AnswerReader, startedAtMs: number): void {
    this.answer = answer;
    this.startedAtMs = startedAtMs;
    this.heardAtMs = startedAtMs;
    this.parser.begin();
    if (this.connected) this.write(post);
    else this.unsent = post;
  }

  isStale(nowMs: number): boolean {
    return nowMs - this.idleSinceMs >= this.idleMaxMs;
  }

  /** Ends what has lasted too long. */
  sweep(nowMs: number): void {
    const { ports } = this;
    if (this.answer === undefined) {
      if (this.isStale(nowMs)) this.end();
    } else if (nowMs - this.startedAtMs >= ports.exchangeTimeoutMs)
      this.fail(told('timeout', 'EXCHANGE_TIMEOUT'));
    else if (!this.connected) {
      if (nowMs - this.startedAtMs >= ports.connectTimeoutMs) this.fail(told('timeout', 'CONNECT_TIMEOUT'));
    } else if (nowMs - this.heardAtMs >= ports.answerTimeoutMs) this.fail(told('timeout', 'ANSWER_TIMEOUT'));
  }

  /** Ends the connection; a post that is on it has this outcome, unless its status is known. */
  fail(outcome: Unreached): void {
    const { answer } = this;
    this.answer = undefined;
    this.unsent = undefined;
    this.end();
    answer?.end(outcome);
  }

  private end(): void {
    if (!this.open) return;
    this.open = false;
    // A server that cannot take up the session may end every connection that offers it.
    if (!this.connected) this.ports.session.current = undefined;
    this.socket.destroy();
    this.ports.closed(this);
  }

  private begin(): void {
    this.connected = true;
    const { unsent } = this;
    this.unsent = undefined;
    if (unsent === undefined) return;
    this.heardAtMs = this.ports.nowMs();
    this.write(unsent);
  }

  private write({ head, body }: WirePost): void {
    const bytes = Buffer.byteLength(body);
    const whole = `${head}content-length: ${bytes}\r\n\r\n`;
    // ASCII, as nearly every body is, is one text without a copy into a buffer of ours.
    if (bytes === body.length) {
      this.socket.write(whole + body, 'latin1');
      return;
    }
    this.socket.cork();
    this.socket.write(whole, 'latin1');
    this.socket.write(body, 'utf8');
    this.socket.uncork();
  }

  /** Returns whether to read on, as `onread` wants it. */
  private read(text: string): boolean {
    if (!this.open) return false;
    const { answer, parser } = this;
    if (answer === undefined) {
      // Nobody has asked.
      this.end();
      return false;
    }
    switch (parser.take(text, answer)) {
      case 'unfinished':
        this.heardAtMs = this.ports.nowMs();
        return true;
      case 'ended':
        this.finish(answer);
        return this.open;
      case 'malformed':
        this.fail(told('connection', 'MALFORMED_ANSWER'));
        return false;
      case 'too-long':
        this.fail(told('connection', 'ANSWER_TOO_LONG'));
        return false;
    }
  }

  private finish(answer: AnswerReader): void {
    const { keepsConnection, idleHintMs } = this.parser;
    this.answer = undefined;
    this.idleMaxMs =
      idleHintMs === undefined
        ? CONNECTION_IDLE_MAX_MS
        : Math.min(CONNECTION_IDLE_MAX_MS, idleHintMs - IDLE_HINT_MARGIN_MS);
    // One that answers what it has not read would be sent more and more.
    if (keepsConnection && this.idleMaxMs > 0 && this.socket.writableLength === 0) {
      this.idleSinceMs = this.ports.nowMs();
      this.ports.freed(this);
    } else this.end();
    answer.complete();
  }

  /** The server has closed its side. */
  private hangUp(): void {
    const { answer } = this;
    if (answer !== undefined && this.parser.endsByClose) {
      this.answer = undefined;
      this.end();
      answer.complete();
    } else this.fail(told('connection', 'CLOSED'));
  }
}
