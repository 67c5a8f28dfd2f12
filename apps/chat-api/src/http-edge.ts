import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { parseUrlEncoded } from './form';
import { httpFailureAnswer, internalFailureAnswer, sendAnswer } from './http-answer';
import { parseMultipart } from './multipart-form';

/** A path part longer than an id is no id, but still a path: it gets the answer of an unknown chat. */
const PATH_PART_CHARS_MAX = 16_384;

type ParserDone = (error: Error | null, body?: unknown) => void;

/** Fastify with the contract's answers where it would use its own. */
export function createAdapter(requestBytesMax: number): FastifyAdapter {
  const context = { requestBytesMax };
  return new FastifyAdapter({
    bodyLimit: requestBytesMax,
    routerOptions: { maxParamLength: PATH_PART_CHARS_MAX, ignoreTrailingSlash: true },
    frameworkErrors: (error: { statusCode?: number }, _request: FastifyRequest, reply: FastifyReply) => {
      sendAnswer(reply, httpFailureAnswer(error.statusCode ?? 400, context) ?? internalFailureAnswer());
    },
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => {
      answerBrokenHttp(error, socket, requestBytesMax);
    },
  });
}

/** What is not even HTTP, or has headers without end, is answered on the bare socket. */
function answerBrokenHttp(error: { code?: string }, socket: Socket, requestBytesMax: number): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const { body } = httpFailureAnswer(status, { requestBytesMax }) ?? internalFailureAnswer();
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
}

/**
 * Forms are the only media types; everything else is a 415 by Fastify. The multipart forms of `streamed` routes are left
 * unread: their `body` is the request itself.
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
      done(null, parseUrlEncoded(body.toString('utf8')));
    },
  );
  const fastify = app.getHttpAdapter().getInstance();
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
