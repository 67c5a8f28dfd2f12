import type { LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';

export type { Logger };

/** JSON lines on stdout: a dotted fact as message, flat camelCase fields. */
export function createLogger(options: { service: string; nodeId: string; level: string }): Logger {
  return pino({
    level: options.level,
    base: { service: options.service, nodeId: options.nodeId },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
  });
}

const MESSAGE_CHARS_MAX = 2_000;

/**
 * Only what an error says of itself. Libraries hang more onto it: the Redis client the whole command, which for a commit
 * is every session of the batch with its secure keys (I10).
 */
function serializeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error).slice(0, MESSAGE_CHARS_MAX) };
  const { name, message, stack } = error;
  const code = 'code' in error ? { code: error.code } : {};
  const cause = error.cause === undefined ? {} : { cause: serializeError(error.cause) };
  return {
    type: name,
    message: message.slice(0, MESSAGE_CHARS_MAX),
    ...code,
    stack: stack?.slice(0, MESSAGE_CHARS_MAX),
    ...cause,
  };
}

/** Nest's own messages, through the same logger; its start-up chatter is debug. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.logger.debug({ context: rest.at(-1) }, String(message));
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.logger.warn({ context: rest.at(-1) }, String(message));
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.logger.error(
      { err: message instanceof Error ? message : undefined, context: rest.at(-1) },
      String(message),
    );
  }
  fatal(message: unknown, ...rest: unknown[]): void {
    this.logger.fatal({ context: rest.at(-1) }, String(message));
  }
}
