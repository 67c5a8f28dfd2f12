import { subjects, type NodeId, type PeerHeartbeat } from '@flexpush/contracts';
import { FailureDetector, shardsOwnedBy } from '@flexpush/membership';
import type { Clock, Log } from './ports';

/** What the split needs of NATS (`Bus` of nats-bus). */
export interface PeerBus {
  connected(): boolean;
  publish(subject: string, payload: string): void;
  subscribe(subject: string, handler: (message: { text(): string }) => void): { stop(): void };
}

export const PEERS_MAX = 256;
/** One missed heartbeat, with half an interval for lateness. */
const SUSPECT_AFTER_INTERVALS = 1.5;
const LOOKS_PER_INTERVAL = 4;

/**
 * Splits the shards among the replicas that live, by rendezvous over their heartbeats. Claims are atomic, so two
 * replicas that disagree for a moment do no harm: the split only spares them asking for the same timers.
 *
 * H1 This replica counts itself as long as it has not left, whatever it hears.
 * H2 A replica that is leaving owns nothing: its shards move while it still finishes what it claimed.
 * H3 While NATS is away the split stays as it was; silence then says nothing about the others.
 */
export class ShardSplit {
  private readonly detector: FailureDetector<PeerHeartbeat>;
  private subscription: { stop(): void } | undefined;
  private cancelTimer: (() => void) | undefined;
  private state: PeerHeartbeat['state'] = 'up';
  private beatAtMs = Number.NEGATIVE_INFINITY;
  private members = '';
  private shards: readonly number[] = [];

  constructor(
    private readonly parts: {
      nodeId: string;
      incarnation: string;
      shardCount: number;
      heartbeatIntervalMs: number;
      deadAfterMs: number;
      bus: PeerBus;
      /** undefined: a stranger's message, which must not move shards. */
      readHeartbeat: (text: string) => PeerHeartbeat | undefined;
      clock: Clock;
      log: Log;
      onChange: (shards: readonly number[]) => void;
    },
  ) {
    const { heartbeatIntervalMs, deadAfterMs } = parts;
    this.detector = new FailureDetector({
      heartbeatIntervalMs,
      suspectAfterMs: SUSPECT_AFTER_INTERVALS * heartbeatIntervalMs,
      deadAfterMs,
      peersMax: PEERS_MAX,
    });
  }

  start(): void {
    this.subscription = this.parts.bus.subscribe(subjects.timerHeartbeat, (message) =>
      this.hear(message.text()),
    );
    this.look();
  }

  owned(): readonly number[] {
    return this.shards;
  }

  /** Says so at once: the others take over the shards without waiting for a time-out. */
  leave(): void {
    this.state = 'leaving';
    this.beat();
    this.divide();
  }

  /** The last word of this process. */
  stop(): void {
    this.cancelTimer?.();
    this.subscription?.stop();
    this.state = 'gone';
    this.beat();
  }

  private look(): void {
    const { clock, bus, heartbeatIntervalMs } = this.parts;
    if (clock.monotonicMs() - this.beatAtMs >= heartbeatIntervalMs) this.beat();
    if (bus.connected()) this.divide();
    this.cancelTimer = clock.after(heartbeatIntervalMs / LOOKS_PER_INTERVAL, () => this.look());
  }

  private beat(): void {
    const { nodeId, incarnation, bus, clock } = this.parts;
    this.beatAtMs = clock.monotonicMs();
    const heartbeat: PeerHeartbeat = { v: 1, nodeId: nodeId as NodeId, incarnation, state: this.state };
    // Beats from before an outage are worthless after it, so none is left to wait in the client's buffer.
    if (bus.connected()) bus.publish(subjects.timerHeartbeat, JSON.stringify(heartbeat));
  }

  private hear(text: string): void {
    const heartbeat = this.parts.readHeartbeat(text);
    if (heartbeat === undefined || heartbeat.nodeId === this.parts.nodeId) return;
    const outcome = this.detector.signal(heartbeat, this.parts.clock.monotonicMs());
    if (outcome === 'refreshed' || outcome === 'stale' || outcome === 'full') return;
    // A newcomer learns who is here without waiting for the next beat. It cannot echo: it joins once.
    if ((outcome === 'joined' || outcome === 'restarted') && this.state === 'up') this.beat();
    this.divide();
  }

  private divide(): void {
    const { nodeId, shardCount, log, clock, onChange } = this.parts;
    const { peers, died } = this.detector.judge(clock.monotonicMs());
    for (const peer of died) log.warn({ peerId: peer.nodeId }, 'timers.peer-dead');
    const up: string[] = peers
      .filter(({ heartbeat }) => heartbeat.state === 'up')
      .map(({ heartbeat }) => heartbeat.nodeId);
    if (this.state === 'up') up.push(nodeId);
    const members = up.sort().join(' ');
    if (members === this.members) return;
    this.members = members;
    this.shards = shardsOwnedBy(nodeId, up, shardCount);
    log.info({ members: up, shardsOwned: this.shards.length }, 'timers.split');
    onChange(this.shards);
  }
}
