/** Something did not come within the time that its asker could wait. */
export class NotThereError extends Error {
  readonly code = 'NOT_THERE';
  readonly retryable = true;
}

const WAIT_RETRY_MS = 200;

/**
 * Waits until `ask` gives a value; NATS that is away, or not yet provisioned, only delays it. Without a time-out a
 * service waits as long as it takes; with one, `NotThereError` is thrown after it.
 */
export async function waitFor<T>(
  ask: () => Promise<T | undefined>,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    const value = await ask().catch((error: unknown) => void (cause = error));
    if (value !== undefined) return value;
    if (performance.now() >= endMs) throw new NotThereError(`nothing after ${timeoutMs} ms`, { cause });
    await new Promise((resolve) => setTimeout(resolve, WAIT_RETRY_MS));
  }
}
