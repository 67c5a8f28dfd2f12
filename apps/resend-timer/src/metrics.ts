import type { Operations } from '@flexpush/process';
import { Counter, Gauge, Histogram } from 'prom-client';

const LATENESS_BUCKETS_MS = [1, 2, 3, 5, 8, 13, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];

export interface TimerMetrics {
  readonly claimed: Counter;
  readonly appended: Counter;
  readonly failures: Counter<'step'>;
  readonly held: Counter;
  readonly behind: Counter;
  /** From the due time to the moment the log has stored the record. */
  readonly latenessMs: Histogram;
}

export function createMetrics(operations: Operations, shardsOwned: () => number): TimerMetrics {
  const registers = [operations.registry];
  new Gauge({
    name: 'flexpush_timer_shards_owned',
    help: 'Shards whose timers this replica claims',
    registers,
    collect() {
      this.set(shardsOwned());
    },
  });
  return {
    claimed: new Counter({ name: 'flexpush_timer_claimed_total', help: 'Timers claimed', registers }),
    appended: new Counter({
      name: 'flexpush_timer_appended_total',
      help: 'Timers whose firing is in the log',
      registers,
    }),
    failures: new Counter({
      name: 'flexpush_timer_failures_total',
      help: 'Claims and appends that failed; what was claimed comes back after the visibility time',
      labelNames: ['step'] as const,
      registers,
    }),
    held: new Counter({
      name: 'flexpush_timer_held_total',
      help: 'Looks at a shard whose owner is catching up and lets nothing be claimed',
      registers,
    }),
    behind: new Counter({
      name: 'flexpush_timer_behind_total',
      help: 'Looks at a shard from which nothing is claimed because its last firings are not folded yet',
      registers,
    }),
    latenessMs: new Histogram({
      name: 'flexpush_timer_lateness_ms',
      help: 'From a timer being due to its firing being in the log',
      buckets: LATENESS_BUCKETS_MS,
      registers,
    }),
  };
}
