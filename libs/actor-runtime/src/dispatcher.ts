import {
  BOUNDS,
  logIds,
  PassingMap,
  subscriptionKey,
  type GmsView,
  type PushResults,
  type RecordOf,
  type SettleOutcome,
} from '@flexpush/contracts';
import { chooseGmsNode, followView } from '@flexpush/membership';
import type { OutboxEntry } from './outbox';
import type { Appender, Clock, GmsTransport, Log, Meter } from './ports';
import { ShardRoom, UnsettledBound } from './unsettled-bound';

export interface DispatcherSettings {
  nodeId: string;
  alias: string;
  /** Unsettled notifications of one shard above which it stops reading (I9). */
  unsettledPerShardMax: number;
  /** Of all shards of the process. */
  unsettledMax: number;
  /** After this long without a result the same id goes out again. */
  settleDeadlineMs: number;
  /** How long settled results gather before they become a record; a confirm meanwhile makes it needless. */
  settleLingerMs: number;
  /** How long a node that did not respond is left out, unless the registry shows a new incarnation of it. */
  unreachableMs: number;
  gmsNodesMax: number;
}

type Associate = (subscription: string, nodeId: string) => void;

/** A notification on its way. `gone`: withdrawn, replaced or settled; it must not be sent any more. */
interface Flight {
  shard: number;
  entry: OutboxEntry;
  subscription: string;
  state: 'behind' | 'waiting' | 'queued' | 'sent' | 'gone';
  nodeId: string | undefined;
  /** Nodes that were sent this trigger, or the one that it replaced, and may have it yet. */
  sentTo: readonly string[];
  /** Where it is queued, or was sent from. A node that left and came back has another channel. */
  channel: Channel | undefined;
  /** When an unanswered dispatch is sent again, monotonic ms. */
  deadlineAtMs: number;
  /** Monotonic ms. */
  putAtMs: number;
}

interface ShardState {
  term: number;
  isOpen: boolean;
  associate: Associate;
  /** By outbox key. */
  flights: PassingMap<string, Flight>;
  /** Plain notifications of a subscription go one at a time, in order (I7). */
  plainQueues: PassingMap<string, Flight[]>;
  room: ShardRoom;
  settled: PassingMap<string, { entry: OutboxEntry; outcome: SettleOutcome; putAtMs: number }>;
  settling: boolean;
}

/** One GMS node: what waits for it, one request at a time, so that its jobs arrive in order. */
interface Channel {
  queue: Flight[];
  sending: boolean;
  /** Jobs per request: fewer after a request that the node could not read, to find the one that it cannot. */
  jobsMax: number;
  /** At this length the queue is freed of what is gone or has moved on. */
  compactAt: number;
}

const NO_NODE_LOG_INTERVAL_MS = 1_000;
const DISPATCH_RETRY_MS = 100;
/** After a reconnect; the GMS nodes have to be back too. */
const HURRIED_DEADLINE_MS = 2_000;
const DISPATCH_RETRY_MAX_MS = 5_000;
/** Of all jobs in one dispatch; three bytes each at most, which stays below the server's default max_payload. */
const DISPATCH_CHARS_MAX = 262_144;
const QUEUE_COMPACT_AT = 1_024;
/** Of the ids in one record of results, so that the log takes it. */
const RESULTS_CHARS_MAX = BOUNDS.recordBytes / 2;
const SETTLE_RETRY_MS = 250;

/**
 * Sends committed notifications to GMS nodes and hears what became of them, for all shards of a process.
 *
 * D1. Only entries that `put` gave are sent, and `put` is called after their commit (I2).
 * D2. Jobs carry their shard's term; the term was announced when the shard was added (I3).
 * D3. An entry that has no node, whose node died or that was handed back is placed again at once when a node can take
 *     it (I6). An entry without a result by its deadline is sent again under the same id.
 * D4. Per node one request at a time, and plain notifications of a subscription one at a time: order (I7).
 * D5. A result settles an entry in memory at once; the record follows after a short while, unless a confirm or a newer
 *     trigger has removed the entry by then. A crash in between repeats an id that the node remembers.
 * D6. While paused (the process does not hear its own beats) nothing is sent.
 * D7. A confirmed or settled trigger is taken back from every node that was sent it, or the one before it: one that the
 *     registry takes for dead, or that had no answer in time, may start it yet (I5).
 */
export class Dispatcher {
  private readonly shards = new Map<number, ShardState>();
  private readonly channels = new Map<string, Channel>();
  private readonly unreachable = new Map<string, { incarnation: string | undefined; untilMs: number }>();
  private view: GmsView | undefined;
  private paused = false;
  private readonly bound: UnsettledBound;
  private lastNoNodeLogAtMs = Number.NEGATIVE_INFINITY;
  private noNodeUnlogged = 0;
  private withdrawals = new Map<string, { subscription: string; n: number }[]>();

  constructor(
    private readonly deps: {
      transport: GmsTransport;
      appender: Appender;
      clock: Clock;
      logger: Log;
      meter: Meter;
    },
    private readonly settings: DispatcherSettings,
    /** A GMS node has seen a higher term: this shard has another owner. */
    private readonly onDeposed: (shard: number, newerTerm: number) => void,
  ) {
    const { unsettledPerShardMax: perShard, unsettledMax: ofAll } = settings;
    this.bound = new UnsettledBound({ perShard, ofAll });
  }

  /**
   * Makes a shard known; nothing of it is sent before `open`. The GMS nodes start nothing any more of what an earlier owner
   * sent: what is confirmed from now on is not withdrawn there, because nobody here knows of it (I5).
   */
  addShard(shard: number, term: number, associate: Associate): void {
    const earlier = this.shards.get(shard);
    if (earlier) this.bound.leave(earlier.room);
    this.shards.set(shard, {
      term,
      isOpen: false,
      associate,
      flights: new PassingMap(),
      plainQueues: new PassingMap(),
      room: new ShardRoom(),
      settled: new PassingMap(),
      settling: false,
    });
    this.deps.transport.announceTerm(shard, term);
  }

  open(shard: number): void {
    const state = this.shards.get(shard);
    if (!state) return;
    state.isOpen = true;
  }

  /** Forgets a shard: what is queued for it is not sent any more. */
  dropShard(shard: number, term: number): void {
    const state = this.shards.get(shard);
    if (!state || state.term !== term) return;
    for (const flight of state.flights.values()) flight.state = 'gone';
    this.shards.delete(shard);
    this.bound.leave(state.room);
  }

  /** Sends a committed entry, after an older trigger of its subscription if that is still to be answered. */
  put(shard: number, entry: OutboxEntry, nodeId: string | undefined): void {
    const state = this.shards.get(shard);
    if (!state) return;
    const old = state.flights.get(entry.key);
    if (old) this.end(state, old);
    state.settled.delete(entry.key);
    const subscription = subscriptionKey(entry.job.sessionId, entry.job.userId);
    const flight: Flight = {
      shard,
      entry,
      subscription,
      state: 'behind',
      nodeId: old?.nodeId ?? nodeId,
      sentTo: old?.sentTo ?? [],
      channel: undefined,
      deadlineAtMs: 0,
      putAtMs: this.deps.clock.monotonicMs(),
    };
    state.flights.set(entry.key, flight);
    if (entry.job.kind === 'plain') {
      const queue = state.plainQueues.get(subscription);
      if (queue) {
        queue.push(flight);
        return;
      }
      state.plainQueues.set(subscription, [flight]);
    }
    this.place(state, flight);
  }

  /** A confirm: the trigger leaves, and who has it is told not to start it (I5). */
  withdraw(shard: number, { entry, n }: { entry: OutboxEntry; n: number }): void {
    const state = this.shards.get(shard);
    if (!state) return;
    state.settled.delete(entry.key);
    const flight = state.flights.get(entry.key);
    if (!flight) return;
    this.withdrawFrom(flight, n);
    this.end(state, flight);
  }

  /** An entry has left the outbox by a folded record. */
  forget(shard: number, entry: OutboxEntry): void {
    const state = this.shards.get(shard);
    if (!state) return;
    if (state.settled.get(entry.key)?.entry.job.id === entry.job.id) state.settled.delete(entry.key);
    const flight = state.flights.get(entry.key);
    if (flight && flight.entry.job.id === entry.job.id) this.end(state, flight);
  }

  /** It waits because its unsettled notifications, or those of all shards, stand at their bound (I9). */
  isFull(shard: number): boolean {
    const state = this.shards.get(shard);
    return state !== undefined && this.bound.isFull(state.room);
  }

  /** Resolves when the shard may read on (I9), or when it is dropped or nudged. */
  room(shard: number): Promise<void> {
    const state = this.shards.get(shard);
    return state ? this.bound.untilRoom(state.room) : Promise.resolve();
  }

  /** Resolves when a shard that has read a batch may fold it (I9). Ends with `endTurn`. */
  turn(shard: number): Promise<void> {
    const state = this.shards.get(shard);
    return state ? this.bound.turn(state.room) : Promise.resolve();
  }

  endTurn(shard: number): void {
    const state = this.shards.get(shard);
    if (state) this.bound.endTurn(state.room);
  }

  /** Lets a shard that waits for room look again. */
  nudge(shard: number): void {
    const state = this.shards.get(shard);
    if (state) this.bound.nudge(state.room);
  }

  pause(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (!paused) for (const nodeId of this.channels.keys()) void this.send(nodeId);
  }

  /** The registry's newest view: entries of nodes that left are placed anew, and so is what waited for a node (D3). */
  setView(received: GmsView): void {
    this.view = followView(this.view, received, this.settings.gmsNodesMax);
    const present = new Map(this.view.nodes.map((node) => [node.nodeId as string, node.incarnation]));
    const ready = new Set<string>(
      this.view.nodes.filter(({ state }) => state === 'ready').map(({ nodeId }) => nodeId),
    );
    for (const [nodeId, mark] of this.unreachable) {
      if (present.get(nodeId) !== mark.incarnation) this.unreachable.delete(nodeId);
    }
    this.placeAgain(
      ({ state, nodeId }) =>
        state === 'waiting' ||
        // A node that drains still tells what became of the jobs it has, but takes no more.
        (state === 'queued' && nodeId !== undefined && !ready.has(nodeId)) ||
        (state === 'sent' && nodeId !== undefined && !present.has(nodeId)),
    );
    for (const nodeId of this.channels.keys()) if (!present.has(nodeId)) this.channels.delete(nodeId);
  }

  /** Results of a GMS node. Unknown ids are results of entries that are gone. */
  takeResults(results: PushResults): void {
    for (const { id, shard, outcome } of results.results) {
      const state = this.shards.get(shard);
      if (!state) continue;
      const flight = state.flights.get(id) ?? state.flights.get(id.slice(0, id.lastIndexOf(':')));
      if (!flight || flight.entry.job.id !== id || flight.state === 'gone') continue;
      flight.sentTo = flight.sentTo.filter((nodeId) => nodeId !== results.nodeId);
      if (outcome === 'returned') {
        // A node that was given up hands back what another has by now.
        if (flight.nodeId !== results.nodeId) continue;
        this.deps.meter.count('jobsReturned');
        this.uncount(state, flight);
        this.place(state, flight);
      } else {
        this.settle(state, flight, outcome);
        this.withdrawFrom(flight);
      }
    }
  }

  /** The connection was lost for a while, and results may have died with it: what is sent is soon asked for again. */
  hurry(): void {
    const soonMs = this.deps.clock.monotonicMs() + HURRIED_DEADLINE_MS;
    for (const state of this.shards.values()) {
      for (const flight of state.flights.values()) {
        if (flight.state === 'sent') flight.deadlineAtMs = Math.min(flight.deadlineAtMs, soonMs);
      }
    }
  }

  /** Once a second: deadlines, and nodes that may respond again. */
  sweep(): void {
    const nowMs = this.deps.clock.monotonicMs();
    for (const [nodeId, mark] of this.unreachable) if (mark.untilMs <= nowMs) this.unreachable.delete(nodeId);
    this.placeAgain(({ state, deadlineAtMs }) => {
      if (state === 'waiting') return true;
      const isLate = state === 'sent' && deadlineAtMs <= nowMs;
      if (isLate) this.deps.meter.count('settleDeadlines');
      return isLate;
    });
    this.expirePlain(this.deps.clock.nowMs());
  }

  /**
   * Appends what is settled by now but not yet in the log; for an orderly stop. What settles meanwhile, and what the log
   * refuses, is lost to memory only: the next owner repeats the ids, and the nodes remember them (D5).
   */
  async flushSettled(shard: number): Promise<void> {
    const state = this.shards.get(shard);
    if (!state) return;
    const rounds = Math.ceil(state.settled.size / BOUNDS.resultsPerRecord) + 1;
    for (let i = 0; i < rounds && state.settled.size > 0; i++)
      if (!(await this.appendSettled(shard, state))) return;
  }

  counts(): { shards: number; unsettled: number; waiting: number } {
    let unsettled = 0;
    let waiting = 0;
    for (const state of this.shards.values()) {
      unsettled += state.room.unsettled;
      for (const flight of state.flights.values()) if (flight.state === 'waiting') waiting++;
    }
    return { shards: this.shards.size, unsettled, waiting };
  }

  /** False for an entry that nobody is sending: it would stay in the outbox for ever. */
  knows(shard: number, entry: OutboxEntry): boolean {
    const state = this.shards.get(shard);
    if (!state) return true;
    const known = state.flights.get(entry.key)?.entry ?? state.settled.get(entry.key)?.entry;
    return known?.job.id === entry.job.id;
  }

  /**
   * Notifications that have a node and yet are in the outbox for longer than this: no result comes, or its record does
   * not get into the log. Those that wait for a node are counted by `counts`.
   */
  overdue(afterMs: number): { count: number; oldestMs: number } {
    const nowMs = this.deps.clock.monotonicMs();
    let count = 0;
    let oldestMs = 0;
    const see = (putAtMs: number) => {
      if (nowMs - putAtMs <= afterMs) return;
      count++;
      oldestMs = Math.max(oldestMs, nowMs - putAtMs);
    };
    for (const state of this.shards.values()) {
      for (const { state: stage, putAtMs } of state.flights.values())
        if (stage === 'sent' || stage === 'queued') see(putAtMs);
      for (const { putAtMs } of state.settled.values()) see(putAtMs);
    }
    return { count, oldestMs };
  }

  /** Plain entries past their age leave, loudly: the one loud drop of I9. Triggers never do: their schedule ends them. */
  private expirePlain(nowMs: number): void {
    for (const state of this.shards.values()) {
      for (const flight of state.flights.values()) {
        const { job } = flight.entry;
        if (
          job.kind !== 'plain' ||
          flight.state === 'sent' ||
          nowMs - job.atMs < BOUNDS.plainNotificationAgeMs
        )
          continue;
        this.deps.meter.count('notificationsDropped');
        this.deps.logger.error(
          {
            logId: flight.state === 'waiting' ? logIds.noNode : logIds.notPushed,
            id: job.id,
            ageMs: nowMs - job.atMs,
          },
          'notification.expired',
        );
        this.settle(state, flight, 'expired');
      }
    }
  }

  private placeAgain(wants: (flight: Flight) => boolean): void {
    for (const state of this.shards.values()) {
      if (!state.isOpen) continue;
      for (const flight of state.flights.values()) {
        if (!wants(flight)) continue;
        this.uncount(state, flight);
        this.place(state, flight);
      }
    }
  }

  /** Chooses a node, keeps the association, and queues the entry for it. */
  private place(state: ShardState, flight: Flight): void {
    const { job } = flight.entry;
    const nodes = (this.view?.nodes ?? []).filter((node) => !this.unreachable.has(node.nodeId));
    const choice = chooseGmsNode(
      { nodes },
      {
        group: job.nodeGroup,
        subscription: flight.subscription,
        deviceType: job.deviceType,
        current: flight.nodeId,
      },
    );
    if (choice.kind === 'none') {
      if (flight.state !== 'waiting') this.tellNoNode(flight);
      flight.state = 'waiting';
      return;
    }
    if (choice.nodeId !== flight.nodeId) state.associate(flight.subscription, choice.nodeId);
    flight.nodeId = choice.nodeId;
    flight.state = 'queued';
    this.bound.add(state.room);
    const channel = this.channelOf(choice.nodeId);
    flight.channel = channel;
    channel.queue.push(flight);
    if (channel.queue.length >= channel.compactAt) compact(channel);
    if (!channel.sending) void this.send(choice.nodeId);
  }

  private channelOf(nodeId: string): Channel {
    let channel = this.channels.get(nodeId);
    if (!channel) {
      channel = { queue: [], sending: false, jobsMax: BOUNDS.jobsPerDispatch, compactAt: QUEUE_COMPACT_AT };
      this.channels.set(nodeId, channel);
    }
    return channel;
  }

  private async send(nodeId: string): Promise<void> {
    const channel = this.channels.get(nodeId);
    if (!channel || channel.sending) return;
    channel.sending = true;
    // What the same turn of the event loop commits travels together.
    await Promise.resolve();
    while (!this.paused && channel.queue.length > 0 && this.channels.get(nodeId) === channel) {
      const flights = takeQueued(channel);
      if (flights.length === 0) continue;
      for (const flight of flights) {
        flight.deadlineAtMs = this.deps.clock.monotonicMs() + this.settings.settleDeadlineMs;
        if (!flight.sentTo.includes(nodeId)) flight.sentTo = [...flight.sentTo, nodeId];
      }
      const retryAfterMs = await this.sendOnce(nodeId, channel, flights);
      if (retryAfterMs === undefined) continue;
      // Back to the front, so that the order stays. What another channel has meanwhile is not taken from it.
      const again = flights.filter((flight) => flight.state === 'sent' && flight.channel === channel);
      for (const flight of again) flight.state = 'queued';
      channel.queue.unshift(...again);
      await new Promise<void>((resolve) => this.deps.clock.after(retryAfterMs, resolve));
    }
    channel.sending = false;
  }

  /** One dispatch; returns after how long it is to be tried again, if it is. */
  private async sendOnce(nodeId: string, channel: Channel, flights: Flight[]): Promise<number | undefined> {
    const answer = await this.deps.transport.dispatch(nodeId, this.payload(flights));
    switch (answer.status) {
      case 'accepted':
        this.deps.meter.count('jobsDispatched', flights.length);
        channel.jobsMax = Math.min(BOUNDS.jobsPerDispatch, 2 * channel.jobsMax);
        this.hearOldTerms(nodeId, answer.oldTerms);
        return undefined;
      case 'busy':
        return Math.min(DISPATCH_RETRY_MAX_MS, Math.max(DISPATCH_RETRY_MS, answer.retryAfterMs));
      case 'timeout':
        // It may have been taken: the same ids go to the same node again, while it lives.
        this.deps.logger.warn({ nodeId, jobs: flights.length }, 'dispatch.unanswered');
        return DISPATCH_RETRY_MS;
      case 'no-responders':
        // Of a channel that was dropped meanwhile this says nothing about the node as it is now.
        if (this.channels.get(nodeId) === channel) this.leaveOut(nodeId);
        return undefined;
      case 'malformed':
        this.deps.logger.error({ nodeId, reason: answer.reason, jobs: flights.length }, 'dispatch.malformed');
        this.narrow(channel, flights);
        return DISPATCH_RETRY_MS;
      default:
        return answer satisfies never;
    }
  }

  private hearOldTerms(nodeId: string, oldTerms: readonly [shard: number, term: number][]): void {
    for (const [shard, seenTerm] of oldTerms) {
      this.deps.meter.count('jobsRefusedByTerm');
      const term = this.shards.get(shard)?.term;
      // The shard may have been taken anew since; what was sent under its earlier term is gone.
      if (term === undefined || seenTerm <= term) continue;
      this.deps.logger.warn({ shard, term, seenTerm, nodeId }, 'dispatch.old-term');
      this.onDeposed(shard, seenTerm);
    }
  }

  /** One job that a node cannot read must not stop the others: half as many next time, and a single one has failed. */
  private narrow(channel: Channel, flights: readonly Flight[]): void {
    channel.jobsMax = Math.max(1, Math.floor(flights.length / 2));
    const [only, ...others] = flights;
    if (!only || others.length > 0 || only.state !== 'sent' || only.channel !== channel) return;
    const state = this.shards.get(only.shard);
    if (state?.flights.get(only.entry.key) === only) this.settle(state, only, 'failed');
  }

  /** The server says that nobody listens there: the node is gone, whatever the registry still shows. */
  private leaveOut(nodeId: string): void {
    const incarnation = this.view?.nodes.find((node) => node.nodeId === nodeId)?.incarnation;
    this.unreachable.set(nodeId, {
      incarnation,
      untilMs: this.deps.clock.monotonicMs() + this.settings.unreachableMs,
    });
    this.deps.logger.warn({ nodeId }, 'gms-node.unreachable');
    this.channels.delete(nodeId);
    this.placeAgain(
      (flight) => flight.nodeId === nodeId && (flight.state === 'sent' || flight.state === 'queued'),
    );
  }

  private payload(flights: readonly Flight[]): string {
    const byShard = new Map<number, string[]>();
    for (const { shard, entry } of flights) {
      const jobs = byShard.get(shard);
      if (jobs) jobs.push(entry.json);
      else byShard.set(shard, [entry.json]);
    }
    const shards = [...byShard].map(
      ([shard, jobs]) =>
        `{"shard":${shard},"term":${this.shards.get(shard)?.term ?? 0},"jobs":[${jobs.join(',')}]}`,
    );
    return `{"v":1,"actorId":${JSON.stringify(this.settings.nodeId)},"alias":${JSON.stringify(this.settings.alias)},"shards":[${shards.join(',')}]}`;
  }

  /** Ends a flight; the next plain notification of its subscription follows. */
  private end(state: ShardState, flight: Flight): void {
    this.uncount(state, flight);
    flight.state = 'gone';
    if (state.flights.get(flight.entry.key) === flight) state.flights.delete(flight.entry.key);
    if (flight.entry.job.kind !== 'plain') return;
    const queue = state.plainQueues.get(flight.subscription);
    if (!queue) return;
    const wasFirst = queue[0] === flight;
    const rest = queue.filter((one) => one !== flight);
    if (rest.length === 0) state.plainQueues.delete(flight.subscription);
    else state.plainQueues.set(flight.subscription, rest);
    if (!wasFirst || !rest[0]) return;
    rest[0].nodeId ??= flight.nodeId;
    this.place(state, rest[0]);
  }

  private uncount(state: ShardState, flight: Flight): void {
    if (flight.state !== 'queued' && flight.state !== 'sent') return;
    flight.state = 'behind';
    this.bound.remove(state.room);
  }

  /** D5. */
  private settle(state: ShardState, flight: Flight, outcome: SettleOutcome): void {
    this.end(state, flight);
    const { entry, putAtMs } = flight;
    state.settled.set(entry.key, { entry, outcome, putAtMs });
    // What waits behind a client that is gone goes to its device.
    this.settleLater(flight.shard, state, outcome === 'gone' ? 0 : this.settings.settleLingerMs);
  }

  /** One append at a time: under a slow log the same results would be appended again and again. */
  private settleLater(shard: number, state: ShardState, delayMs: number): void {
    if (state.settling) return;
    state.settling = true;
    this.deps.clock.after(delayMs, () => void this.settleNow(shard, state));
  }

  private async settleNow(shard: number, state: ShardState): Promise<void> {
    const isCurrent = () => this.shards.get(shard) === state && state.settled.size > 0;
    const isAppended = isCurrent() && (await this.appendSettled(shard, state));
    state.settling = false;
    if (!isCurrent()) return;
    const { settleLingerMs } = this.settings;
    const isFull = state.settled.size >= BOUNDS.resultsPerRecord;
    const delayMs = isFull ? 0 : settleLingerMs;
    this.settleLater(shard, state, isAppended ? delayMs : Math.max(SETTLE_RETRY_MS, settleLingerMs));
  }

  /** False when the log refused; the results stay for the next round. */
  private async appendSettled(shard: number, state: ShardState): Promise<boolean> {
    const results = takeResults(state.settled);
    // Before the outbox forgets them: after a crash they are sent again, and found gone again.
    for (const [, { entry, outcome }] of results) {
      if (outcome !== 'gone') continue;
      const told = await this.deps.appender.append(shard, goneRecord(entry));
      if (told.kind === 'refused') return false;
    }
    const record = {
      v: 1 as const,
      type: 'push.settled' as const,
      results: results.map(([, { entry, outcome }]): [string, SettleOutcome] => [entry.job.id, outcome]),
    };
    const appended = await this.deps.appender.append(shard, record);
    if (appended.kind === 'refused') {
      this.deps.logger.warn({ shard, reason: appended.reason, results: results.length }, 'settle.refused');
      return false;
    }
    for (const [key, settled] of results) if (state.settled.get(key) === settled) state.settled.delete(key);
    return true;
  }

  private tellNoNode(flight: Flight): void {
    this.deps.meter.count('noNodeFound');
    const nowMs = this.deps.clock.monotonicMs();
    if (nowMs - this.lastNoNodeLogAtMs < NO_NODE_LOG_INTERVAL_MS) {
      this.noNodeUnlogged++;
      return;
    }
    const group = flight.entry.job.nodeGroup ?? '';
    this.deps.logger.warn(
      { logId: logIds.noNode, group, id: flight.entry.job.id, others: this.noNodeUnlogged },
      `push-flex: could not send notification - no gms node found in group=${group}`,
    );
    this.lastNoNodeLogAtMs = nowMs;
    this.noNodeUnlogged = 0;
  }

  /** D7. */
  private withdrawFrom({ sentTo, subscription, entry }: Flight, n = entry.job.n): void {
    if (entry.job.kind === 'trigger')
      for (const nodeId of sentTo) this.tellWithdrawn(nodeId, { subscription, n });
  }

  /** Withdrawals of one turn of the event loop travel together. */
  private tellWithdrawn(nodeId: string, withdrawal: { subscription: string; n: number }): void {
    if (this.withdrawals.size === 0) {
      queueMicrotask(() => {
        const told = this.withdrawals;
        this.withdrawals = new Map();
        for (const [to, list] of told) this.deps.transport.withdraw(to, list);
      });
    }
    const list = this.withdrawals.get(nodeId);
    if (list) list.push(withdrawal);
    else this.withdrawals.set(nodeId, [withdrawal]);
  }
}

/** The next jobs of a channel, marked as sent. One that is queued twice is taken once. */
function takeQueued(channel: Channel): Flight[] {
  const taken: Flight[] = [];
  let chars = 0;
  let seen = 0;
  for (const flight of channel.queue) {
    const isQueued = flight.state === 'queued' && flight.channel === channel;
    if (isQueued) {
      chars += flight.entry.json.length;
      if (taken.length === channel.jobsMax || (taken.length > 0 && chars > DISPATCH_CHARS_MAX)) break;
      flight.state = 'sent';
      taken.push(flight);
    }
    seen++;
  }
  channel.queue.splice(0, seen);
  return taken;
}

/** While a node is busy, triggers are replaced and confirmed; without this their remains would fill the memory (I9). */
function compact(channel: Channel): void {
  channel.queue = channel.queue.filter((flight) => flight.state === 'queued' && flight.channel === channel);
  channel.compactAt = Math.max(QUEUE_COMPACT_AT, 2 * channel.queue.length);
}

/** The session learns that a device, or a CometD client, is no more. */
function goneRecord({ job }: OutboxEntry): RecordOf<'push.gone'> {
  const { sessionId, userId, deviceId } = job;
  const position = job.kind === 'plain' ? job.event?.index : undefined;
  return {
    v: 1,
    id: `gone:${job.id}`,
    type: 'push.gone',
    sessionId,
    userId,
    deviceId,
    ...(position === undefined ? {} : { position }),
  };
}

type Settled = ShardState['settled'] extends PassingMap<string, infer S> ? S : never;

/** As many of the settled ones, oldest first, as fit into one record. */
function takeResults(settled: ShardState['settled']): [key: string, settled: Settled][] {
  const taken: [string, Settled][] = [];
  let chars = 0;
  for (const one of settled) {
    chars += one[1].entry.job.id.length + one[1].outcome.length;
    if (taken.length === BOUNDS.resultsPerRecord || (taken.length > 0 && chars > RESULTS_CHARS_MAX)) break;
    taken.push(one);
  }
  return taken;
}
