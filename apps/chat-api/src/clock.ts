/** Time as the calls see it; movable in tests. */
export interface Clock {
  /** Milliseconds that never run backwards. */
  now(): number;
  /** Runs once after the delay, unless the returned function is called first. */
  setTimer(delayMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  // Rounded up, because a timer may fire a fraction of a millisecond before its time.
  now: () => Math.ceil(performance.now()),
  setTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
