import type { Operations } from '@flexpush/process';
import { Counter, Gauge } from 'prom-client';
import type { RegistryView } from '@flexpush/membership';

export interface RegistryMetrics {
  readonly heartbeats: Counter<'outcome'>;
  readonly malformed: Counter<'reason'>;
  readonly viewsPublished: Counter<'cause'>;
}

/** `lastView` is read when somebody asks for the metrics. */
export function createMetrics(
  operations: Operations,
  lastView: () => RegistryView | undefined,
): RegistryMetrics {
  const registers = [operations.registry];
  new Gauge({
    name: 'flexpush_registry_nodes',
    help: 'GMS nodes in the view',
    labelNames: ['group', 'state', 'status'] as const,
    registers,
    collect() {
      // A group whose last node left must vanish instead of staying at its last value.
      this.reset();
      for (const { group, state, status } of lastView()?.nodes ?? []) this.inc({ group, state, status });
    },
  });
  new Gauge({
    name: 'flexpush_registry_settled',
    help: '1 when this registry has listened for a whole dead time-out, so that its view may remove nodes',
    registers,
    collect() {
      this.set(lastView()?.settled ? 1 : 0);
    },
  });
  return {
    heartbeats: new Counter({
      name: 'flexpush_registry_heartbeats_total',
      help: 'Heartbeats of GMS nodes by what they changed',
      labelNames: ['outcome'] as const,
      registers,
    }),
    malformed: new Counter({
      name: 'flexpush_registry_malformed_total',
      help: 'Messages that were no heartbeat and were ignored',
      labelNames: ['reason'] as const,
      registers,
    }),
    viewsPublished: new Counter({
      name: 'flexpush_registry_views_published_total',
      help: 'Views published, because of a change or because the interval was over',
      labelNames: ['cause'] as const,
      registers,
    }),
  };
}
