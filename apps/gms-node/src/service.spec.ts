import {
  cometPushSchema,
  dispatchAnswerSchema,
  gmsHeartbeatSchema,
  pushResultsSchema,
  subjects,
  type GmsHeartbeat,
  type PushResults,
} from '@flexpush/contracts';
import {
  connectBus,
  ensureStreams,
  openOptionStore,
  type NatsBus,
  type OptionStore,
} from '@flexpush/nats-bus';
import { createPushReceiver } from '@flexpush/receiver';
import { createLogger, Operations, readConfig, serviceModule, type ServiceParts } from '@flexpush/process';
import {
  createTestAuthority,
  FcmEndpoint,
  startReceiver,
  startTestNats,
  type Receiver,
  type TestNats,
} from '@flexpush/testkit';
import { Test } from '@nestjs/testing';
import { configSchema } from './config';
import { GmsNode } from './gms-node';
import { buildGmsNode } from './service';

let nats: TestNats;
let bus: NatsBus;
let options: OptionStore;
let receiver: Receiver;

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'spec' });
  await ensureStreams(bus, { shardCount: 4, replicas: 1, logBytesMax: 1 << 24, logAgeMaxMs: 3_600_000 });
  options = await openOptionStore(bus);
  receiver = await startReceiver();
  await options.set('push', 'customhttp.url', `${receiver.url}/push`);
  await options.set('push', 'pushEnabled', 'comet, customhttp, fcm, ios');
});

afterAll(async () => {
  options.close();
  await receiver.close();
  await bus.close();
  await nats.stop();
});

/** What arrives on a subject; tests await what they expect instead of sleeping. */
class Inbox<T> {
  readonly seen: T[] = [];
  private readonly waiters = new Set<() => void>();
  private readonly subscription: { stop(): void };

  constructor(subject: string, parse: (json: unknown) => T) {
    this.subscription = bus.subscribe(subject, (message) => {
      this.seen.push(parse(JSON.parse(message.text())));
      for (const waiter of this.waiters) waiter();
    });
  }

  async until(holds: (seen: T[]) => boolean): Promise<T[]> {
    while (!holds(this.seen)) {
      await new Promise<void>((resolve) => {
        const waiter = () => {
          this.waiters.delete(waiter);
          resolve();
        };
        this.waiters.add(waiter);
      });
    }
    return this.seen;
  }

  stop(): void {
    this.subscription.stop();
  }
}

/** A test that fails in the middle must not leave a node behind, or the run would never end. */
const running = new Set<Running>();

afterEach(async () => {
  receiver.release();
  for (const node of running) await node.stop();
});

interface Running {
  parts: ServiceParts;
  operations: Operations;
  stop(): Promise<void>;
}

async function startNode(nodeId: string, incarnation = 'first'): Promise<Running> {
  const operations = new Operations({ service: 'gms-node', nodeId });
  const parts = await buildGmsNode({
    config: readConfig(configSchema, { FLEXPUSH_NATS_URL: nats.url, FLEXPUSH_GMS_GROUP: 'blue' }),
    log: createLogger({ service: 'gms-node', nodeId, level: 'fatal' }),
    operations,
    nodeId,
    incarnation,
  });
  const beats = heartbeats();
  await bus.flush();
  await parts.start?.();
  // The server knows the subscriptions of a node whose heartbeat it has passed on; before it there are no responders.
  await beats.until((seen) =>
    seen.some((beat) => beat.nodeId === nodeId && beat.incarnation === incarnation),
  );
  beats.stop();
  const node: Running = {
    parts,
    operations,
    stop: async () => {
      running.delete(node);
      for (const step of parts.stop) await step.run();
    },
  };
  running.add(node);
  return node;
}

function trigger(session: string, n: number): Record<string, unknown> {
  return {
    id: `${session}:U:${n}`,
    n,
    sessionId: session,
    userId: 'U',
    service: 'chat',
    deviceType: 'customhttp',
    deviceId: `device-${session}`,
    debug: false,
    obfuscatedKey: 'k',
    chatEnded: false,
    atMs: 1_000,
    kind: 'trigger',
    attempt: 0,
    position: n,
    content: ['session-id'],
  };
}

async function dispatchOnce(nodeId: string, jobs: unknown[], term = 1) {
  const payload = JSON.stringify({
    v: 1,
    actorId: 'actor-1',
    alias: '7',
    shards: [{ shard: 2, term, jobs }],
  });
  const answer = await bus.request(subjects.gmsPush(nodeId), payload, { timeoutMs: 5_000 });
  return answer.kind === 'answer' ? dispatchAnswerSchema.parse(JSON.parse(answer.text)) : answer;
}

/** As an owner does it: `busy` is asked again. On a loaded machine a pause of the process makes the node say it. */
async function dispatch(nodeId: string, jobs: unknown[], term = 1) {
  for (;;) {
    const answer = await dispatchOnce(nodeId, jobs, term);
    if (!('status' in answer) || answer.status !== 'busy') return answer;
  }
}

const heartbeats = () =>
  new Inbox<GmsHeartbeat>(subjects.gmsHeartbeat, (json) => gmsHeartbeatSchema.parse(json));
const stateSeen = (nodeId: string, state: string) => (beats: GmsHeartbeat[]) =>
  beats.some((beat) => beat.nodeId === nodeId && beat.state === state);
const resultsInbox = () =>
  new Inbox<PushResults>(subjects.pushResult('actor-1'), (json) => pushResultsSchema.parse(json));
const outcomes = (seen: PushResults[]) =>
  Object.fromEntries(seen.flatMap(({ results }) => results.map(({ id, outcome }) => [id, outcome])));

it('wires NATS to HTTP: heartbeat, dispatch, POST, result, old terms, repeats', async () => {
  const beats = heartbeats();
  const results = resultsInbox();
  await bus.flush();
  const node = await startNode('gms-1');
  const [first] = await beats.until(stateSeen('gms-1', 'ready'));
  expect(first).toMatchObject({
    group: 'blue',
    types: ['customhttp', 'fcm', 'ios', 'comet'],
    queued: 0,
    inFlight: 0,
  });
  expect(node.operations.readiness()).toMatchObject({ ready: true });

  expect(await dispatch('gms-1', [trigger('a', 1), trigger('b', 1)], 5)).toEqual({
    status: 'accepted',
    oldTerms: [],
  });
  await results.until((seen) => Object.keys(outcomes(seen)).length === 2);
  expect(outcomes(results.seen)).toEqual({ 'a:U:1': 'delivered', 'b:U:1': 'delivered' });
  expect(receiver.posts[0]).toMatchObject({
    path: '/push',
    body: { deviceId: 'device-a', message: { nextPosition: 2 } },
  });
  expect(receiver.posts[0]?.headers['content-type']).toBe('application/json;charset=UTF-8');

  expect(await dispatch('gms-1', [trigger('a', 2)], 4)).toEqual({ status: 'accepted', oldTerms: [[2, 5]] });
  expect(await dispatch('gms-1', [{ id: 1 }], -1)).toMatchObject({ status: 'malformed' });
  results.seen.length = 0;
  await dispatch('gms-1', [trigger('a', 1)], 5);
  await results.until((seen) => seen.length > 0);
  expect(outcomes(results.seen)).toEqual({ 'a:U:1': 'delivered' });
  expect(receiver.posts).toHaveLength(2);

  const metrics = await node.operations.registry.metrics();
  expect(metrics).toMatch(/flexpush_gms_notifications_settled_total\{outcome="delivered"[^}]*\} 2/);
  expect(metrics).toMatch(/flexpush_gms_repeated_notifications_total\{[^}]*\} 1/);
  await node.stop();
  beats.stop();
  results.stop();
});

it('options changed while it runs hold for the next POST', async () => {
  const results = resultsInbox();
  const node = await startNode('gms-options');
  const other = await startReceiver();
  // The node reads the same bucket in the order of its revisions, so once it posts there it has seen the change.
  await options.set('push', 'debug.customhttp.url', `${other.url}/debug`);
  let n = 0;
  while (other.posts.length === 0) {
    n += 1;
    await dispatch('gms-options', [{ ...trigger('dbg', n), debug: true }]);
    await results.until((seen) => outcomes(seen)[`dbg:U:${n}`] !== undefined);
  }
  expect(other.posts[0]?.path).toBe('/debug');
  await node.stop();
  await other.close();
  results.stop();
});

it('delivers to FCM with a token of the service account, and reports a device that is gone', async () => {
  const authority = await createTestAuthority();
  const fcm = await FcmEndpoint.start(await authority.issue());
  const results = resultsInbox();
  for (const [name, value] of Object.entries({
    'fcm.service-account': fcm.serviceAccount,
    'fcm.endpoint': fcm.url,
    'fcm.token-url': fcm.tokenUrl,
    'fcm.ca': authority.cert,
    'fcm.title': 'Support chat',
    'fcm.body': '{nickname} wrote',
  }))
    expect(await options.set('push', name, value)).toMatchObject({ kind: 'ok' });
  const node = await startNode('gms-fcm');
  const event = {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    index: 3,
    type: 'Message',
    utcTime: 1_790_000_015_000,
  };
  const plain = (n: number) => ({ ...trigger('fcm', n), kind: 'plain', deviceType: 'fcm', event });
  await dispatch('gms-fcm', [plain(1)]);
  await results.until((seen) => outcomes(seen)['fcm:U:1'] !== undefined);
  expect(outcomes(results.seen)).toEqual({ 'fcm:U:1': 'delivered' });
  expect(fcm.pushes[0]?.path).toBe('/v1/projects/test-project/messages:send');
  expect(fcm.pushes[0]?.body).toEqual({
    message: {
      token: 'device-fcm',
      notification: { title: 'Support chat', body: 'Jonas wrote' },
      data: { chatId: 'fcm', type: 'Message', index: '3' },
      android: { priority: 'HIGH' },
    },
  });
  fcm.answer = {
    status: 404,
    body: { error: { status: 'NOT_FOUND', details: [{ errorCode: 'UNREGISTERED' }] } },
  };
  await dispatch('gms-fcm', [plain(2)]);
  await results.until((seen) => outcomes(seen)['fcm:U:2'] !== undefined);
  expect(outcomes(results.seen)['fcm:U:2']).toBe('gone');
  await node.stop();
  await fcm.close();
  results.stop();
});

it('hands an event to the chat-api that has the client, and hears when there is none', async () => {
  const results = resultsInbox();
  const asked: unknown[] = [];
  const chatApi = bus.subscribe(subjects.comet('api-1'), (message) => {
    const push = cometPushSchema.parse(JSON.parse(message.text()));
    asked.push(push);
    message.respond(JSON.stringify({ v: 1, status: push.clientId === 'here' ? 'taken' : 'gone' }));
  });
  await bus.flush();
  const node = await startNode('gms-comet');
  const event = {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    index: 3,
    type: 'Message',
    text: 'Hello',
    utcTime: 1_790_000_015_000,
  };
  const comet = (session: string, deviceId: string) => ({
    ...trigger(session, 1),
    kind: 'plain',
    deviceType: 'comet',
    deviceId,
    event,
  });
  await dispatch('gms-comet', [
    comet('c1', 'api-1/here'),
    comet('c2', 'api-1/away'),
    comet('c3', 'api-dead/here'),
  ]);
  await results.until((seen) => Object.keys(outcomes(seen)).length === 3);
  expect(outcomes(results.seen)).toEqual({ 'c1:U:1': 'delivered', 'c2:U:1': 'gone', 'c3:U:1': 'gone' });
  expect(asked).toContainEqual({
    v: 1,
    clientId: 'here',
    sessionId: 'c1',
    userId: 'U',
    alias: '7',
    chatEnded: false,
    event,
  });
  await node.stop();
  chatApi.stop();
  results.stop();
});

it('a notification that two nodes deliver comes with one id, so that the receiver drops the repeat', async () => {
  const results = resultsInbox();
  const signingKey = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  await options.set('push', 'customhttp.signing-key', signingKey);
  const before = receiver.posts.length;
  // One node lost its results, and the owner has placed the same notification anew.
  const nodes = [await startNode('gms-sign-1'), await startNode('gms-sign-2')];
  for (const nodeId of ['gms-sign-1', 'gms-sign-2']) await dispatch(nodeId, [trigger('sig', 1)]);
  await results.until((seen) => seen.flatMap((one) => one.results).length === 2);
  const pushes = createPushReceiver({ signingKeys: [signingKey] });
  const received = receiver.posts
    .slice(before)
    .map(({ headers, body }) => pushes.receive(headers, JSON.stringify(body)));
  expect(received).toEqual([
    expect.objectContaining({ kind: 'push', push: expect.objectContaining({ position: 1 }) as unknown }),
    expect.objectContaining({ kind: 'repeated' }),
  ]);
  await options.unset('push', 'customhttp.signing-key');
  for (const node of nodes) await node.stop();
  results.stop();
});

it('stopping says draining, answers busy, finishes what flies, hands back what waits, and says gone last', async () => {
  const beats = heartbeats();
  const results = resultsInbox();
  const node = await startNode('gms-2');
  const before = receiver.posts.length;
  receiver.hold();
  const plain = (n: number) => ({ ...trigger('d', n), kind: 'plain', position: undefined });
  await dispatch('gms-2', [plain(1), plain(2)]);
  await receiver.waitFor(() => receiver.posts.length > before);
  const stopping = node.stop();
  await beats.until(stateSeen('gms-2', 'draining'));
  await results.until((seen) => outcomes(seen)['d:U:2'] === 'returned');
  expect(await dispatchOnce('gms-2', [trigger('e', 1)])).toMatchObject({ status: 'busy' });
  receiver.release();
  await stopping;
  await results.until((seen) => outcomes(seen)['d:U:1'] === 'delivered');
  await beats.until(stateSeen('gms-2', 'gone'));
  expect(await dispatch('gms-2', [trigger('e', 1)])).toEqual({ kind: 'no-responders' });
  beats.stop();
  results.stop();
});

it('a node whose id a later process has taken falls silent', async () => {
  const earlier = await startNode('gms-3', '1');
  const beats = heartbeats();
  await bus.flush();
  const later = await startNode('gms-3', '2');
  // The earlier one hears the same heartbeats.
  await beats.until(() => !earlier.operations.readiness().ready);
  const before = receiver.posts.length;
  const results = resultsInbox();
  await dispatch('gms-3', [trigger('f', 1)]);
  await results.until((seen) => seen.length > 0);
  await bus.flush();
  expect(receiver.posts.length - before).toBe(1);
  expect(earlier.operations.readiness()).toMatchObject({ ready: false });
  expect(later.operations.readiness()).toMatchObject({ ready: true });
  await earlier.stop();
  expect(await dispatch('gms-3', [trigger('g', 1)])).toMatchObject({ status: 'accepted' });
  await later.stop();
  beats.stop();
  results.stop();
});

it('is a Nest module with its operations endpoints', async () => {
  const node = await startNode('gms-4');
  const module = await Test.createTestingModule({
    imports: [serviceModule(node.parts, node.operations)],
  }).compile();
  expect(module.get(GmsNode).check()).toBe(true);
  await module.close();
  await node.stop();
});
