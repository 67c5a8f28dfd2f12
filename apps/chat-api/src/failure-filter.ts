import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { httpFailureAnswer, internalFailureAnswer, sendAnswer } from './http-answer';
import { isOperationPath } from './operations';
import type { RequestJournal } from './request-journal';

/**
 * The one exception filter: whatever Nest or Fastify refuses is answered in the contract's shape, and a defect shows
 * nothing of itself. The operations endpoints keep their own bodies.
 */
@Catch()
export class FailureFilter implements ExceptionFilter {
  constructor(
    private readonly options: { appName: string; requestBytesMax: number; journal: RequestJournal },
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const path = pathOf(request.url);
    if (error instanceof HttpException && OPERATIONS_PATHS.has(path)) {
      void reply.code(error.getStatus()).send(error.getResponse());
      return;
    }
    const status = this.statusOf(error, request.method, path);
    const known = httpFailureAnswer(status, this.options);
    if (!known) this.options.journal.failed(error);
    const answer = known ?? internalFailureAnswer();
    const { outcome } = answer;
    this.options.journal.turnedAway({ method: request.method, outcome, httpStatus: answer.status });
    // Too late for an answer: the client has gone, or has part of one.
    if (!reply.sent) sendAnswer(reply, answer);
  }

  private statusOf(error: unknown, method: string, path: string): number {
    const status = httpStatusOf(error);
    return status === 404 && method !== 'POST' && isChatPath(path, this.options.appName) ? 405 : status;
  }
}

const OPERATIONS_PATHS = new Set(['/healthz', '/readyz', '/metrics']);

/** Nest wraps Fastify's errors only when it knows their class; both carry the status. */
function httpStatusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const status = (error as { statusCode?: unknown } | null | undefined)?.statusCode;
  return typeof status === 'number' ? status : 500;
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}

/** Whether a POST on this path would reach an operation. */
function isChatPath(path: string, appName: string): boolean {
  const base = `/${appName}/2/chat/`;
  if (!path.startsWith(base)) return false;
  return isOperationPath(path.slice(base.length).split('/'));
}
