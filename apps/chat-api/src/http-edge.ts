import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { tooSlowAnswer, unsupportedMediaTypeAnswer } from './answer';
import { namesForeignCharset, parseUrlEncoded } from './form';
import { httpFailureAnswer, internalFailureAnswer, sendAnswer } from './http-answer';
import { parseMultipart } from './multipart-form';
import type { RequestJournal } from './request-journal';

/** A path part longer than an id is no id, but still a path: it gets the answer of an unknown chat. */
const PATH_PART_CHARS_MAX = 16_384;

/** How often connections are looked through for heads that do not come. */
const HEAD_CHECK_INTERVAL_MS = 1_000;
/** After an answer on a bare socket its other side may read for so long, and is then cut off, closed or not. */
const LINGER_MS = 1_000;

const URLENCODED_PATTERN = /^application\/x-www-form-urlencoded\s*(;|$)/i;
const MULTIPART_PATTERN = /^multipart\/form-data\b/i;

type ParserDone = (error: Error | null, body?: unknown) => void;

type TurnedAway = Parameters<RequestJournal['turnedAway']>[0];

/** Fastify with the contract's answers where it would use its own. A connection without a whole head is closed in time. */
export function createAdapter(options: {
  requestBytesMax: number;
  receiveTimeoutMs: number;
  onTurnedAway: (request: TurnedAway) => void;
}): FastifyAdapter {
  const { requestBytesMax, receiveTimeoutMs } = options;
  const context = { requestBytesMax };
  return new FastifyAdapter({
    bodyLimit: requestBytesMax,
    // There is no middleware in Express's style, so nobody is to look for it at each request.
    skipMiddie: true,
    http: {
      headersTimeout: receiveTimeoutMs,
      connectionsCheckingInterval: Math.min(HEAD_CHECK_INTERVAL_MS, receiveTimeoutMs),
    },
    routerOptions: { maxParamLength: PATH_PART_CHARS_MAX, ignoreTrailingSlash: true },
    frameworkErrors: (error: { statusCode?: number }, _request: FastifyRequest, reply: FastifyReply) => {
      sendAnswer(reply, httpFailureAnswer(error.statusCode ?? 400, context) ?? internalFailureAnswer());
    },
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => {
      answerBrokenHttp(error, socket, options);
    },
  });
}

/** What is not even HTTP, or has headers without end, is answered on the bare socket. */
function answerBrokenHttp(
  error: { code?: string },
  socket: Socket,
  { requestBytesMax, onTurnedAway }: { requestBytesMax: number; onTurnedAway: (request: TurnedAway) => void },
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const { body, outcome } = httpFailureAnswer(status, { requestBytesMax }) ?? internalFailureAnswer();
  // Browsers open connections ahead; one that was never used was no bad request.
  if (socket.bytesRead > 0) onTurnedAway({ method: 'none', outcome, httpStatus: status });
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
  // Half closed, it would stay for as long as the other side likes.
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(linger));
}

/**
 * Requests whose body does not come in time are answered and their connections closed, whether anybody reads the body or
 * it is only waited out behind an early answer. Until they are answered, uploads have bounds of their own.
 */
export function hurryBodies(
  app: NestFastifyApplication,
  options: {
    receiveTimeoutMs: number;
    requestBytesMax: number;
    /** Routes whose multipart bodies are uploads. */
    streamed: ReadonlySet<string>;
    /** Routes where only those are that may be larger than any other body. */
    streamedWhenLarge: ReadonlySet<string>;
    onTurnedAway: (request: TurnedAway) => void;
  },
): void {
  const { receiveTimeoutMs, requestBytesMax, streamed, streamedWhenLarge, onTurnedAway } = options;
  const isUpload = ({ headers, routeOptions }: FastifyRequest): boolean => {
    const route = routeOptions.url ?? '';
    if (!MULTIPART_PATTERN.test(headers['content-type'] ?? '')) return false;
    const isLarge = Number(headers['content-length'] ?? Infinity) > requestBytesMax;
    return streamed.has(route) || (streamedWhenLarge.has(route) && isLarge);
  };
  const tooSlow = (request: FastifyRequest, reply: FastifyReply) => {
    if (reply.raw.headersSent) {
      request.raw.destroy();
      return;
    }
    if (isUpload(request)) return;
    const answer = tooSlowAnswer(`the body did not come within ${receiveTimeoutMs} ms; it may be repeated`);
    onTurnedAway({ method: request.method, outcome: answer.outcome, httpStatus: answer.status });
    void reply.header('connection', 'close');
    // Node forgets a request that was answered: who reads its body would wait for ever.
    request.raw.socket.once('close', () => request.raw.destroy(new Error('the body did not come in time')));
    sendAnswer(reply, answer);
  };
  const watch = ({ request, reply }: { request: FastifyRequest; reply: FastifyReply }) => {
    if (request.raw.complete || request.raw.destroyed) return;
    // A process that stops does not wait for it.
    const timer = setInterval(() => tooSlow(request, reply), receiveTimeoutMs).unref();
    const stop = () => clearInterval(timer);
    request.raw.once('end', stop).once('close', stop);
  };
  const watchLater = behindThisTurn(watch);
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, reply, done) => {
      if (hasBody(request)) watchLater({ request, reply });
      done();
    });
}

/**
 * Runs something for each of what it is given when this turn of the event loop is over. By then most requests have their
 * body and most answers are sent, so that nobody needs to watch them.
 */
function behindThisTurn<T>(run: (item: T) => void): (item: T) => void {
  let items: T[] = [];
  const runAll = () => {
    const ofThisTurn = items;
    items = [];
    ofThisTurn.forEach(run);
  };
  return (item) => {
    if (items.push(item) === 1) setImmediate(runAll);
  };
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Texts in another charset would be garbled, and nothing would say so. */
export function refuseForeignCharsets(
  app: NestFastifyApplication,
  { onTurnedAway }: { onTurnedAway: (request: TurnedAway) => void },
): void {
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, reply, done) => {
      if (!namesForeignCharset(request.headers['content-type'] ?? '')) {
        done();
        return;
      }
      const answer = unsupportedMediaTypeAnswer('texts are taken in UTF-8 only; send charset=utf-8, or none');
      onTurnedAway({ method: request.method, outcome: answer.outcome, httpStatus: answer.status });
      sendAnswer(reply, answer);
    });
}

/**
 * Answers that nobody reads do not stay: a connection that takes no byte of one for between once and twice this time is
 * cut off. Held requests are not meant, nor what only their own source keeps waiting: files have bounds of their own.
 */
export function dropUnreadAnswers(
  app: NestFastifyApplication,
  { answerTimeoutMs, onDropped }: { answerTimeoutMs: number; onDropped: () => void },
): void {
  const watch = ({ raw, socket }: { raw: ServerResponse; socket: Socket }) => {
    if (raw.writableFinished || raw.destroyed) return;
    // Node lets the time begin anew while the kernel takes anything of what waits.
    raw.setTimeout(answerTimeoutMs, () => {
      onDropped();
      socket.destroy();
    });
    // Before Node sets the time of an idle connection, and not in its place.
    raw.prependListener('finish', () => void socket.setTimeout(0));
  };
  const watchLater = behindThisTurn(watch);
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onSend', (request, { raw }, payload, done) => {
      const { socket } = request.raw;
      const isStream = typeof payload === 'object' && payload !== null && 'pipe' in payload;
      // An injected request has no connection.
      if (!isStream && socket instanceof Socket) watchLater({ raw, socket });
      done(null, payload);
    });
}

/**
 * Forms are the only media types; everything else is a 415 by Fastify. The multipart forms of `streamed` routes are left
 * unread: their `body` is the request itself.
 *
 * The usual forms are read before Fastify would do it, which is then told that there is no body: for each body it binds an
 * async resource, and on Node 20 that, with what the collector has of it, is a quarter of a request.
 */
export function acceptForms(
  app: NestFastifyApplication,
  options: { requestBytesMax: number; streamed: ReadonlySet<string> },
): void {
  const { requestBytesMax, streamed } = options;
  app.useBodyParser(
    'application/x-www-form-urlencoded',
    { bodyLimit: requestBytesMax },
    (_request: FastifyRequest, body: Buffer, done: ParserDone) => {
      done(null, parseUrlEncoded(body));
    },
  );
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('preParsing', (request, reply, payload, done) => {
    const { headers } = request.raw;
    const isForm = request.method === 'POST' && URLENCODED_PATTERN.test(headers['content-type'] ?? '');
    // Scopes have parsers of their own.
    if (!isForm || request.server !== fastify) {
      done(null, payload);
      return;
    }
    readWhole(request.raw, requestBytesMax, (error, body) => {
      if (error) {
        // The rest of the body may still come.
        void reply.header('connection', 'close');
        done(error);
        return;
      }
      request.body = body && parseUrlEncoded(body);
      headers['content-type'] = undefined;
      headers['content-length'] = undefined;
      headers['transfer-encoding'] = undefined;
      done(null, payload);
    });
  });
  fastify.addContentTypeParser('multipart/form-data', (request, payload, done) => {
    if (streamed.has(request.routeOptions.url ?? '')) {
      done(null, payload);
      return;
    }
    readWhole(payload, requestBytesMax, (error, body) => {
      done(error, body && parseMultipart(body, request.headers['content-type'] ?? ''));
    });
  });
  fastify.removeContentTypeParser(['application/json', 'text/plain']);
}

/** As Fastify reads a body when it is asked to: it leaves one that is too large alone. */
function readWhole(
  payload: IncomingMessage,
  bytesMax: number,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const tooLarge = () => done(Object.assign(new Error('the body is too large'), { statusCode: 413 }));
  if (Number(payload.headers['content-length'] ?? 0) > bytesMax) {
    tooLarge();
    return;
  }
  const parts: Buffer[] = [];
  let bytes = 0;
  const take = (part: Buffer) => {
    parts.push(part);
    bytes += part.length;
    if (bytes <= bytesMax) return;
    stop();
    payload.pause();
    tooLarge();
  };
  const end = () => {
    stop();
    done(null, Buffer.concat(parts));
  };
  const fail = (error: Error) => {
    stop();
    done(Object.assign(error, { statusCode: 400 }));
  };
  const stop = () => payload.off('data', take).off('end', end).off('error', fail);
  payload.on('data', take).on('end', end).on('error', fail);
}
