import { Pool, ProxyAgent, type Dispatcher } from 'undici';
import { AnswerReader } from './answer';
import { CONNECTION_IDLE_MAX_MS } from './bounds';
import type { HttpConnection } from './connection';
import { Exchanges, type OpenExchange } from './exchanges';

export interface HttpPost {
  path: string;
  /** Names and values in turn, as undici takes them without copying. */
  headers: string[];
  body: string;
  /** Whether the outcome tells the beginning of the answer's body. */
  keepsAnswer?: boolean;
}

/**
 * What became of a POST: a status, or why there is none. `code` is undici's or the system's word, e.g. ECONNREFUSED;
 * `authorization` means that it was not sent because there is no token for it.
 */
export type PostOutcome =
  | { kind: 'answered'; status: number; answer?: string }
  | { kind: 'unreached'; cause: 'timeout' | 'connection' | 'authorization'; code: string };

/** The way to one destination. It never queues: the caller keeps no more posts in flight than there are connections. */
export interface Channel {
  /** Calls `done` exactly once, never before it returns. */
  post(post: HttpPost, done: (outcome: PostOutcome) => void): void;
  /** Ends posts that have lasted too long in spite of the pool's own time-outs, such as answers that drip for ever. */
  sweep(nowMs: number): void;
  close(): Promise<void>;
}

export interface HttpChannelOptions {
  connectionsMax: number;
  connectTimeoutMs: number;
  /** For the head of the answer, and between two parts of its body. */
  answerTimeoutMs: number;
  /** For one exchange as a whole. */
  exchangeTimeoutMs: number;
  nowMs: () => number;
}

/**
 * One undici pool, one request per connection. Time-outs are the pool's own, because an `AbortSignal` per request
 * halves the rate. Redirects are not followed.
 */
export class HttpChannel implements Channel {
  private readonly dispatcher: Dispatcher;
  private readonly origin: string;
  private readonly exchanges: Exchanges<Exchange>;

  constructor(
    to: string | HttpConnection,
    private readonly options: HttpChannelOptions,
  ) {
    const connection = typeof to === 'string' ? { origin: to } : to;
    this.origin = connection.origin;
    this.dispatcher = openDispatcher(connection, options);
    this.exchanges = new Exchanges(options.exchangeTimeoutMs);
  }

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    const { origin } = this;
    const { path, headers, body, keepsAnswer = false } = post;
    this.exchanges.start(done, {
      make: (tell) => new Exchange(this.options.nowMs(), keepsAnswer, tell),
      // undici refuses a bad request before `dispatch` returns.
      send: (exchange) => this.dispatcher.dispatch({ origin, method: 'POST', path, headers, body }, exchange),
    });
  }

  sweep(nowMs: number): void {
    this.exchanges.sweep(nowMs);
  }

  /** Ends at once what is still under way. */
  async close(): Promise<void> {
    await this.dispatcher.destroy();
  }
}

function openDispatcher(connection: HttpConnection, options: HttpChannelOptions): Dispatcher {
  const { origin, tls, proxy } = connection;
  const answerTimeoutMs = connection.answerTimeoutMs ?? options.answerTimeoutMs;
  const timeout = connection.connectTimeoutMs ?? options.connectTimeoutMs;
  const pool = {
    connections: options.connectionsMax,
    pipelining: 1,
    connectTimeout: timeout,
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
    // The second one is for servers that name a longer time themselves.
    keepAliveTimeout: CONNECTION_IDLE_MAX_MS,
    keepAliveMaxTimeout: CONNECTION_IDLE_MAX_MS,
  };
  if (proxy === undefined)
    return new Pool(origin, tls === undefined ? pool : { ...pool, connect: { ...tls, timeout } });
  return new ProxyAgent({
    ...pool,
    uri: proxy.url,
    ...(proxy.authorization === undefined ? {} : { token: proxy.authorization }),
    requestTls: { ...tls, timeout },
    proxyTls: { timeout },
  });
}

/** Ends an exchange from our side; never seen outside this file. */
class ExchangeTimeoutError extends Error {
  readonly code = 'EXCHANGE_TIMEOUT';
  readonly retryable = false;
}

/** One POST and its answer; most bodies are read only to free the connection. */
class Exchange implements Dispatcher.DispatchHandler, OpenExchange {
  private controller: Dispatcher.DispatchController | undefined;
  private readonly answer: AnswerReader;

  constructor(
    readonly startedAtMs: number,
    keepsAnswer: boolean,
    done: (outcome: PostOutcome) => void,
  ) {
    this.answer = new AnswerReader(keepsAnswer, done);
  }

  giveUp(): void {
    const error = new ExchangeTimeoutError('the exchange lasted too long');
    // Without a controller it waits for a proxy that does not answer; nothing of it has been sent.
    if (this.controller === undefined) this.answer.tell(unreached(error));
    else this.controller.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.answer.told) controller.abort(new ExchangeTimeoutError('the exchange was given up'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    // Informational answers come before the real one.
    if (statusCode >= 200) this.answer.status = statusCode;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.answer.take(chunk) === 'too-long')
      controller.abort(new Error('the answer is longer than is read'));
  }

  onResponseEnd(): void {
    this.answer.end({ kind: 'answered', status: 0 });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.answer.end(unreached(error));
  }
}

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'EXCHANGE_TIMEOUT',
  'ETIMEDOUT',
]);

/** The outcome of a POST that has no answer. */
export function unreached(error: Error): Extract<PostOutcome, { kind: 'unreached' }> {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return { kind: 'unreached', cause: timeoutCodes.has(code) ? 'timeout' : 'connection', code };
}
