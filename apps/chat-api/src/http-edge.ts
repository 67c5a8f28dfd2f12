import { STATUS_CODES } from 'node:http';
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

/** Forms are the only media types; everything else is a 415 by Fastify. */
export function acceptForms(app: NestFastifyApplication, requestBytesMax: number): void {
  const options = { bodyLimit: requestBytesMax };
  app.useBodyParser(
    'application/x-www-form-urlencoded',
    options,
    (_request: FastifyRequest, body: Buffer, done: ParserDone) => {
      done(null, parseUrlEncoded(body.toString('utf8')));
    },
  );
  app.useBodyParser(
    'multipart/form-data',
    options,
    (request: FastifyRequest, body: Buffer, done: ParserDone) => {
      done(null, parseMultipart(body, request.headers['content-type'] ?? ''));
    },
  );
  app.getHttpAdapter().getInstance().removeContentTypeParser(['application/json', 'text/plain']);
}
