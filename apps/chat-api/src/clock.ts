import type { CallClock } from '@flexpush/actor-runtime';

export const systemClock: CallClock = {
  // Rounded up, because a timer may fire a fraction of a millisecond before its time.
  now: () => Math.ceil(performance.now()),
  setTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
