import { errorCodes } from '@flexpush/contracts';
import type { FastifyReply } from 'fastify';
import { failure, invalidAnswer, notFoundAnswer, unsupportedMediaTypeAnswer, type Answer } from './answer';

export function sendAnswer(reply: FastifyReply, answer: Answer): void {
  if (answer.headers) void reply.headers(answer.headers);
  void reply.code(answer.status).type('application/json; charset=utf-8').send(answer.body);
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
