import { subjects } from '@flexpush/contracts';
import type { RegistryView } from '@flexpush/membership';
import type { Logger, Clock } from '@flexpush/process';
import type { RegistryMetrics } from './metrics';
import type { NodeRegistry } from '@flexpush/membership';

/** Where views go. While it is not connected nothing is judged, because nobody could be heard. */
export interface ViewBus {
  connected(): boolean;
  publish(subject: string, text: string): void;
}

/** Silence is looked at this many times per heartbeat interval: deaths are told at most a quarter interval late. */
const LOOKS_PER_INTERVAL = 4;
/**
 * The least time between two views. A thousand nodes starting together would else publish a thousand growing views;
 * a follower does not notice this delay.
 */
const VIEW_GAP_MS = 20;

/**
 * Publishes the view on each change at once, and every interval for those who missed one.
 *
 * V1 One timer at most is set; a change moves it forward.
 * V2 Nothing is judged or published while the bus is away.
 */
export class ViewPublisher {
  private cancelTimer: (() => void) | undefined;
  private running = false;
  private publishedAtMs = Number.NEGATIVE_INFINITY;
  private fingerprint = '';
  private last: RegistryView | undefined;

  constructor(
    private readonly parts: {
      registry: NodeRegistry;
      bus: ViewBus;
      clock: Clock;
      log: Logger;
      metrics: RegistryMetrics;
      viewIntervalMs: number;
      heartbeatIntervalMs: number;
    },
  ) {}

  start(): void {
    this.running = true;
    this.parts.registry.listenAnew(this.parts.clock.monotonicMs());
    this.look();
  }

  stop(): void {
    this.running = false;
    this.cancelTimer?.();
  }

  /** Somebody came, went or changed: tell it now rather than at the next look. */
  changed(): void {
    if (this.running) this.look();
  }

  /** The connection is back; what was said meanwhile was missed. */
  reconnected(): void {
    this.parts.registry.listenAnew(this.parts.clock.monotonicMs());
    this.changed();
  }

  /** The present view, judged anew. */
  present(): RegistryView {
    return this.judge().view;
  }

  /** The view of the last look, for metrics. */
  lastView(): RegistryView | undefined {
    return this.last;
  }

  private look(): void {
    const { clock, bus, heartbeatIntervalMs, viewIntervalMs } = this.parts;
    const lookMs = Math.max(VIEW_GAP_MS, Math.min(heartbeatIntervalMs / LOOKS_PER_INTERVAL, viewIntervalMs));
    const nextMs = bus.connected() ? this.publishWhenDue(lookMs) : lookMs;
    this.cancelTimer?.();
    this.cancelTimer = clock.after(nextMs, () => this.look());
  }

  /** Answers in how many milliseconds to look again. */
  private publishWhenDue(lookMs: number): number {
    const { clock, bus, viewIntervalMs } = this.parts;
    const { view, fingerprint } = this.judge();
    const sinceMs = clock.monotonicMs() - this.publishedAtMs;
    const isNew = fingerprint !== this.fingerprint;
    if (isNew && sinceMs < VIEW_GAP_MS) return VIEW_GAP_MS - sinceMs;
    if (!isNew && sinceMs < viewIntervalMs) return Math.min(lookMs, viewIntervalMs - sinceMs);
    bus.publish(subjects.registryViewChanged, JSON.stringify(view));
    this.publishedAtMs = clock.monotonicMs();
    this.fingerprint = fingerprint;
    this.parts.metrics.viewsPublished.inc({ cause: isNew ? 'change' : 'interval' });
    return Math.min(lookMs, viewIntervalMs);
  }

  private judge(): { view: RegistryView; fingerprint: string } {
    const { registry, clock, log } = this.parts;
    const { view, died, fingerprint } = registry.judge({
      nowMs: clock.monotonicMs(),
      wallMs: clock.nowMs(),
    });
    for (const { nodeId, incarnation, group } of died)
      log.warn({ gmsNodeId: nodeId, incarnation, group }, 'gms.node-dead');
    this.last = view;
    return { view, fingerprint };
  }
}
