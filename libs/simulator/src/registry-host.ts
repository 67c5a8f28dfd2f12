import { subjects, type GmsHeartbeat, type GmsView } from '@flexpush/contracts';
import { NodeRegistry } from '@flexpush/membership';
import { Host } from './host';
import type { World } from './world';

const HEARTBEAT_MS = 1_000;
const DEAD_AFTER_MS = 3_000;
const VIEW_MS = 1_000;
const LOOK_MS = 250;

/** A gms-registry process: the real registry, and a loop that publishes its view on change and each second. */
export class RegistryHost {
  readonly host: Host;
  private readonly registry: NodeRegistry;
  private publishedAtMs = Number.NEGATIVE_INFINITY;
  private fingerprint = '';
  private wasConnected = true;

  constructor(
    private readonly world: World,
    readonly name: string,
    incarnation: string,
  ) {
    this.host = new Host(name, world.time);
    this.registry = new NodeRegistry({
      registryId: `${name}:${incarnation}`,
      heartbeatIntervalMs: HEARTBEAT_MS,
      deadAfterMs: DEAD_AFTER_MS,
      viewIntervalMs: VIEW_MS,
    });
  }

  start(): void {
    const { world, host, registry } = this;
    const { network } = world;
    const nowMs = () => host.clock.monotonicMs();
    network.subscribe(host, subjects.gmsHeartbeat, (message) => {
      const heartbeat = JSON.parse(message.text()) as GmsHeartbeat;
      if (registry.hear(heartbeat, nowMs()) !== 'refreshed') this.publish();
    });
    network.subscribe(host, subjects.registryViewChanged, (message) => {
      registry.hearView((JSON.parse(message.text()) as GmsView).registryId, nowMs());
    });
    registry.listenAnew(nowMs());
    this.look();
  }

  leave(): Promise<void> {
    this.kill();
    return Promise.resolve();
  }

  kill(): void {
    this.host.kill();
    this.world.network.leave(this.host);
  }

  private look(): void {
    const isConnected = this.world.network.reaches(this.host, 'nats');
    if (isConnected && !this.wasConnected) this.registry.listenAnew(this.host.clock.monotonicMs());
    this.wasConnected = isConnected;
    if (isConnected) this.publish();
    this.host.clock.after(LOOK_MS, () => this.look());
  }

  private publish(): void {
    const { clock } = this.host;
    const nowMs = clock.monotonicMs();
    const { view, fingerprint } = this.registry.judge({ nowMs, wallMs: clock.nowMs() });
    if (fingerprint === this.fingerprint && nowMs - this.publishedAtMs < VIEW_MS) return;
    this.fingerprint = fingerprint;
    this.publishedAtMs = nowMs;
    this.world.network.publish(this.host, subjects.registryViewChanged, JSON.stringify(view));
  }
}
