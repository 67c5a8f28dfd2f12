/**
 * Ctrl-C reaches a program under npm twice, from the terminal and passed on by npm. What follows so soon is
 * the same key press.
 */
const SAME_PRESS_MS = 500;

/** The wish to stop, as signals tell it: the first asks for an ordered stop, a second one for an end at once. */
export interface StopSignal {
  /** Resolves at the first signal. */
  readonly requested: Promise<void>;
  isRequested(): boolean;
  /** Gives the signals back to Node's own handling. */
  dispose(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Listens for SIGINT, SIGTERM and SIGHUP (the terminal was closed). */
export function watchStopSignals(onSecond: () => void): StopSignal {
  let firstAtMs: number | undefined;
  let request: () => void = () => undefined;
  const requested = new Promise<void>((resolve) => {
    request = resolve;
  });
  const listener = () => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      request();
    } else if (nowMs - firstAtMs > SAME_PRESS_MS) {
      onSecond();
    }
  };
  for (const signal of signals) process.on(signal, listener);
  return {
    requested,
    isRequested: () => firstAtMs !== undefined,
    dispose: () => {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}
