/** Time as the calls see it; monotonic, and movable in tests. */
export interface Clock {
  nowMs(): number;
  /** Runs once after the delay, unless the returned function is called first. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  // Rounded up, because a timer may fire a fraction of a millisecond before its time.
  nowMs: () => Math.ceil(performance.now()),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
