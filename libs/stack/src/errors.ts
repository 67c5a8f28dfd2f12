/** What went wrong; the words are stable, the messages are for people. */
export type StackErrorCode =
  | 'already-running'
  | 'port-busy'
  | 'executable-missing'
  | 'process-exited'
  | 'not-ready'
  | 'shards-fixed'
  | 'nats-servers-fixed'
  | 'state-unreadable'
  | 'entry-missing'
  | 'invalid-options';

/** Thrown when a server, a service or the whole stack cannot be started. The message stands on its own. */
export class StackError extends Error {
  override readonly name = 'StackError';

  constructor(
    readonly code: StackErrorCode,
    message: string,
    readonly retryable: boolean = false,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The `code` of a Node error such as ENOENT, or undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
