import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** From the fast path of some milliseconds to the time-out. */
const DURATION_BUCKETS_S = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What operators see of the requests. */
export class ChatMetrics {
  private readonly requests: Counter<'operation' | 'outcome'>;
  private readonly duration: Histogram<'operation'>;
  private readonly appendedAgain: Counter;
  private readonly replies: Counter<'problem'>;
  private readonly answersDropped: Counter;

  constructor(
    private readonly registry: Registry,
    inFlight: () => number,
  ) {
    const registers = [registry];
    this.requests = new Counter({
      name: 'flexpush_chat_requests_total',
      help: 'Chat API requests by operation and outcome.',
      labelNames: ['operation', 'outcome'],
      registers,
    });
    this.duration = new Histogram({
      name: 'flexpush_chat_request_duration_seconds',
      help: 'Time from the parsed request to its answer.',
      labelNames: ['operation'],
      buckets: DURATION_BUCKETS_S,
      registers,
    });
    this.appendedAgain = new Counter({
      name: 'flexpush_chat_records_appended_again_total',
      help: 'Records appended again because no reply came.',
      registers,
    });
    this.replies = new Counter({
      name: 'flexpush_chat_replies_unused_total',
      help: 'Replies that nobody waits for any more, or that do not parse.',
      labelNames: ['problem'],
      registers,
    });
    this.answersDropped = new Counter({
      name: 'flexpush_chat_answers_dropped_total',
      help: 'Answers that the client did not read, dropped with their connections.',
      registers,
    });
    new Gauge({
      name: 'flexpush_chat_requests_in_flight',
      help: 'Requests under way.',
      registers,
      collect() {
        this.set(inFlight());
      },
    });
  }

  watchTransfers(inFlight: () => number): void {
    new Gauge({
      name: 'flexpush_chat_file_transfers_in_flight',
      help: 'Uploads and downloads of files under way.',
      registers: [this.registry],
      collect() {
        this.set(inFlight());
      },
    });
  }

  /** Bytes of files that wait for their credentials, by where. */
  watchSpools(bytes: Record<'memory' | 'disk', () => number>): void {
    new Gauge({
      name: 'flexpush_chat_spooled_bytes',
      help: 'Bytes of uploads that came before their credentials and wait for them.',
      labelNames: ['where'],
      registers: [this.registry],
      collect() {
        this.set({ where: 'memory' }, bytes.memory());
        this.set({ where: 'disk' }, bytes.disk());
      },
    });
  }

  answered(request: { operation: string; outcome: string; tookMs: number }): void {
    this.requests.inc({ operation: request.operation, outcome: request.outcome });
    this.duration.observe({ operation: request.operation }, request.tookMs / 1000);
  }

  /** A request that never reached an operation. */
  turnedAway(outcome: string): void {
    this.requests.inc({ operation: 'none', outcome });
  }

  answerDropped(): void {
    this.answersDropped.inc();
  }

  callEvent(event: 'appended-again' | 'reply-unmatched' | 'reply-malformed'): void {
    if (event === 'appended-again') this.appendedAgain.inc();
    else this.replies.inc({ problem: event === 'reply-unmatched' ? 'unmatched' : 'malformed' });
  }
}
