import { Pool, type Dispatcher } from 'undici';
import { ANSWER_BYTES_MAX, CONNECTION_IDLE_MAX_MS } from './bounds';

export interface HttpPost {
  path: string;
  headers: string[];
  body: string;
}

/** What became of a POST: a status, or why there is none. `code` is undici's or the system's word, e.g. ECONNREFUSED. */
export type PostOutcome =
  { kind: 'answered'; status: number } | { kind: 'unreached'; cause: 'timeout' | 'connection'; code: string };

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
  private readonly pool: Pool;
  private readonly exchanges = new Set<Exchange>();

  constructor(
    origin: string,
    private readonly options: HttpChannelOptions,
  ) {
    this.pool = new Pool(origin, {
      connections: options.connectionsMax,
      pipelining: 1,
      connectTimeout: options.connectTimeoutMs,
      headersTimeout: options.answerTimeoutMs,
      bodyTimeout: options.answerTimeoutMs,
      // The second one is for servers that name a longer time themselves.
      keepAliveTimeout: CONNECTION_IDLE_MAX_MS,
      keepAliveMaxTimeout: CONNECTION_IDLE_MAX_MS,
    });
  }

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    let posting = true;
    const exchange = new Exchange(this.options.nowMs(), (outcome) => {
      this.exchanges.delete(exchange);
      // undici refuses a bad request before `dispatch` returns, when the caller has not yet noted the post.
      if (posting) queueMicrotask(() => done(outcome));
      else done(outcome);
    });
    this.exchanges.add(exchange);
    this.pool.dispatch({ method: 'POST', path: post.path, headers: post.headers, body: post.body }, exchange);
    posting = false;
  }

  sweep(nowMs: number): void {
    for (const exchange of this.exchanges) {
      // They stand in the order of their start.
      if (nowMs - exchange.startedAtMs < this.options.exchangeTimeoutMs) return;
      exchange.giveUp();
    }
  }

  /** Ends at once what is still under way. */
  async close(): Promise<void> {
    await this.pool.destroy();
  }
}

/** Ends an exchange from our side; never seen outside this file. */
class ExchangeTimeoutError extends Error {
  readonly code = 'EXCHANGE_TIMEOUT';
  readonly retryable = false;
}

/** One POST and its answer. The status decides; the body is read only to free the connection. */
class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private status: number | undefined;
  private answerBytes = 0;
  private settled = false;

  constructor(
    readonly startedAtMs: number,
    private readonly done: (outcome: PostOutcome) => void,
  ) {}

  giveUp(): void {
    this.controller?.abort(new ExchangeTimeoutError('the exchange lasted too long'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    // Informational answers come before the real one.
    if (statusCode >= 200) this.status = statusCode;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.answerBytes += chunk.length;
    if (this.answerBytes > ANSWER_BYTES_MAX) controller.abort(new Error('the answer is longer than is read'));
  }

  onResponseEnd(): void {
    this.settle({ kind: 'answered', status: this.status ?? 0 });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // With the status known the receiver has decided, whatever became of the rest of its answer.
    this.settle(this.status === undefined ? unreached(error) : { kind: 'answered', status: this.status });
  }

  private settle(outcome: PostOutcome): void {
    if (this.settled) return;
    this.settled = true;
    this.done(outcome);
  }
}

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'EXCHANGE_TIMEOUT',
  'ETIMEDOUT',
]);

function unreached(error: Error): PostOutcome {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return { kind: 'unreached', cause: timeoutCodes.has(code) ? 'timeout' : 'connection', code };
}
