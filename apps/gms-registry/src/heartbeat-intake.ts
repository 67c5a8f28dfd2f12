import { gmsHeartbeatSchema, type GmsHeartbeat } from '@flexpush/contracts';
import type { SignalOutcome } from '@flexpush/membership';
import { LogBound, type Logger, type Clock } from '@flexpush/process';
import type { RegistryMetrics } from './metrics';
import { NODES_MAX, type NodeRegistry } from '@flexpush/membership';
import type { Received } from './plain-json-codec';

const REFUSED_LINES_MAX = 5;
const REFUSED_WINDOW_MS = 10_000;

/** Takes heartbeats off the wire: what is lawful goes to the registry, the rest is counted, logged and ignored. */
export class HeartbeatIntake {
  private readonly malformedLines = new LogBound({
    linesMax: REFUSED_LINES_MAX,
    windowMs: REFUSED_WINDOW_MS,
  });
  private readonly fullLines = new LogBound({ linesMax: REFUSED_LINES_MAX, windowMs: REFUSED_WINDOW_MS });

  constructor(
    private readonly parts: {
      registry: NodeRegistry;
      clock: Clock;
      log: Logger;
      metrics: RegistryMetrics;
      onChange: () => void;
    },
  ) {}

  take(received: Received): void {
    const { registry, clock, metrics } = this.parts;
    if (received.kind === 'malformed') return this.refuse(received.reason, received.reason);
    const parsed = gmsHeartbeatSchema.safeParse(received.value);
    if (!parsed.success)
      return this.refuse('not-a-heartbeat', parsed.error.issues[0]?.path.join('.') ?? 'unknown');
    const outcome = registry.hear(parsed.data, clock.monotonicMs());
    metrics.heartbeats.inc({ outcome });
    this.follow(outcome, parsed.data);
  }

  private follow(outcome: SignalOutcome, heartbeat: GmsHeartbeat): void {
    const { log, onChange } = this.parts;
    const { nodeId, incarnation, group, state } = heartbeat;
    const facts = { gmsNodeId: nodeId, incarnation, group, state };
    switch (outcome) {
      case 'joined':
      case 'restarted':
      case 'changed':
        log.info({ ...facts, outcome }, 'gms.node-changed');
        return onChange();
      case 'left':
        log.info(facts, 'gms.node-left');
        return onChange();
      case 'full': {
        const line = this.fullLines.pass(this.parts.clock.monotonicMs());
        if (line) log.error({ ...facts, nodesMax: NODES_MAX, ...line }, 'gms.registry-full');
        return;
      }
      case 'refreshed':
      case 'stale':
        return;
      default:
        outcome satisfies never;
    }
  }

  /** The content is not logged: a malformed message may hold anything. `where` names only the field at fault. */
  private refuse(reason: string, where: string): void {
    this.parts.metrics.malformed.inc({ reason });
    const line = this.malformedLines.pass(this.parts.clock.monotonicMs());
    if (line) this.parts.log.warn({ reason, where: where.slice(0, 80), ...line }, 'gms.heartbeat-malformed');
  }
}
