import { nodeIdSchema, optionKey, subjects, type GmsHeartbeat } from '@flexpush/contracts';
import {
  createCometProvider,
  customhttpProvider,
  Delivery,
  DispatchDesk,
  NODE_BOUNDS,
  RefusalLog,
  ResultBatcher,
  TermRegister,
  WakeGuard,
} from '@flexpush/delivery';
import { Host } from './host';
import { ORIGINS } from './receivers';
import { anyTerm } from './switches';
import { SHARDS, type World } from './world';

const HEARTBEAT_MS = 1_000;
/** Jobs older than this are handed back; see `FLEXPUSH_DEAD_TIMEOUT_MS` of gms-node. */
export const DEAD_TIMEOUT_MS = 3_000;
const SILENT = {
  isLevelEnabled: () => false,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
};

/** A gms-node process: the real desk and the real delivery, with channels to the world's receivers. */
export class GmsHost {
  readonly host: Host;
  private readonly delivery: Delivery;
  private readonly desk: DispatchDesk;
  private readonly results: ResultBatcher;
  private readonly terms: TermRegister;
  private stopWatching: () => void = () => undefined;
  private state: GmsHeartbeat['state'] = 'ready';

  constructor(
    private readonly world: World,
    readonly name: string,
    private readonly incarnation: string,
  ) {
    const host = (this.host = new Host(name, world.time));
    const { network, receivers, off } = world;
    const nowMs = () => host.clock.monotonicMs();
    const terms = (this.terms = new TermRegister(NODE_BOUNDS.shardsMax));
    const obeyed = off.has('term-check') ? (anyTerm as unknown as TermRegister) : terms;
    const results = (this.results = new ResultBatcher(nodeIdSchema.parse(name), {
      publish: (actorId, payload) => network.publish(host, subjects.pushResult(actorId), payload),
      connected: () => network.reaches(host, 'nats'),
      setTimer: (delayMs, run) => host.clock.after(delayMs, run),
      dropped: () => undefined,
    }));
    this.delivery = new Delivery(
      {
        nowMs,
        providers: [
          customhttpProvider,
          createCometProvider({
            request: (subject, payload, { timeoutMs }) => network.request(host, subject, payload, timeoutMs),
          }),
        ],
        log: SILENT,
        openChannel: (origin) => receivers.channel(host, origin),
        isDeposed: (shard, term) => obeyed.isDeposed(shard, term),
        settled: ({ job, shard, actorId }, { outcome, reason }) =>
          results.add(actorId, { id: job.id, shard, outcome, reason }),
      },
      {
        connectionsMax: 4,
        queueMax: 1_000,
        destinationsMax: 16,
        deadTimeoutMs: DEAD_TIMEOUT_MS,
        rememberedMax: 10_000,
        breakerFailuresMax: 5,
        breakerProbeAfterMs: 1_000,
      },
    );
    this.delivery.useOptions({
      [optionKey('push', 'pushEnabled')]: 'comet, customhttp',
      [optionKey('push', 'customhttp.url')]: `${ORIGINS.well}/push`,
      [optionKey('push.provider.sick', 'customhttp.url')]: `${ORIGINS.sick}/push`,
    });
    this.desk = new DispatchDesk({
      nowMs,
      delivery: this.delivery,
      terms: obeyed,
      wake: new WakeGuard(NODE_BOUNDS.asleepAfterMs, nowMs()),
      results,
      metrics: { refuse: () => undefined },
      refusals: new RefusalLog(SILENT),
      catchUp: (done) => network.tell(host, done),
    });
  }

  /** The first beat comes when the terms are known. */
  start(): void {
    const { world, host, terms } = this;
    const { network, leases } = world;
    const readAll = network.nats(host, async () => {
      for (let shard = 0; shard < SHARDS; shard++) terms.note({ shard, term: leases.now(shard).term });
    });
    const begin = (): void =>
      void readAll().then(
        () => this.open(),
        () => begin(),
      );
    begin();
  }

  private open(): void {
    const { world, host, name, desk, delivery, terms } = this;
    const { network } = world;
    this.stopWatching = world.leases.watch((shard, { term }) =>
      network.tell(host, () => void terms.note({ shard, term })),
    );
    network.subscribe(host, subjects.gmsTerm, (message) => desk.announceTerm(message.text()));
    network.subscribe(host, subjects.gmsWithdraw(name), (message) => desk.withdraw(message.text()));
    network.subscribe(host, subjects.gmsPush(name), (message) =>
      message.respond(JSON.stringify(desk.dispatch(message.text()))),
    );
    this.every(NODE_BOUNDS.awakeIntervalMs, () => desk.tick());
    this.every(NODE_BOUNDS.sweepIntervalMs, () => delivery.sweep(host.clock.monotonicMs()));
    this.beat();
    this.every(HEARTBEAT_MS, () => this.beat());
  }

  /** SIGTERM: hands back what waits, finishes what is in flight. */
  async leave(): Promise<void> {
    this.desk.beginDrain();
    this.state = 'draining';
    this.beat();
    const drained = this.delivery.drain();
    this.results.flush();
    await drained;
    this.results.flush();
    this.state = 'gone';
    this.beat();
    this.kill();
  }

  kill(): void {
    this.host.kill();
    this.stopWatching();
    this.world.network.leave(this.host);
  }

  private beat(): void {
    const { name, incarnation, delivery, state } = this;
    const beat = {
      v: 1,
      nodeId: name,
      incarnation,
      group: 'default',
      types: ['customhttp', 'comet'],
      queued: delivery.queued,
      inFlight: delivery.inFlight,
      capacity: 1,
      state,
    };
    this.world.network.publish(this.host, subjects.gmsHeartbeat, JSON.stringify(beat));
  }

  private every(intervalMs: number, task: () => void): void {
    this.host.clock.after(intervalMs, () => {
      task();
      this.every(intervalMs, task);
    });
  }
}
