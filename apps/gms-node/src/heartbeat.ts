import { parseJson, gmsHeartbeatSchema, subjects, type GmsHeartbeat } from '@flexpush/contracts';
import type { Bus } from '@flexpush/nats-bus';

export type NodeState = GmsHeartbeat['state'];

export interface HeartbeatOptions {
  nodeId: GmsHeartbeat['nodeId'];
  incarnation: string;
  group: string;
  types: string[];
  capacity: number;
  intervalMs: number;
  load: () => { queued: number; inFlight: number };
  /** Another process with this node id has started after this one. */
  replaced: (incarnation: string) => void;
}

/**
 * Tells everyone that this node is there and how it is: at the start, on each change of state, and in between at the
 * interval. It also listens for its own node id, because two processes under one id would post everything twice.
 */
export class Heartbeat {
  private state: NodeState = 'ready';
  private interval: NodeJS.Timeout | undefined;
  private subscription: { stop(): void } | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly options: HeartbeatOptions,
  ) {}

  start(): void {
    this.subscription = this.bus.subscribe(subjects.gmsHeartbeat, (message) => this.hear(message.text()));
    this.interval = setInterval(() => this.beat(), this.options.intervalMs);
    this.beat();
  }

  change(state: NodeState): void {
    this.state = state;
    this.beat();
  }

  /** No further beat. */
  stop(): void {
    clearInterval(this.interval);
    this.subscription?.stop();
  }

  beat(): void {
    // Beats that wait in the client for a reconnect would tell of the past.
    if (!this.bus.connected()) return;
    const { nodeId, incarnation, group, types, capacity, load } = this.options;
    const beat: GmsHeartbeat = {
      v: 1,
      nodeId,
      incarnation,
      group,
      types,
      capacity,
      state: this.state,
      ...load(),
    };
    this.bus.publish(subjects.gmsHeartbeat, JSON.stringify(beat));
  }

  private hear(text: string): void {
    // The cheap look first: there is one beat a second of every node.
    if (!text.includes(this.options.nodeId)) return;
    const beat = gmsHeartbeatSchema.safeParse(parseJson(text));
    if (!beat.success || beat.data.nodeId !== this.options.nodeId) return;
    // Incarnations sort by their start.
    if (beat.data.incarnation > this.options.incarnation && beat.data.state !== 'gone')
      this.options.replaced(beat.data.incarnation);
  }
}
