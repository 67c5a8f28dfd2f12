import type { Delivery, JobResult, PostOutcome, Refusal } from '@flexpush/delivery';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** The numbers of a gms-node. Labels come from small sets, never from user data. */
export class NodeMetrics {
  private readonly settled: Counter<'outcome'>;
  private readonly failed: Counter<'cause'>;
  private readonly repeated: Counter;
  private readonly refused: Counter<'reason'>;
  private readonly resultsDropped: Counter;
  private readonly posts: Histogram<'outcome'>;

  constructor(private readonly registry: Registry) {
    const registers = [registry];
    this.settled = new Counter({
      name: 'flexpush_gms_notifications_settled_total',
      help: 'Notifications by what became of them.',
      labelNames: ['outcome'],
      registers,
    });
    this.failed = new Counter({
      name: 'flexpush_gms_notifications_failed_total',
      help: 'Failed notifications by cause.',
      labelNames: ['cause'],
      registers,
    });
    this.repeated = new Counter({
      name: 'flexpush_gms_repeated_notifications_total',
      help: 'Repeated notification ids that were answered from memory and not posted again.',
      registers,
    });
    this.refused = new Counter({
      name: 'flexpush_gms_dispatches_refused_total',
      help: 'Refused dispatches (busy, draining, stale, malformed) and jobs (malformed-job, old-term).',
      labelNames: ['reason'],
      registers,
    });
    this.resultsDropped = new Counter({
      name: 'flexpush_gms_results_dropped_total',
      help: 'Results given up because too many waited for NATS; their owners ask again.',
      registers,
    });
    this.posts = new Histogram({
      name: 'flexpush_gms_post_duration_seconds',
      help: 'POSTs from start to the end of the answer.',
      labelNames: ['outcome'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
  }

  /** Gauges are read from the delivery when someone asks. */
  watch(delivery: Delivery): void {
    const registers = [this.registry];
    new Gauge({
      name: 'flexpush_gms_queued_notifications',
      help: 'Notifications that wait.',
      registers,
      collect() {
        this.set(delivery.queued);
      },
    });
    new Gauge({
      name: 'flexpush_gms_in_flight_posts',
      help: 'POSTs under way.',
      registers,
      collect() {
        this.set(delivery.inFlight);
      },
    });
    new Gauge({
      name: 'flexpush_gms_breaker_open',
      help: '1 while a destination is not tried or being probed.',
      labelNames: ['destination'],
      registers,
      collect() {
        this.reset();
        for (const { origin, breaker } of delivery.destinationStates())
          this.set({ destination: origin }, breaker === 'closed' ? 0 : 1);
      },
    });
  }

  settle(result: JobResult, from: 'new' | 'known'): void {
    if (from === 'known') {
      this.repeated.inc();
      return;
    }
    this.settled.inc({ outcome: result.outcome });
    if (result.outcome === 'failed') this.failed.inc({ cause: causeOf(result.reason ?? 'unknown') });
  }

  post(attempt: { outcome: PostOutcome; tookMs: number }): void {
    const { outcome } = attempt;
    const label = outcome.kind === 'answered' ? `${Math.floor(outcome.status / 100)}xx` : outcome.cause;
    this.posts.observe({ outcome: label }, attempt.tookMs / 1000);
  }

  refuse(reason: Refusal, count = 1): void {
    this.refused.inc({ reason }, count);
  }

  dropResults(count: number): void {
    this.resultsDropped.inc(count);
  }
}

/** `http-503` becomes `http-5xx` and `connection-ECONNREFUSED` becomes `connection`, so that labels stay few. */
function causeOf(reason: string): string {
  for (const cause of ['connection', 'authorization']) if (reason.startsWith(`${cause}-`)) return cause;
  return reason.replace(/^http-(\d)\d*$/, 'http-$1xx');
}
