import type { Meter, MeterName } from '@flexpush/actor-runtime';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const counters: Record<MeterName, string> = {
  recordsFolded: 'Log records folded',
  recordsRefused: 'Log records refused into the dead-letter stream',
  commits: 'Batches committed',
  commitConflicts: 'Batches that another owner had committed',
  repliesSent: 'Replies to callers',
  jobsDispatched: 'Notifications taken by GMS nodes',
  jobsReturned: 'Notifications that a GMS node handed back',
  jobsRefusedByTerm: 'Dispatches refused because a newer owner exists',
  notificationsDropped: 'Plain notifications dropped at their bound',
  noNodeFound: 'Notifications that found no GMS node and wait',
  snapshotsWritten: 'Sessions written beside the log',
  snapshotsRestored: 'Sessions restored from beside the log',
  snapshotsUnreadable: 'Sessions that cannot be read from, or written, beside the log',
  statesDropped: 'Times that a shard with unreadable state was dropped, to be restored from the log',
  settleDeadlines: 'Notifications sent again because no result came',
  shardsRestarted: 'Shards of this node that made no progress and were taken anew',
  shardsTakenFromStuck: 'Shards taken by force from a node that made no progress with them',
  shardsGivenAway: 'Shards given away because taking them anew did not help',
  sessionsAudited: 'Sessions whose timers were compared with what the fold wants',
  timersRestored: 'Timers that were missing or too late in Redis and were written again',
  notificationsRestored: 'Outbox entries that nobody was sending and that were sent again',
  subscriptionsStranded: 'Open subscriptions found with unretrieved content that nothing announces',
};

/** Prometheus names are `flexpush_actor_<counter>_total`. */
export class PrometheusMeter implements Meter {
  private readonly counters = new Map<MeterName, Counter>();
  private readonly batchRecords: Histogram;
  private readonly commitMs: Histogram;

  constructor(
    private readonly registry: Registry,
    gauges: Record<string, { help: string; read: () => number }>,
  ) {
    for (const [name, help] of Object.entries(counters) as [MeterName, string][]) {
      this.counters.set(
        name,
        new Counter({ name: `flexpush_actor_${snake(name)}_total`, help, registers: [registry] }),
      );
    }
    this.batchRecords = new Histogram({
      name: 'flexpush_actor_batch_records',
      help: 'Records per committed batch',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
      registers: [registry],
    });
    this.commitMs = new Histogram({
      name: 'flexpush_actor_commit_ms',
      help: 'Time of one commit',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 1_000],
      registers: [registry],
    });
    this.addGauges(gauges);
  }

  addGauges(gauges: Record<string, { help: string; read: () => number }>): void {
    for (const [name, { help, read }] of Object.entries(gauges)) {
      new Gauge({
        name: `flexpush_actor_${name}`,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    }
  }

  count(name: MeterName, by = 1): void {
    this.counters.get(name)?.inc(by);
  }

  observe(name: 'batchRecords' | 'commitMs', value: number): void {
    (name === 'batchRecords' ? this.batchRecords : this.commitMs).observe(value);
  }
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
