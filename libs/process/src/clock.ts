/** What the duties need of time, so that tests can move it by hand. */
export interface Clock {
  /** Wall clock, epoch ms: for showing and for comparing with other processes. */
  nowMs(): number;
  /** Never jumps: for measuring silence and intervals. */
  monotonicMs(): number;
  /** Runs `task` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
