import type { NodeId, PushResults } from '@flexpush/contracts';
import { NODE_BOUNDS } from './node-bounds';

export type PushResult = PushResults['results'][number];

export interface ResultPorts {
  publish: (actorId: string, payload: string) => void;
  connected: () => boolean;
  /** Returns the function that cancels. */
  setTimer: (delayMs: number, run: () => void) => () => void;
  dropped: (count: number) => void;
}

/**
 * Sends results to the session-actors that asked, many per message.
 *
 * R1. A result waits at most the linger while NATS is there.
 * R2. At most `resultsPendingMax` results wait; beyond it the oldest are dropped and counted. Nothing is lost by that:
 *     the owner sends an unsettled id again, and the node then answers with the result it remembers.
 */
export class ResultBatcher {
  private pending = new Map<string, PushResult[]>();
  private pendingCount = 0;
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly nodeId: NodeId,
    private readonly ports: ResultPorts,
  ) {}

  add(actorId: string, result: PushResult): void {
    const results = this.pending.get(actorId);
    if (results === undefined) this.pending.set(actorId, [result]);
    else results.push(result);
    this.pendingCount += 1;
    if (this.pendingCount > NODE_BOUNDS.resultsPendingMax) this.dropOldest();
    if (results !== undefined && results.length >= NODE_BOUNDS.resultsPerMessage) this.flush();
    else this.cancelTimer ??= this.ports.setTimer(NODE_BOUNDS.resultLingerMs, () => this.flush());
  }

  /** Sends everything that waits, if NATS is there; else tries again later. */
  flush(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    if (this.pendingCount === 0) return;
    if (!this.ports.connected()) {
      this.cancelTimer = this.ports.setTimer(NODE_BOUNDS.resultRetryMs, () => this.flush());
      return;
    }
    const { pending } = this;
    // Not `clear`, which has the table of before point to the next one: see PassingMap.
    this.pending = new Map();
    this.pendingCount = 0;
    for (const [actorId, results] of pending) this.send(actorId, results);
  }

  /** Ends the timer; what still waits is left to the owner's settle deadline. */
  stop(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  private send(actorId: string, results: PushResult[]): void {
    for (let at = 0; at < results.length; at += NODE_BOUNDS.resultsPerMessage) {
      const message: PushResults = {
        v: 1,
        nodeId: this.nodeId,
        results: results.slice(at, at + NODE_BOUNDS.resultsPerMessage),
      };
      this.ports.publish(actorId, JSON.stringify(message));
    }
  }

  /** The oldest results of the actor that has waited longest. */
  private dropOldest(): void {
    for (const [actorId, results] of this.pending) {
      const dropped = results.splice(0, NODE_BOUNDS.resultsPerMessage).length;
      if (results.length === 0) this.pending.delete(actorId);
      this.pendingCount -= dropped;
      this.ports.dropped(dropped);
      return;
    }
  }
}
