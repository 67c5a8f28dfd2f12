import { gmsViewSchema, subjects, type GmsHeartbeat, type NodeId } from '@flexpush/contracts';
import { Operations, readConfig } from '@flexpush/process';
import { hostileBytes, ManualClock, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { pino } from 'pino';
import { configSchema } from './config';
import { PlainJsonDeserializer, type Received } from './plain-json-codec';
import { Registry } from './registry';

const beat = (nodeId: string): GmsHeartbeat => ({
  v: 1,
  nodeId: nodeId as NodeId,
  incarnation: 'one',
  group: 'default',
  types: ['customhttp'],
  queued: 0,
  inFlight: 0,
  capacity: 1,
  state: 'ready',
});

it('heartbeats of any kind are counted and refused, or make a lawful view with the healthy node in it', async () => {
  const uncaught = watchUncaught();
  const clock = new ManualClock();
  const operations = new Operations({ service: 'gms-registry', nodeId: 'r' });
  const lines: string[] = [];
  const registry = new Registry({
    registryId: 'r.one',
    config: readConfig(configSchema, {}),
    clock: {
      nowMs: () => clock.now(),
      monotonicMs: () => clock.now(),
      after: (delayMs, task) => clock.setTimer(delayMs, task),
    },
    bus: { connected: () => true, publish: () => undefined },
    log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) }),
    operations,
  });
  const deserializer = new PlainJsonDeserializer(new Set());
  const hear = (bytes: Uint8Array, channel: string): Received =>
    (deserializer.deserialize(bytes, { channel }) as { data: Received }).data;
  const healthy = new TextEncoder().encode(JSON.stringify(beat('healthy')));
  const canary = { ...beat('hostile'), secureKey: 'canary-5be0' };
  fc.assert(
    fc.property(hostileBytes([beat('hostile'), canary]), (bytes) => {
      registry.intake.take(hear(bytes, subjects.gmsHeartbeat));
      registry.hearView(hear(bytes, subjects.registryViewChanged));
      registry.intake.take(hear(healthy, subjects.gmsHeartbeat));
    }),
    { numRuns: 10_000, endOnFailure: true },
  );
  const view = gmsViewSchema.parse(JSON.parse(JSON.stringify(registry.publisher.present())));
  expect(view.nodes.map(({ nodeId }) => nodeId)).toContain('healthy');
  expect(view.nodes.length).toBeLessThan(1_000);
  const metrics = await operations.registry.metrics();
  const refused = [...metrics.matchAll(/malformed\w*\{.*\} (\d+)/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
  expect(refused).toBeGreaterThan(1_000);
  // However many are refused, they are few lines.
  expect(lines.filter((line) => line.includes('malformed')).length).toBeLessThan(20);
  expect(lines.join()).not.toContain('canary');
  await uncaught.none();
  uncaught.stop();
});
