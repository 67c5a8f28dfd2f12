import { ProxyAgent, type Dispatcher } from 'undici';
import { AnswerReader } from './answer';
import { CONNECTION_IDLE_MAX_MS } from './bounds';
import type { HttpConnection } from './connection';
import { Exchanges, type OpenExchange } from './exchanges';
import type { Channel, HttpChannelOptions, HttpPost, PostOutcome } from './channel';
import { unreached } from './unreached';

type ProxiedConnection = HttpConnection & Required<Pick<HttpConnection, 'proxy'>>;

/**
 * Through a proxy, by undici: one request per connection. Time-outs are undici's own, because an `AbortSignal` per request
 * halves the rate.
 */
export class ProxyChannel implements Channel {
  private readonly dispatcher: Dispatcher;
  private readonly origin: string;
  private readonly exchanges: Exchanges<Exchange>;

  constructor(
    connection: ProxiedConnection,
    private readonly options: HttpChannelOptions,
  ) {
    this.origin = connection.origin;
    this.dispatcher = openDispatcher(connection, options);
    this.exchanges = new Exchanges(options.exchangeTimeoutMs);
  }

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    const { origin } = this;
    const { path, headers, body, keepsAnswer = false } = post;
    this.exchanges.start(done, {
      make: (tell) => new Exchange(this.options.nowMs(), new AnswerReader(keepsAnswer, tell)),
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

function openDispatcher(connection: ProxiedConnection, options: HttpChannelOptions): Dispatcher {
  const { tls, proxy } = connection;
  const answerTimeoutMs = connection.answerTimeoutMs ?? options.answerTimeoutMs;
  const timeout = connection.connectTimeoutMs ?? options.connectTimeoutMs;
  return new ProxyAgent({
    connections: options.connectionsMax,
    pipelining: 1,
    connectTimeout: timeout,
    headersTimeout: answerTimeoutMs,
    bodyTimeout: answerTimeoutMs,
    // The second one is for servers that name a longer time themselves.
    keepAliveTimeout: CONNECTION_IDLE_MAX_MS,
    keepAliveMaxTimeout: CONNECTION_IDLE_MAX_MS,
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

  constructor(
    readonly startedAtMs: number,
    private readonly answer: AnswerReader,
  ) {}

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
    this.answer.complete();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.answer.end(unreached(error));
  }
}
