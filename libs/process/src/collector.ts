import { setFlagsFromString } from 'node:v8';

/**
 * V8's collector as a service needs it: nearly all it allocates belongs to something that is over within milliseconds.
 *
 * `allocation-site-pretenuring` puts objects right into the old generation whose like have survived before. There they
 * are garbage soon, but until the next full collection they keep all that they point to: what was under way at the time
 * of a collection made a fifth of what gms-node allocates grow old.
 *
 * `parallel-scavenge` shares a short job among threads. A service has one busy thread, and is scaled by processes: with
 * as many of them as cores, waking the helpers costs more than it saves.
 */
const FLAGS = ['--no-allocation-site-pretenuring', '--no-parallel-scavenge'];

/** To be called before a service does anything. Node does not take these flags from NODE_OPTIONS. */
export function tuneCollector(): void {
  for (const flag of FLAGS) setFlagsFromString(flag);
}
