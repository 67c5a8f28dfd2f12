import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { refusedBatch } from './bayeux-message';
import type { BatchAnswer, BayeuxServer, Link } from './bayeux-server';
import type { IncomingHttpHeaders } from 'node:http';
import type { HeldHandle } from './bayeux-session';
import { browserCookie, browserIdOf, cameByHttps } from './cookie';

/** A JavaScript name, or a path of them; anything else in a script would be injection. */
const CALLBACK_PATTERN = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*){0,8}$/;
const CALLBACK_CHARS_MAX = 128;

const JSON_TYPE = 'application/json; charset=utf-8';
const SCRIPT_TYPE = 'text/javascript; charset=utf-8';

export interface HttpTransportOptions {
  appName: string;
  requestBytesMax: number;
  server: BayeuxServer;
  /** Whether the request is of a page that may not call; counted there. */
  refusesPage: (headers: IncomingHttpHeaders) => boolean;
  /** A request that reached no message. */
  onTurnedAway: (request: { method: string; outcome: string; httpStatus: number }) => void;
  onFailed: (error: unknown) => void;
}

/**
 * Long-polling and callback-polling. The routes have a scope of their own, because the Chat API takes forms only and
 * answers in another shape. Clients may append the kind of message to the path.
 */
export async function serveLongPolling(
  fastify: FastifyInstance,
  options: HttpTransportOptions,
): Promise<void> {
  await fastify.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      ['application/json', 'text/json', 'text/plain'],
      { parseAs: 'string', bodyLimit: options.requestBytesMax },
      (_request, body, parsed) => parsed(null, body),
    );
    scope.setErrorHandler((error, request, reply) => refuse(error, { request, reply }, options));
    const base = `/${options.appName}/cometd`;
    for (const url of [base, `${base}/:kind`]) {
      scope.post(url, (request, reply) => onPost(request, reply, options));
      scope.get(url, (request, reply) => onGet(request, reply, options));
    }
    done();
  });
}

function onPost(request: FastifyRequest, reply: FastifyReply, options: HttpTransportOptions): void {
  const text = typeof request.body === 'string' ? request.body : '';
  exchange(request, reply, { text, type: 'long-polling', wrap: (body) => body, ...options });
}

/** The messages and the name of the function that gets the answer are in the query. */
function onGet(request: FastifyRequest, reply: FastifyReply, options: HttpTransportOptions): void {
  const { jsonp, message } = request.query as Record<string, unknown>;
  const isCallback =
    typeof jsonp === 'string' && jsonp.length <= CALLBACK_CHARS_MAX && CALLBACK_PATTERN.test(jsonp);
  if (!isCallback || typeof message !== 'string') {
    const reason = 'a GET needs the parameters "jsonp", the name of a function, and "message"';
    options.onTurnedAway({ method: request.method, outcome: 'invalid', httpStatus: 400 });
    void reply
      .code(400)
      .type(JSON_TYPE)
      .send(JSON.stringify([refusedBatch(reason)]));
    return;
  }
  // A script of another origin runs in any page that names it, so only what is no script keeps the answer from it.
  if (options.refusesPage(request.headers)) {
    const reason = 'pages of this origin may not call; option cors-origins lists those that may';
    void reply
      .code(403)
      .type(JSON_TYPE)
      .send(JSON.stringify([refusedBatch(reason, 403)]));
    return;
  }
  const wrap = (body: string) => `/**/${jsonp}(${escapeForScript(body)});`;
  exchange(request, reply, { text: message, type: 'callback-polling', wrap, ...options });
}

/** Both are line ends in scripts of old browsers. */
function escapeForScript(json: string): string {
  return json.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function exchange(
  request: FastifyRequest,
  reply: FastifyReply,
  call: { server: BayeuxServer; text: string; type: Link['type']; wrap: (body: string) => string },
): void {
  const known = browserIdOf(request.headers.cookie);
  const link: Link = { type: call.type, browserId: known };
  const answer = call.server.receive(call.text, link);
  if (link.browserId !== undefined && link.browserId !== known)
    void reply.header('set-cookie', browserCookie(link.browserId, cameByHttps(request.raw)));
  void reply
    .type(call.type === 'callback-polling' ? SCRIPT_TYPE : JSON_TYPE)
    .header('cache-control', 'no-store')
    .code(statusOf(answer, call.type));
  const send = (texts: string[]) => {
    const replies = answer.replies.map((one) => JSON.stringify(one));
    // The next request is for another process, and this connection would lead it here.
    if (call.server.isStopping) void reply.header('connection', 'close');
    if (!reply.sent) void reply.send(call.wrap(`[${[...replies, ...texts].join(',')}]`));
  };
  if (!answer.connect) {
    send([]);
    return;
  }
  const held: HeldHandle = answer.connect(send);
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) held.gone();
  });
}

/** What is no batch at all is a bad request; a script must be loaded to say so. */
function statusOf({ replies }: BatchAnswer, type: Link['type']): number {
  const isNoBatch = replies.length === 1 && replies[0]?.channel === '/meta/unsuccessful';
  return isNoBatch && type !== 'callback-polling' ? 400 : 200;
}

function refuse(
  error: unknown,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  options: HttpTransportOptions,
): void {
  const given = (error as { statusCode?: unknown } | null)?.statusCode;
  const httpStatus = typeof given === 'number' && given >= 400 && given < 500 ? given : 500;
  if (httpStatus === 500) options.onFailed(error);
  options.onTurnedAway({ method: request.method, outcome: outcomeOf(httpStatus), httpStatus });
  if (reply.sent) return;
  const reason = reasons[httpStatus]?.(options) ?? 'the request cannot be read';
  void reply
    .code(httpStatus)
    .type(JSON_TYPE)
    .send(JSON.stringify([refusedBatch(reason, httpStatus)]));
}

function outcomeOf(httpStatus: number): string {
  if (httpStatus === 413) return 'too-large';
  if (httpStatus === 415) return 'unsupported-media-type';
  return httpStatus === 500 ? 'failed' : 'invalid';
}

const reasons: Record<number, (options: HttpTransportOptions) => string> = {
  413: ({ requestBytesMax }) => `the body may have at most ${requestBytesMax} bytes`,
  415: () => 'send application/json',
  500: () => 'the request failed inside the server; it may be retried',
};
