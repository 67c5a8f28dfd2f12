import type { GmsHeartbeat, GmsNode } from '@flexpush/contracts';
import { FailureDetector, type Peer, type SignalOutcome } from './failure-detector';
import type { RegistryView } from './followed-view';

/** Nodes in one view. With every field at its longest, the view still fits into the server's default max_payload. */
export const NODES_MAX = 1_000;
/** One missed heartbeat, with half an interval for lateness. */
const SUSPECT_AFTER_INTERVALS = 1.5;
/** Own views that may fail to come back before the registry takes itself for deaf. */
const ECHO_INTERVALS = 2;

export interface NodeRegistryOptions {
  /** Differs between processes and between starts, because a registry recognises its own views by it. */
  readonly registryId: string;
  readonly heartbeatIntervalMs: number;
  readonly deadAfterMs: number;
  readonly viewIntervalMs: number;
}

export interface NodeJudgement {
  readonly view: RegistryView;
  readonly died: readonly GmsHeartbeat[];
  /** Equal as long as nothing changed that placement depends on. Load figures change with each beat and are left out. */
  readonly fingerprint: string;
}

/**
 * The GMS nodes as one registry knows them. No I/O and no clock.
 *
 * N1 Every registry that hears the same heartbeats computes the same nodes in the same order; there is no leader.
 * N2 `settled` is true only when this registry has listened without a break for the dead time-out, so every living
 *    node had its chance to be heard. Followers forget nodes only by a settled view. A break is the start, a lost
 *    connection, an own freeze, or own views that do not come back (a connection that looks open and is not).
 */
export class NodeRegistry {
  private readonly detector: FailureDetector<GmsHeartbeat>;
  private listeningSinceMs: number | undefined;
  private echoedAtMs: number | undefined;
  private judgedAtMs: number | undefined;

  constructor(private readonly options: NodeRegistryOptions) {
    this.detector = new FailureDetector({
      heartbeatIntervalMs: options.heartbeatIntervalMs,
      suspectAfterMs: SUSPECT_AFTER_INTERVALS * options.heartbeatIntervalMs,
      deadAfterMs: options.deadAfterMs,
      peersMax: NODES_MAX,
    });
  }

  hear(heartbeat: GmsHeartbeat, nowMs: number): SignalOutcome {
    return this.detector.signal(heartbeat, nowMs);
  }

  /** A break in listening ended just now (N2). */
  listenAnew(nowMs: number): void {
    this.listeningSinceMs = nowMs;
  }

  /** A view came back; only an own one proves anything. */
  hearView(registryId: string, nowMs: number): void {
    if (registryId !== this.options.registryId) return;
    if (!this.echoes(nowMs)) this.listenAnew(nowMs);
    this.echoedAtMs = nowMs;
  }

  judge(time: { nowMs: number; wallMs: number }): NodeJudgement {
    const { nowMs, wallMs } = time;
    const gapMs = nowMs - (this.judgedAtMs ?? nowMs);
    if (gapMs > this.options.heartbeatIntervalMs) this.listenAnew(nowMs);
    this.judgedAtMs = nowMs;
    const { peers, died } = this.detector.judge(nowMs);
    const nodes = peers.map(toNode);
    const settled = this.settled(nowMs);
    const view: RegistryView = {
      v: 1,
      registryId: this.options.registryId,
      atMs: wallMs,
      settled,
      nodes,
    };
    const placement = nodes.map((node) => ({ ...node, queued: 0, inFlight: 0 }));
    return { view, died, fingerprint: JSON.stringify([settled, placement]) };
  }

  private settled(nowMs: number): boolean {
    if (this.listeningSinceMs === undefined || !this.echoes(nowMs)) return false;
    return nowMs - this.listeningSinceMs >= this.options.deadAfterMs;
  }

  private echoes(nowMs: number): boolean {
    return (
      this.echoedAtMs !== undefined && nowMs - this.echoedAtMs <= ECHO_INTERVALS * this.options.viewIntervalMs
    );
  }
}

function toNode({ heartbeat, status }: Peer<GmsHeartbeat>): GmsNode {
  const { v: _version, ...node } = heartbeat;
  return { ...node, status };
}
