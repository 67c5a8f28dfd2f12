import type { Logger } from '@flexpush/process';
import type { Answer } from './answer';
import type { ChatMetrics } from './metrics';
import { isOperation } from './operations';

/** Every request in metrics and in the log. Keys and texts are in neither (I10). */
export class RequestJournal {
  constructor(
    private readonly metrics: ChatMetrics,
    private readonly log: Logger,
  ) {}

  /** The returned function notes the answer and hands it on. */
  begin(request: { operation: string; chatId?: string }): (answer: Answer) => Answer {
    const startedAtMs = performance.now();
    const operation = knownOperation(request.operation);
    return (answer) => {
      const tookMs = performance.now() - startedAtMs;
      const { outcome, status, body } = answer;
      this.metrics.answered({ operation, outcome, tookMs });
      this.log.debug(
        {
          operation,
          outcome,
          httpStatus: status,
          statusCode: body.statusCode,
          sessionId: body.chatId,
          tookMs: Math.round(tookMs * 10) / 10,
        },
        'chat.request',
      );
      return answer;
    };
  }

  /** A request that reached no operation: a wrong path, method, media type or size. */
  turnedAway(request: { method: string; outcome: string; httpStatus: number }): void {
    this.metrics.turnedAway(request.outcome);
    this.log.debug(request, 'chat.request-turned-away');
  }

  failed(error: unknown): void {
    this.log.error({ err: error }, 'chat.request-failed');
  }
}

/** What is no path below a chat: its beginning, and that of CometD's notifications. */
const otherOperations = new Set(['requestChat', 'requestNotifications']);

/** Label values are a closed set, whatever paths strangers try. */
function knownOperation(operation: string): string {
  return otherOperations.has(operation) || isOperation(operation) ? operation : 'unknown';
}
