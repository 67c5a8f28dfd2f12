import { nodeIdSchema, subjects } from '@flexpush/contracts';
import {
  createApnsProvider,
  createCometProvider,
  createFcmProvider,
  customhttpProvider,
  Delivery,
  DispatchDesk,
  Http2Channel,
  NODE_BOUNDS,
  openHttpChannel,
  RefusalLog,
  ResultBatcher,
  TermRegister,
  WakeGuard,
  type HttpChannelOptions,
  type Provider,
} from '@flexpush/delivery';
import { connectBus, LeaseStore, openOptionStore, waitFor, type OptionStore } from '@flexpush/nats-bus';
import type { ServiceContext, ServiceParts } from '@flexpush/process';
import type { GmsNodeConfig } from './config';
import { GmsNode } from './gms-node';
import { Heartbeat } from './heartbeat';
import { LocalizationFile } from './localization-file';
import { NodeMetrics } from './node-metrics';

type Context = ServiceContext<GmsNodeConfig>;
type NodeBus = Awaited<ReturnType<typeof connectBus>>;

/** Monotonic, in milliseconds. */
const nowMs = () => performance.now();

function setTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs);
  return () => clearTimeout(timer);
}

/** Connects and puts the node together; nothing is heard or said before `start`. */
export async function buildGmsNode(context: Context): Promise<ServiceParts> {
  const { config, log, operations } = context;
  let onReconnect: () => void = () => undefined;
  const bus = await connectBus({
    url: config.FLEXPUSH_NATS_URL,
    name: `gms-node ${context.nodeId}`,
    onStatus: (status) => {
      log.warn({ status }, 'nats.status-changed');
      if (status === 'reconnect') onReconnect();
    },
  });
  const { node, delivery, heartbeat, terms } = assemble(context, bus);
  // Others may have taken this node for dead meanwhile.
  onReconnect = () => heartbeat.beat();
  let options: OptionStore | undefined;
  let stopWatchingLeases: () => void = () => undefined;
  operations.addCheck('nats', () => (bus.connected() ? true : 'not connected'));
  operations.addCheck('options', () => (options === undefined ? 'not read yet' : true));
  operations.addCheck('node', () => node.check());
  return {
    providers: [{ provide: GmsNode, useValue: node }],
    start: async () => {
      options = await openOptionStore(bus, {
        onBad: ({ key, reason }) => log.warn({ key, reason }, 'option.not-valid'),
        onLost: ({ error, ...loss }) => log.error({ ...loss, err: error }, 'options.lost'),
      });
      const localization = new LocalizationFile(log, (values) => delivery.useOptions(values));
      options.onChange((values) => localization.apply(values));
      await localization.settled();
      // Before the first dispatch can come: who was deposed while this node was away is not obeyed (I3).
      const leases = await waitFor(() => LeaseStore.open(bus));
      stopWatchingLeases = await leases.watch((shard, { term }) => void terms.note({ shard, term }));
      node.start();
    },
    stop: [
      { name: 'announce draining and hand back what waits', run: () => node.beginDrain() },
      { name: 'finish posts in flight', run: () => node.finishPosts() },
      { name: 'send results', run: () => node.flushResults() },
      { name: 'say gone', run: () => node.leave() },
      { name: 'close connections to receivers', run: () => delivery.close() },
      {
        name: 'close options and leases',
        run: () => {
          options?.close();
          stopWatchingLeases();
        },
      },
      { name: 'close nats', run: () => bus.close() },
    ],
  };
}

function assemble(
  context: Context,
  bus: NodeBus,
): { node: GmsNode; delivery: Delivery; heartbeat: Heartbeat; terms: TermRegister } {
  const { config, log, operations } = context;
  const nodeId = nodeIdSchema.parse(context.nodeId);
  const metrics = new NodeMetrics(operations.registry);
  const terms = new TermRegister(NODE_BOUNDS.shardsMax);
  const results = new ResultBatcher(nodeId, {
    publish: (actorId, payload) => bus.publish(subjects.pushResult(actorId), payload),
    connected: () => bus.connected(),
    setTimer,
    dropped: (count) => metrics.dropResults(count),
  });
  const providers = createProviders({ config, log, bus });
  const delivery = createDelivery({ config, log, metrics, terms, results, providers });
  metrics.watch(delivery);
  const desk = new DispatchDesk({
    nowMs,
    delivery,
    terms,
    wake: new WakeGuard(NODE_BOUNDS.asleepAfterMs, nowMs()),
    results,
    metrics,
    refusals: new RefusalLog(log),
    // The answer to a flush comes after everything that the server had for us. If the connection is lost instead,
    // nothing old can come any more.
    catchUp: (done) => void bus.flush().then(done, done),
  });
  const heartbeat: Heartbeat = new Heartbeat(bus, {
    nodeId,
    incarnation: context.incarnation,
    group: config.FLEXPUSH_GMS_GROUP,
    types: providers.map((provider) => provider.deviceType),
    capacity: config.FLEXPUSH_GMS_CAPACITY,
    intervalMs: config.FLEXPUSH_HEARTBEAT_INTERVAL_MS,
    load: () => ({ queued: delivery.queued, inFlight: delivery.inFlight }),
    replaced: (incarnation) => node.retire(incarnation),
  });
  const node = new GmsNode({ nodeId, bus, desk, delivery, results, heartbeat, log, nowMs });
  return { node, delivery, heartbeat, terms };
}

/** A further way of delivering is one more entry here. */
function createProviders(parts: {
  config: Readonly<GmsNodeConfig>;
  log: Context['log'];
  bus: NodeBus;
}): Provider[] {
  const { config, log, bus } = parts;
  const epochMs = () => Date.now();
  return [
    customhttpProvider,
    createFcmProvider({ nowMs: epochMs, log }),
    createApnsProvider({
      nowMs: epochMs,
      openHttp2: (connection) => new Http2Channel(connection, channelOptions(config)),
    }),
    createCometProvider(bus),
  ];
}

function channelOptions(config: Readonly<GmsNodeConfig>): HttpChannelOptions {
  return {
    nowMs,
    connectionsMax: config.FLEXPUSH_GMS_CONNECTIONS_MAX,
    connectTimeoutMs: config.FLEXPUSH_GMS_CONNECT_TIMEOUT_MS,
    answerTimeoutMs: config.FLEXPUSH_GMS_ANSWER_TIMEOUT_MS,
    exchangeTimeoutMs: config.FLEXPUSH_GMS_EXCHANGE_TIMEOUT_MS,
  };
}

function createDelivery(parts: {
  config: Readonly<GmsNodeConfig>;
  log: Context['log'];
  metrics: NodeMetrics;
  terms: TermRegister;
  results: ResultBatcher;
  providers: readonly Provider[];
}): Delivery {
  const { config, log, metrics, terms, results, providers } = parts;
  return new Delivery(
    {
      nowMs,
      providers,
      log,
      openChannel: (_origin, connection) => openHttpChannel(connection, channelOptions(config)),
      isDeposed: (shard, term) => terms.isDeposed(shard, term),
      settled: ({ job, shard, actorId }, { outcome, reason }, from) => {
        metrics.settle({ outcome, reason }, from);
        results.add(actorId, { id: job.id, shard, outcome, reason });
      },
      attempted: (attempt) => metrics.post(attempt),
    },
    {
      connectionsMax: config.FLEXPUSH_GMS_CONNECTIONS_MAX,
      queueMax: config.FLEXPUSH_GMS_QUEUE_MAX,
      destinationsMax: config.FLEXPUSH_GMS_DESTINATIONS_MAX,
      deadTimeoutMs: config.FLEXPUSH_DEAD_TIMEOUT_MS,
      rememberedMax: config.FLEXPUSH_GMS_REMEMBERED_MAX,
      breakerFailuresMax: config.FLEXPUSH_GMS_BREAKER_FAILURES_MAX,
      breakerProbeAfterMs: config.FLEXPUSH_GMS_BREAKER_PROBE_AFTER_MS,
    },
  );
}
