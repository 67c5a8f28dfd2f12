import { isUnderNpm } from './config';

/**
 * Ctrl-C reaches a program under npm twice, from the terminal and passed on by npm. What follows so soon is
 * the same key press.
 */
const SAME_PRESS_MS = 500;

/** What a shell says of a program that Ctrl-C has ended. */
export const INTERRUPTED_CODE = 130;

/** How often a program under npm looks whether its parent still lives. */
const PARENT_LOOK_INTERVAL_MS = 250;

/** The wish to stop, as signals tell it: the first asks for an ordered stop, a second one for an end at once. */
export interface StopSignal {
  /** Resolves at the first signal. */
  readonly requested: Promise<void>;
  isRequested(): boolean;
  /** Gives the signals back to Node's own handling. */
  dispose(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Listens for SIGINT, SIGTERM and SIGHUP (the terminal was closed). Under npm the death of the parent counts as a
 * signal too: npm passes signals only to the shell between, which dies of them without telling anybody.
 */
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
  const { ppid } = process;
  const look = () => {
    if (process.ppid !== ppid && firstAtMs === undefined) listener();
  };
  const timer = isUnderNpm() ? setInterval(look, PARENT_LOOK_INTERVAL_MS) : undefined;
  return {
    requested,
    isRequested: () => firstAtMs !== undefined,
    dispose: () => {
      clearInterval(timer);
      for (const signal of signals) process.off(signal, listener);
    },
  };
}
