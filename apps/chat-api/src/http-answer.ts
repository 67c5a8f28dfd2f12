import { errorCodes } from '@flexpush/contracts';
import type { FastifyReply } from 'fastify';
import {
  failure,
  invalidAnswer,
  notFoundAnswer,
  tooSlowAnswer,
  unsupportedMediaTypeAnswer,
  type Answer,
} from './answer';

export function sendAnswer(reply: FastifyReply, answer: Answer): void {
  if (answer.headers) void reply.headers(answer.headers);
  const { content } = answer;
  if (content) {
    void reply
      .code(answer.status)
      .type('application/octet-stream')
      .headers({
        'content-length': content.sizeBytes,
        'content-disposition': attachment(content.name),
        // The content is a stranger's: no browser may take it for a page of ours.
        'x-content-type-options': 'nosniff',
        'cache-control': 'private, no-store',
      })
      .send(content.stream);
    return;
  }
  // As a text it needs none of Fastify's serializers.
  void reply.code(answer.status).type('application/json; charset=utf-8').send(JSON.stringify(answer.body));
}

const EXTENDED_VALUE_CHARACTER = /[A-Za-z0-9!#$&+.^_`|~-]/;

/** The name in UTF-8 (RFC 6266, RFC 5987), and in ASCII for who cannot read that. */
export function attachment(path: string): string {
  // Agents' programs name files as they like; a path is no name.
  const name = path.split('/').at(-1) || 'file';
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const utf8 = [...Buffer.from(name, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return EXTENDED_VALUE_CHARACTER.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  return `attachment; filename="${ascii}"; filename*=UTF-8''${utf8}`;
}

/** HTTP's own failures in the contract's shape (CONTRACT 1.6). Undefined: not the client's fault. */
export function httpFailureAnswer(status: number, context: { requestBytesMax: number }): Answer | undefined {
  switch (status) {
    case 404:
      return notFoundAnswer();
    case 405:
      return failure({
        status,
        outcome: 'method-not-allowed',
        statusCode: 2,
        code: errorCodes.badRequest,
        advice: 'every operation of the Chat API is a POST',
        headers: { allow: 'POST' },
      });
    case 408:
      return tooSlowAnswer('the request did not come in time; it may be repeated');
    case 413:
      return failure({
        status,
        outcome: 'too-large',
        statusCode: 2,
        code: errorCodes.payloadTooLarge,
        advice: `the body may have at most ${context.requestBytesMax} bytes`,
      });
    case 415:
      return unsupportedMediaTypeAnswer();
    default:
      return status >= 400 && status < 500
        ? invalidAnswer({ code: errorCodes.badRequest, advice: 'the request cannot be read' })
        : undefined;
  }
}

/** A defect of ours: nothing of it is shown, and the client may try again. */
export function internalFailureAnswer(): Answer {
  return failure({
    status: 500,
    outcome: 'failed',
    statusCode: 1,
    code: errorCodes.mediaServer,
    advice: 'the request failed inside the server; the same request may be retried',
  });
}
