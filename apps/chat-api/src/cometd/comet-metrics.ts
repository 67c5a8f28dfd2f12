import { Counter, Gauge, type Registry } from 'prom-client';
import type { EndCause } from './bayeux-session';

/** What operators see of the CometD clients. */
export class CometMetrics {
  private readonly handshakes: Counter<'outcome'>;
  private readonly refusals: Counter<'error'>;
  private readonly ends: Counter<'cause'>;
  private readonly events: Counter;
  private readonly pushes: Counter<'status'>;

  constructor(registry: Registry, sessions: () => number) {
    const registers = [registry];
    this.handshakes = new Counter({
      name: 'flexpush_comet_handshakes_total',
      help: 'Bayeux handshakes by outcome.',
      labelNames: ['outcome'],
      registers,
    });
    this.refusals = new Counter({
      name: 'flexpush_comet_messages_refused_total',
      help: 'Bayeux messages that were refused, by error.',
      labelNames: ['error'],
      registers,
    });
    this.ends = new Counter({
      name: 'flexpush_comet_sessions_ended_total',
      help: 'Bayeux sessions that ended, by cause.',
      labelNames: ['cause'],
      registers,
    });
    this.events = new Counter({
      name: 'flexpush_comet_events_total',
      help: 'Chat events queued for CometD clients.',
      registers,
    });
    this.pushes = new Counter({
      name: 'flexpush_comet_pushes_total',
      help: 'Notifications for CometD clients that came from GMS nodes, by what was answered.',
      labelNames: ['status'],
      registers,
    });
    new Gauge({
      name: 'flexpush_comet_sessions',
      help: 'Bayeux sessions.',
      registers,
      collect() {
        this.set(sessions());
      },
    });
  }

  handshake(outcome: string): void {
    this.handshakes.inc({ outcome });
  }

  refused(error: string): void {
    this.refusals.inc({ error });
  }

  ended(cause: EndCause): void {
    this.ends.inc({ cause });
  }

  delivered(events: number): void {
    this.events.inc(events);
  }

  pushed(status: 'taken' | 'gone'): void {
    this.pushes.inc({ status });
  }
}
