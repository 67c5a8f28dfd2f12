import { gmsViewSchema, subjects, type GmsHeartbeat, type GmsView, type NodeId } from '@flexpush/contracts';
import { Operations, readConfig, serviceModule, systemClock } from '@flexpush/process';
import { startTestNats, type TestNats } from '@flexpush/testkit';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect, type NatsConnection } from 'nats';
import { pino } from 'pino';
import { configSchema } from './config';
import { NatsEdge } from './nats-edge';
import { Registry } from './registry';
import { RegistryController } from './registry.controller';

/** Five times faster than the defaults; the relations between the intervals are the same. */
const ENV = {
  FLEXPUSH_HEARTBEAT_INTERVAL_MS: '200',
  FLEXPUSH_DEAD_AFTER_MS: '600',
  FLEXPUSH_VIEW_INTERVAL_MS: '200',
};

let nats: TestNats;
let client: NatsConnection;
let views: GmsView[];
let onView: () => void = () => undefined;
let stops: (() => Promise<void>)[];

/** A throw in a subscription's callback would end the client's reading. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

beforeAll(async () => {
  nats = await startTestNats();
  client = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  client.subscribe(subjects.registryViewChanged, {
    callback: (_error, message) => {
      const view = gmsViewSchema.safeParse(parse(message.string()));
      if (view.success) views.push(view.data);
      onView();
    },
  });
});

beforeEach(() => {
  views = [];
  stops = [];
});

afterEach(async () => {
  for (const stop of stops) await stop();
});

afterAll(async () => {
  await client?.close();
  await nats?.stop();
});

async function startRegistry(id = 'registry-a') {
  const operations = new Operations({ service: 'gms-registry', nodeId: id });
  const log = pino({ level: 'silent' });
  const edge: NatsEdge = new NatsEdge({
    url: nats.url,
    name: id,
    log,
    onReconnect: () => registry.publisher.reconnected(),
  });
  const registry = new Registry({
    registryId: `${id}:one`,
    config: readConfig(configSchema, ENV),
    clock: systemClock,
    bus: edge,
    log,
    operations,
  });
  const parts = {
    controllers: [RegistryController],
    providers: [{ provide: Registry, useValue: registry }],
  };
  const app = await NestFactory.create<NestFastifyApplication>(
    serviceModule(parts, operations),
    new FastifyAdapter(),
    { logger: false, abortOnError: false },
  );
  edge.attach(app);
  await app.init();
  await edge.listen();
  registry.publisher.start();
  stops.push(async () => {
    registry.publisher.stop();
    await edge.close();
    await app.close();
  });
  const metric = (name: string) => operations.registry.getSingleMetricAsString(name);
  return { metric, edge };
}

function heartbeat(nodeId: string, over: Partial<GmsHeartbeat> = {}): GmsHeartbeat {
  return {
    v: 1,
    nodeId: nodeId as NodeId,
    incarnation: 'one',
    group: 'default',
    types: ['customhttp'],
    queued: 0,
    inFlight: 0,
    capacity: 1,
    state: 'ready',
    ...over,
  };
}

function beat(nodeId: string, over: Partial<GmsHeartbeat> = {}): void {
  client.publish(subjects.gmsHeartbeat, JSON.stringify(heartbeat(nodeId, over)));
}

/** Resolves with the first published view, past ones included, that fits. */
function viewThat(fits: (view: GmsView) => boolean): Promise<GmsView> {
  return new Promise((resolve) => {
    onView = () => {
      const found = views.find(fits);
      if (found) resolve(found);
    };
    onView();
  });
}

const has = (nodeId: string) => (view: GmsView) => view.nodes.some((node) => node.nodeId === nodeId);

async function ask(): Promise<unknown> {
  return (await client.request(subjects.registryView, '', { timeout: 2_000 })).json();
}

describe('gms-registry on a real nats-server', () => {
  it('publishes a node when it beats, and answers a plain requester with plain JSON', async () => {
    await startRegistry();
    beat('gms-1', { group: 'vip', capacity: 4 });
    await viewThat(has('gms-1'));
    const { v: _v, ...node } = heartbeat('gms-1', { group: 'vip', capacity: 4 });
    expect(await ask()).toEqual({
      v: 1,
      registryId: 'registry-a:one',
      atMs: expect.any(Number),
      settled: false,
      nodes: [{ ...node, status: 'alive' }],
    });
  });

  it.each([
    { name: 'a message that is not JSON', payload: 'not json' },
    { name: 'an empty message', payload: '' },
    { name: 'a heartbeat inside a data key', payload: JSON.stringify({ data: heartbeat('hidden') }) },
    {
      name: 'an envelope with pattern, id and data',
      payload: JSON.stringify({ pattern: subjects.gmsHeartbeat, id: '1', data: heartbeat('hidden') }),
    },
    { name: 'a heartbeat of another version', payload: JSON.stringify({ ...heartbeat('hidden'), v: 2 }) },
  ])('survives and counts $name', async ({ payload }) => {
    const { metric } = await startRegistry();
    client.publish(subjects.gmsHeartbeat, payload);
    client.publish(subjects.registryView, payload);
    client.publish(subjects.registryViewChanged, payload);
    beat('after');
    const view = await viewThat(has('after'));
    expect(view.nodes.map(({ nodeId }) => nodeId)).toEqual(['after']);
    expect(await metric('flexpush_registry_malformed_total')).toMatch(/\} 1\n?$/);
    await ask();
  });

  it('answers a request whose payload looks like an envelope, exactly once', async () => {
    await startRegistry();
    const inbox = 'spec.inbox.once';
    const answers: unknown[] = [];
    const subscription = client.subscribe(inbox, {
      callback: (_error, message) => answers.push(message.json()),
    });
    const envelope = JSON.stringify({ pattern: 'x', id: 'y', data: {} });
    client.publish(subjects.registryView, envelope, { reply: inbox });
    await ask();
    await client.flush();
    subscription.unsubscribe();
    expect(answers).toHaveLength(1);
    expect(gmsViewSchema.safeParse(answers[0]).success).toBe(true);
  });

  it('does not answer a heartbeat that was sent as a request', async () => {
    await startRegistry();
    const reply = client.request(subjects.gmsHeartbeat, JSON.stringify(heartbeat('asks')), { timeout: 300 });
    await expect(reply).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(views.some(has('asks'))).toBe(true);
  });

  it('settles, then drops a silent node; one that says gone leaves at once', async () => {
    await startRegistry();
    beat('silent');
    beat('leaves');
    await viewThat(has('leaves'));
    beat('leaves', { state: 'gone' });
    await viewThat((view) => has('silent')(view) && !has('leaves')(view));
    await viewThat((view) => view.settled && view.nodes.length === 0);
  });

  it('has replicas that hear all and say the same', async () => {
    await startRegistry('registry-a');
    await startRegistry('registry-b');
    beat('gms-1');
    beat('gms-2', { group: 'vip' });
    const of = (id: string) => viewThat((view) => view.registryId === `${id}:one` && has('gms-2')(view));
    const [a, b] = [await of('registry-a'), await of('registry-b')];
    expect(a.nodes).toEqual(b.nodes);
    await ask();
  });

  it('says not connected while NATS is away, and then forgets nobody before it has listened anew', async () => {
    const { edge } = await startRegistry();
    beat('gms-1');
    await viewThat((view) => view.settled);
    beat('gms-1');
    await client.flush();
    await nats.server.stop();
    while (edge.connected()) await new Promise((resolve) => setTimeout(resolve, 5));
    await nats.server.start();
    while (!edge.connected()) await new Promise((resolve) => setTimeout(resolve, 5));
    await client.flush();
    views = [];
    const next = await viewThat(() => true);
    expect(next.settled).toBe(false);
    beat('gms-1');
    await viewThat(has('gms-1'));
  });
});
