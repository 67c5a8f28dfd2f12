import { subjects } from '@flexpush/contracts';
import { NODE_BOUNDS, type Delivery, type DispatchDesk, type ResultBatcher } from '@flexpush/delivery';
import type { Bus } from '@flexpush/nats-bus';
import type { Logger } from '@flexpush/process';
import type { Heartbeat } from './heartbeat';

export interface NodeParts {
  nodeId: string;
  bus: Bus;
  desk: DispatchDesk;
  delivery: Delivery;
  results: ResultBatcher;
  heartbeat: Heartbeat;
  log: Logger;
  nowMs: () => number;
}

/** The subscriptions and timers of a gms-node, and the order in which they start and stop. */
export class GmsNode {
  private subscriptions: { stop(): void }[] = [];
  private timers: NodeJS.Timeout[] = [];
  private replacedBy: string | undefined;
  private drained: Promise<void> = Promise.resolve();

  constructor(private readonly parts: NodeParts) {}

  /** The first heartbeat comes last: who hears it may dispatch at once. */
  start(): void {
    const { bus, desk, delivery, nodeId, nowMs, heartbeat } = this.parts;
    // The wait for the options looks like a freeze; it is over before the first dispatch can come.
    desk.tick();
    this.subscriptions = [
      bus.subscribe(subjects.gmsTerm, (message) => desk.announceTerm(message.text())),
      bus.subscribe(subjects.gmsWithdraw(nodeId), (message) => desk.withdraw(message.text())),
      bus.subscribe(subjects.gmsPush(nodeId), (message) =>
        message.respond(JSON.stringify(desk.dispatch(message.text()))),
      ),
    ];
    this.timers = [
      setInterval(() => desk.tick(), NODE_BOUNDS.awakeIntervalMs),
      setInterval(() => delivery.sweep(nowMs()), NODE_BOUNDS.sweepIntervalMs),
    ];
    heartbeat.start();
  }

  /** For readiness. */
  check(): true | string {
    return this.replacedBy === undefined ? true : 'another process has started with this node id';
  }

  /**
   * A later process has this node id. Its owner means that one, so this one falls silent: two answers to one dispatch
   * would be two POSTs. It does not exit, because a supervisor would start it again and it would then be the later one.
   */
  retire(incarnation: string): void {
    if (this.replacedBy !== undefined) return;
    this.replacedBy = incarnation;
    const { log, heartbeat, delivery } = this.parts;
    log.error({ laterIncarnation: incarnation }, 'node.replaced');
    heartbeat.stop();
    this.unsubscribe();
    void delivery.drain();
  }

  /** Tells that no job is to be sent here any more, and hands back those that wait. */
  async beginDrain(): Promise<void> {
    const { desk, heartbeat, delivery, results, bus } = this.parts;
    desk.beginDrain();
    if (this.replacedBy === undefined) heartbeat.change('draining');
    this.drained = delivery.drain();
    results.flush();
    await bus.flush();
  }

  /** Resolves when nothing is in flight. */
  async finishPosts(): Promise<void> {
    await this.drained;
  }

  async flushResults(): Promise<void> {
    this.parts.results.flush();
    await this.parts.bus.flush();
  }

  /** The last word, after all results. */
  async leave(): Promise<void> {
    const { heartbeat, results, bus } = this.parts;
    if (this.replacedBy === undefined) heartbeat.change('gone');
    heartbeat.stop();
    this.unsubscribe();
    for (const timer of this.timers) clearInterval(timer);
    results.stop();
    await bus.flush();
  }

  private unsubscribe(): void {
    for (const subscription of this.subscriptions) subscription.stop();
    this.subscriptions = [];
  }
}
