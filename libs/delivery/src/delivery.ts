import {
  listOf,
  PassingMap,
  readOption,
  subscriptionOf,
  type OptionValues,
  type PushJob,
} from '@flexpush/contracts';
import {
  DESTINATION_IDLE_MS,
  FLIGHTS_SHARED_MAX,
  FLIGHTS_SURE,
  REMEMBERED_AGE_MS,
  type DeliveryBounds,
} from './bounds';
import { CircuitBreaker, type Admission } from './circuit-breaker';
import type { HttpConnection } from './connection';
import { reasons, type DeliveryJob, type JobResult } from './delivery-job';
import { Destination, type Subscription } from './destination';
import { FailureLog, shownDeviceId, type DeliveryLogger } from './failure-log';
import type { Channel, PostOutcome } from './channel';
import type { NoTarget, Provider, Target } from './provider';
import { RecentMap } from './recent-map';

/** What delivery needs of its surroundings. */
export interface DeliveryPorts {
  /** A monotonic clock: setting the wall clock must not make jobs old or young. */
  nowMs: () => number;
  openChannel: (origin: string, connection: HttpConnection) => Channel;
  /** Whether a newer owner of the shard has been heard of. */
  isDeposed: (shard: number, term: number) => boolean;
  /** A job has its result. `known` results are answers to a repeated id: nothing happened but the answer. */
  settled: (job: DeliveryJob, result: JobResult, from: 'new' | 'known') => void;
  /** A POST has ended. */
  attempted?: (attempt: { destination: string; outcome: PostOutcome; tookMs: number }) => void;
  log: DeliveryLogger;
  providers: readonly Provider[];
}

/** What is known of a subscription's triggers beyond the queue. */
interface TriggerMarks {
  withdrawnN: number;
  startedN: number;
}

interface Flight {
  provider: Provider;
  target: Target;
  delivery: DeliveryJob;
  subscription: Subscription;
  destination: Destination;
  admission: Admission;
  startedAtMs: number;
}

/** Targets by provider and debug; the provider's name comes from outside, so the cache is bounded. */
const TARGETS_MAX = 256;

/**
 * Delivers notifications: takes jobs, starts POSTs, says what became of each job. It is synchronous but for the
 * channels; `sweep` must be called a few times a second.
 *
 * D1. (I7) Of one subscription at most one POST is in flight, and its jobs start in the order they came.
 * D2. (I7) Subscriptions do not wait for each other, save for the permits of their destination, first come first
 *     served. Sequential mode has one permit for the whole node.
 * D3. (I7) Of one subscription at most one trigger waits; a newer one replaces it, and none starts after a newer one.
 * D4. (I5) After `withdraw(subscription, n)` no trigger of that subscription with a number up to n starts.
 * D5. An id that waits or is in flight is not taken twice; an id that has its result is answered with it and not
 *     posted again, as long as it is remembered. `returned` is no result: such a job may come again.
 * D6. (I3, I5) A job starts only while it is younger than the dead time-out and its term is not deposed; else it is
 *     handed back. So a node that was frozen repeats nothing old.
 * D7. Every accepted id is settled: delivered, failed, superseded, withdrawn or returned. An id that is accepted again
 *     while it waits or flies has one result, which goes to the last who asked.
 * D8. (I9) At most `queueMax` jobs wait, and a destination never has more posts in flight than connections, so nothing
 *     queues inside a channel. Many destinations that hang cannot take the last connections of another.
 * D9. A failed notification is never posted again.
 */
export class Delivery {
  private readonly subscriptions = new PassingMap<string, Subscription>();
  /** Jobs that wait or are in flight, by notification id. */
  private readonly present = new PassingMap<string, DeliveryJob>();
  private readonly destinations = new Map<string, Destination>();
  private readonly remembered: RecentMap<JobResult>;
  private readonly marks: RecentMap<TriggerMarks>;
  private readonly failureLog: FailureLog;
  private readonly targets = new Map<string, Target | NoTarget>();
  private readonly providers = new Map<string, Provider>();
  private options: OptionValues = {};
  private enabledTypes: ReadonlySet<string> = new Set();
  private sequential = false;
  private queuedJobs = 0;
  private flights = 0;
  private lastLinedUpAt = 0;
  private draining = false;
  private onLastLanding: (() => void) | undefined;

  constructor(
    private readonly ports: DeliveryPorts,
    private readonly bounds: DeliveryBounds,
  ) {
    const remember = { entriesMax: bounds.rememberedMax, ageMaxMs: REMEMBERED_AGE_MS };
    this.remembered = new RecentMap(remember);
    this.marks = new RecentMap(remember);
    this.failureLog = new FailureLog(ports.log);
    for (const provider of ports.providers) this.providers.set(provider.deviceType, provider);
  }

  get queued(): number {
    return this.queuedJobs;
  }

  get inFlight(): number {
    return this.flights;
  }

  /** For metrics: each destination with its breaker. */
  destinationStates(): { origin: string; breaker: CircuitBreaker['status']; inFlight: number }[] {
    return [...this.destinations.values()].map(({ name, breaker, inFlight }) => ({
      origin: name,
      breaker: breaker.status,
      inFlight,
    }));
  }

  /** The options from now on; jobs that wait go by them too. */
  useOptions(options: OptionValues): void {
    this.options = options;
    this.targets.clear();
    this.enabledTypes = new Set(listOf(readOption(options, ['push'], 'pushEnabled')));
    this.sequential = readOption(options, ['push'], 'delivery-mode') === 'sequential';
    this.startAll(this.ports.nowMs());
  }

  /** Takes all of the jobs or, when they would pass the bound (D8) or the node drains, none. */
  offer(jobs: readonly DeliveryJob[]): 'accepted' | 'busy' {
    if (this.draining || this.queuedJobs + jobs.length > this.bounds.queueMax) return 'busy';
    const nowMs = this.ports.nowMs();
    for (const job of jobs) this.take(job, nowMs);
    return 'accepted';
  }

  /** A confirm: triggers up to `n` are no longer wanted (D4). */
  withdraw(withdrawal: { subscription: string; n: number }): void {
    const nowMs = this.ports.nowMs();
    const marks = this.marksOf(withdrawal.subscription, nowMs);
    if (withdrawal.n > marks.withdrawnN)
      this.marks.set(withdrawal.subscription, { ...marks, withdrawnN: withdrawal.n }, nowMs);
    const subscription = this.subscriptions.get(withdrawal.subscription);
    if (subscription === undefined) return;
    this.takeOut(subscription, ({ job }) => job.kind === 'trigger' && job.n <= withdrawal.n, {
      outcome: 'withdrawn',
    });
  }

  /** Hands back what became too old to start, ends endless exchanges, frees what is idle or forgotten. */
  sweep(nowMs: number): void {
    for (const subscription of this.subscriptions.values()) {
      // Thousands may wait, and hardly ever is one too old.
      if (subscription.queue.some((delivery) => this.isTooOld(delivery, nowMs)))
        this.takeOut(subscription, (delivery) => this.isTooOld(delivery, nowMs), {
          outcome: 'returned',
          reason: reasons.tooOld,
        });
    }
    for (const destination of this.destinations.values()) {
      for (const left of destination.line.removeUnless((waiting) => waiting.queue.length > 0)) {
        left.status = 'idle';
        this.forgetIfDone(left);
      }
      destination.channel.sweep(nowMs);
      if (destination.idle && nowMs - destination.usedAtMs >= DESTINATION_IDLE_MS)
        this.closeDestination(destination);
    }
    this.remembered.sweep(nowMs);
    this.marks.sweep(nowMs);
    this.failureLog.sweep(nowMs);
  }

  /** Takes nothing more, hands back what waits, and resolves when nothing is in flight. */
  async drain(): Promise<void> {
    this.draining = true;
    for (const subscription of this.subscriptions.values())
      this.takeOut(subscription, () => true, { outcome: 'returned', reason: reasons.draining });
    this.failureLog.flush();
    if (this.flights === 0) return;
    await new Promise<void>((resolve) => (this.onLastLanding = resolve));
  }

  /** Ends the connections; posts still in flight settle as failed. */
  async close(): Promise<void> {
    await Promise.all([...this.destinations.values()].map(({ channel }) => channel.close()));
    this.destinations.clear();
    this.failureLog.flush();
  }

  private take(delivery: DeliveryJob, nowMs: number): void {
    const { job } = delivery;
    const present = this.present.get(job.id);
    if (present !== undefined) {
      Object.assign(present, { ...delivery, job: present.job });
      return;
    }
    const known = this.remembered.get(job.id, nowMs);
    if (known !== undefined) {
      this.ports.settled(delivery, known, 'known');
      return;
    }
    const key = subscriptionOf(job.id);
    if (job.kind === 'trigger' && this.isOvertaken(delivery, job.n, key, nowMs)) return;
    let subscription = this.subscriptions.get(key);
    if (subscription === undefined) {
      subscription = { key, queue: [], status: 'idle', linedUpAt: 0 };
      this.subscriptions.set(key, subscription);
    } else if (job.kind === 'trigger') {
      this.takeOut(subscription, (waiting) => waiting.job.kind === 'trigger', { outcome: 'superseded' });
    }
    this.present.set(job.id, delivery);
    subscription.queue.push(delivery);
    this.queuedJobs += 1;
    if (subscription.status === 'idle') this.lineUp(subscription, nowMs);
  }

  /** D3 and D4 for a trigger that comes in: settles it when a newer one is known, or its withdrawal. */
  private isOvertaken(delivery: DeliveryJob, n: number, key: string, nowMs: number): boolean {
    const marks = this.marks.get(key, nowMs);
    if (marks !== undefined && n <= marks.withdrawnN) {
      this.settle(delivery, { outcome: 'withdrawn' }, nowMs);
      return true;
    }
    const newerWaits = this.subscriptions
      .get(key)
      ?.queue.some((waiting) => waiting.job.kind === 'trigger' && waiting.job.n > n);
    if (newerWaits || (marks !== undefined && n < marks.startedN)) {
      this.settle(delivery, { outcome: 'superseded' }, nowMs);
      return true;
    }
    return false;
  }

  /** Removes the waiting jobs that match from a subscription, and settles them. */
  private takeOut(
    subscription: Subscription,
    matches: (delivery: DeliveryJob) => boolean,
    result: JobResult,
  ): void {
    const out: DeliveryJob[] = [];
    const kept: DeliveryJob[] = [];
    for (const delivery of subscription.queue) (matches(delivery) ? out : kept).push(delivery);
    if (out.length === 0) return;
    subscription.queue = kept;
    this.queuedJobs -= out.length;
    const nowMs = this.ports.nowMs();
    for (const delivery of out) this.settle(delivery, result, nowMs);
  }

  /** Puts a subscription with waiting jobs into the line of its first job's destination, and starts what may start. */
  private lineUp(subscription: Subscription, nowMs: number): void {
    for (let delivery = subscription.queue[0]; delivery !== undefined; delivery = subscription.queue[0]) {
      const destination = this.destinationOf(delivery.job, nowMs);
      if (destination instanceof Destination) {
        this.lastLinedUpAt += 1;
        subscription.linedUpAt = this.lastLinedUpAt;
        subscription.status = 'waiting';
        destination.line.push(subscription);
        this.startFrom(destination, nowMs);
        return;
      }
      this.dequeue(subscription);
      this.settle(delivery, { outcome: 'failed', reason: destination }, nowMs);
    }
    this.forgetIfDone(subscription);
  }

  /** Serves a destination's line as far as permits reach; behind an open breaker the whole line fails at once. */
  private start(destination: Destination, nowMs: number): void {
    while (destination.line.length > 0) {
      if (!destination.breaker.refuses(nowMs) && !this.hasPermit(destination)) return;
      const subscription = destination.line.shift();
      if (subscription === undefined) return;
      subscription.status = 'idle';
      this.serve(subscription, destination, nowMs);
    }
  }

  /** After a change at one destination: in sequential mode the node's only permit goes to whoever waits longest. */
  private startFrom(destination: Destination, nowMs: number): void {
    if (this.sequential) this.startAll(nowMs);
    else this.start(destination, nowMs);
  }

  private startAll(nowMs: number): void {
    const waiting = [...this.destinations.values()].filter(({ line }) => line.length > 0);
    waiting.sort((a, b) => (a.line.first()?.linedUpAt ?? 0) - (b.line.first()?.linedUpAt ?? 0));
    for (const destination of waiting) this.start(destination, nowMs);
  }

  private hasPermit(destination: Destination): boolean {
    if (this.sequential) return this.flights === 0;
    const { connectionsMax } = this.bounds;
    // A destination that is held here has posts in flight, and looks again when one of them lands.
    const permits =
      this.flights < FLIGHTS_SHARED_MAX ? connectionsMax : Math.min(connectionsMax, FLIGHTS_SURE);
    return destination.inFlight < permits;
  }

  /** Starts the subscription's first job that may start; settles the ones before it that may not. */
  private serve(subscription: Subscription, destination: Destination, nowMs: number): void {
    for (let delivery = subscription.queue[0]; delivery !== undefined; delivery = subscription.queue[0]) {
      const handBack = this.handBackReason(delivery, nowMs);
      if (handBack !== undefined) {
        this.dequeue(subscription);
        this.settle(delivery, { outcome: 'returned', reason: handBack }, nowMs);
        continue;
      }
      const target = this.targetOf(delivery.job);
      // The options may have changed while it waited.
      const isStill = target.kind === 'target' && target.destination === destination.name;
      if (!isStill || !this.enabledTypes.has(delivery.job.deviceType)) {
        this.lineUp(subscription, nowMs);
        return;
      }
      this.dequeue(subscription);
      const admission = destination.breaker.admit(nowMs);
      if (admission !== 'refused') {
        const provider = this.providerOf(delivery.job);
        this.fly({ provider, target, delivery, subscription, destination, admission, startedAtMs: nowMs });
        return;
      }
      this.settle(delivery, { outcome: 'failed', reason: reasons.breakerOpen }, nowMs, destination.name);
    }
    this.forgetIfDone(subscription);
  }

  private fly(flight: Flight): void {
    const { provider, target, delivery, subscription, destination } = flight;
    const { job } = delivery;
    subscription.status = 'flying';
    destination.inFlight += 1;
    destination.usedAtMs = flight.startedAtMs;
    this.flights += 1;
    if (job.kind === 'trigger') {
      const marks = this.marksOf(subscription.key, flight.startedAtMs);
      this.marks.set(subscription.key, { withdrawnN: marks.withdrawnN, startedN: job.n }, flight.startedAtMs);
    }
    const post = provider.request(job, { alias: delivery.alias, target });
    destination.channel.post(post, (outcome) => this.land(flight, outcome));
  }

  private land(flight: Flight, outcome: PostOutcome): void {
    const { delivery, subscription, destination } = flight;
    const nowMs = this.ports.nowMs();
    destination.inFlight -= 1;
    destination.usedAtMs = nowMs;
    this.flights -= 1;
    this.judge(flight, outcome, nowMs);
    const result = flight.provider.judge?.(outcome, flight.target) ?? resultOf(outcome);
    const tookMs = nowMs - flight.startedAtMs;
    this.ports.attempted?.({ destination: destination.name, outcome, tookMs });
    if (this.ports.log.isLevelEnabled('debug')) this.logAttempt(flight, result, tookMs);
    this.settle(delivery, result, nowMs, destination.name);
    subscription.status = 'idle';
    if (subscription.queue.length > 0) this.lineUp(subscription, nowMs);
    else this.forgetIfDone(subscription);
    this.startFrom(destination, nowMs);
    if (this.flights === 0) this.onLastLanding?.();
  }

  private judge(flight: Flight, outcome: PostOutcome, nowMs: number): void {
    const { breaker, name } = flight.destination;
    const before = breaker.status;
    if (outcome.kind === 'answered') breaker.succeeded();
    // A missing token says nothing of the destination, and has a back-off of its own.
    else if (outcome.cause !== 'authorization' || flight.admission === 'probe')
      breaker.failed(flight.admission, nowMs);
    if (before === 'closed' && breaker.status === 'open') {
      const code = outcome.kind === 'unreached' ? outcome.code : undefined;
      this.ports.log.warn({ destination: name, code }, 'destination.unreachable');
    }
    if (before !== 'closed' && breaker.status === 'closed')
      this.ports.log.info({ destination: name }, 'destination.reachable-again');
  }

  private logAttempt(flight: Flight, result: JobResult, tookMs: number): void {
    const { job, shard, term, receivedAtMs } = flight.delivery;
    this.ports.log.debug(
      {
        notificationId: job.id,
        sessionId: job.sessionId,
        userId: job.userId,
        device: shownDeviceId(job.deviceId),
        kind: job.kind,
        attempt: job.kind === 'trigger' ? job.attempt : undefined,
        position: job.kind === 'trigger' ? job.position : job.event?.index,
        shard,
        term,
        destination: flight.destination.name,
        outcome: result.outcome,
        reason: result.reason,
        waitedMs: flight.startedAtMs - receivedAtMs,
        tookMs,
      },
      'delivery.attempted',
    );
  }

  private settle(delivery: DeliveryJob, result: JobResult, nowMs: number, destination?: string): void {
    const { job } = delivery;
    this.present.delete(job.id);
    if (result.outcome !== 'returned') this.remembered.set(job.id, result, nowMs);
    const failure = { job, destination, reason: result.reason ?? 'unknown' };
    if (result.outcome === 'failed') this.failureLog.failed(failure, nowMs);
    // A CometD client that has gone is no failure: its events wait for it.
    if (result.outcome === 'gone' && job.deviceType !== 'comet') this.failureLog.gone(failure);
    this.ports.settled(delivery, result, 'new');
  }

  private dequeue(subscription: Subscription): void {
    subscription.queue.shift();
    this.queuedJobs -= 1;
  }

  private forgetIfDone(subscription: Subscription): void {
    if (subscription.status === 'idle' && subscription.queue.length === 0)
      this.subscriptions.delete(subscription.key);
  }

  private isTooOld(delivery: DeliveryJob, nowMs: number): boolean {
    return nowMs - delivery.receivedAtMs >= this.bounds.deadTimeoutMs;
  }

  /** Why a job must not start any more (D6). */
  private handBackReason(delivery: DeliveryJob, nowMs: number): string | undefined {
    if (this.isTooOld(delivery, nowMs)) return reasons.tooOld;
    return this.ports.isDeposed(delivery.shard, delivery.term) ? reasons.deposed : undefined;
  }

  private marksOf(key: string, nowMs: number): TriggerMarks {
    return this.marks.get(key, nowMs) ?? { withdrawnN: 0, startedN: 0 };
  }

  private providerOf(job: PushJob): Provider {
    const provider = this.providers.get(job.deviceType);
    if (provider === undefined) throw new Error(`no provider for ${job.deviceType}`);
    return provider;
  }

  /** The destination, or the word why there is none. */
  private destinationOf(job: PushJob, nowMs: number): Destination | string {
    const provider = this.providers.get(job.deviceType);
    if (provider === undefined) return reasons.unsupportedType;
    if (!this.enabledTypes.has(job.deviceType)) return reasons.notEnabled;
    const target = this.targetOf(job);
    if (target.kind === 'no-target') return target.reason;
    const known = this.destinations.get(target.destination);
    if (known !== undefined) return known;
    if (this.destinations.size >= this.bounds.destinationsMax && !this.closeLongestIdle())
      return reasons.tooManyDestinations;
    const { breakerFailuresMax: failuresMax, breakerProbeAfterMs: probeAfterMs } = this.bounds;
    const breaker = new CircuitBreaker({ failuresMax, probeAfterMs });
    const openHttp = () => this.ports.openChannel(target.connection.origin, target.connection);
    const channel = provider.open?.(target, openHttp) ?? openHttp();
    const opened = new Destination(target.destination, channel, breaker, nowMs);
    this.destinations.set(target.destination, opened);
    return opened;
  }

  private targetOf(job: PushJob): Target | NoTarget {
    const { provider, debug } = job;
    const ways = this.providerOf(job);
    const route = ways.route?.(job);
    const key = `${job.deviceType} ${debug} ${provider ?? ''} ${route ?? ''}`;
    const known = this.targets.get(key);
    if (known !== undefined) return known;
    if (this.targets.size >= TARGETS_MAX) this.targets.clear();
    const target = ways.target(this.options, { provider, debug, ...(route === undefined ? {} : { route }) });
    this.targets.set(key, target);
    return target;
  }

  private closeLongestIdle(): boolean {
    let longest: Destination | undefined;
    for (const destination of this.destinations.values()) {
      if (destination.idle && (longest === undefined || destination.usedAtMs < longest.usedAtMs))
        longest = destination;
    }
    if (longest === undefined) return false;
    this.closeDestination(longest);
    return true;
  }

  private closeDestination(destination: Destination): void {
    this.destinations.delete(destination.name);
    destination.channel.close().catch((error: unknown) => {
      this.ports.log.warn({ destination: destination.name, err: error }, 'destination.close-failed');
    });
  }
}

/** Any 2xx is delivered; redirects are not followed, so they count as failures like any other status. */
function resultOf(outcome: PostOutcome): JobResult {
  if (outcome.kind === 'unreached')
    return {
      outcome: 'failed',
      reason: outcome.cause === 'timeout' ? 'timeout' : `${outcome.cause}-${outcome.code}`,
    };
  return outcome.status >= 200 && outcome.status < 300
    ? { outcome: 'delivered' }
    : { outcome: 'failed', reason: `http-${outcome.status}` };
}
