import type { Logger, Operations, Clock } from '@flexpush/process';
import type { RegistryConfig } from './config';
import { HeartbeatIntake } from './heartbeat-intake';
import { createMetrics, type RegistryMetrics } from './metrics';
import { NodeRegistry } from '@flexpush/membership';
import type { Received } from './plain-json-codec';
import { ViewPublisher, type ViewBus } from './view-publisher';

/** The parts of one registry, put together. */
export class Registry {
  readonly publisher: ViewPublisher;
  readonly intake: HeartbeatIntake;
  private readonly nodes: NodeRegistry;

  constructor(
    private readonly parts: {
      registryId: string;
      config: Pick<
        RegistryConfig,
        'FLEXPUSH_HEARTBEAT_INTERVAL_MS' | 'FLEXPUSH_DEAD_AFTER_MS' | 'FLEXPUSH_VIEW_INTERVAL_MS'
      >;
      clock: Clock;
      bus: ViewBus;
      log: Logger;
      operations: Operations;
    },
  ) {
    const { config, registryId, clock, bus, log, operations } = parts;
    const heartbeatIntervalMs = config.FLEXPUSH_HEARTBEAT_INTERVAL_MS;
    const viewIntervalMs = config.FLEXPUSH_VIEW_INTERVAL_MS;
    const deadAfterMs = config.FLEXPUSH_DEAD_AFTER_MS;
    const registry = new NodeRegistry({ registryId, heartbeatIntervalMs, viewIntervalMs, deadAfterMs });
    const metrics: RegistryMetrics = createMetrics(operations, () => this.publisher.lastView());
    this.nodes = registry;
    this.publisher = new ViewPublisher({
      registry,
      bus,
      clock,
      log,
      metrics,
      viewIntervalMs,
      heartbeatIntervalMs,
    });
    this.intake = new HeartbeatIntake({
      registry,
      clock,
      log,
      metrics,
      onChange: () => this.publisher.changed(),
    });
  }

  /** Views of other registries and what is no view at all are not ours to judge. */
  hearView(received: Received): void {
    if (received.kind === 'malformed' || typeof received.value !== 'object' || received.value === null)
      return;
    const { registryId } = received.value as { registryId?: unknown };
    if (typeof registryId === 'string') this.nodes.hearView(registryId, this.parts.clock.monotonicMs());
  }
}
