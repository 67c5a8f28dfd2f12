import { subjects, type GmsHeartbeat, type GmsView, type NodeId } from '@flexpush/contracts';
import { Operations } from '@flexpush/process';
import { ManualClock } from '@flexpush/testkit';
import { pino } from 'pino';
import { createMetrics } from './metrics';
import { NodeRegistry } from '@flexpush/membership';
import { ViewPublisher } from './view-publisher';

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

function given() {
  const clock = new ManualClock();
  const published: { atMs: number; view: GmsView }[] = [];
  const startMs = clock.now();
  const state = { up: true };
  const registryId = 'r:one';
  const intervals = { heartbeatIntervalMs: 1_000, viewIntervalMs: 1_000 };
  const registry = new NodeRegistry({ registryId, ...intervals, deadAfterMs: 3_000 });
  const publisher: ViewPublisher = new ViewPublisher({
    registry,
    bus: {
      connected: () => state.up,
      publish: (subject, text) => {
        expect(subject).toBe(subjects.registryViewChanged);
        published.push({ atMs: clock.now() - startMs, view: JSON.parse(text) as GmsView });
        registry.hearView(registryId, clock.now());
      },
    },
    clock: {
      nowMs: () => clock.now(),
      monotonicMs: () => clock.now(),
      after: (delayMs, task) => clock.setTimer(delayMs, task),
    },
    log: pino({ level: 'silent' }),
    metrics: createMetrics(new Operations({ service: 'gms-registry', nodeId: 'r' }), () =>
      publisher.lastView(),
    ),
    ...intervals,
  });
  publisher.start();
  const hear = (beat: GmsHeartbeat) => {
    const outcome = registry.hear(beat, clock.now());
    if (outcome !== 'refreshed') publisher.changed();
  };
  return { clock, published, publisher, state, hear };
}

const ids = ({ view }: { view: GmsView }) => view.nodes.map(({ nodeId }) => nodeId as string);

describe('ViewPublisher', () => {
  it('publishes at the start and then once per interval', async () => {
    const { clock, published } = given();
    await clock.advance(2_900);
    expect(published.map(({ atMs }) => atMs)).toEqual([0, 1_000, 2_000]);
  });

  it('publishes a change at once', async () => {
    const { clock, published, hear } = given();
    await clock.advance(333);
    hear(heartbeat('a'));
    await clock.advance(100);
    hear(heartbeat('a', { state: 'gone' }));
    expect(published.map((one) => [one.atMs, ids(one)])).toEqual([
      [0, []],
      [333, ['a']],
      [433, []],
    ]);
  });

  it('packs a burst of changes into few views, the last one complete', async () => {
    const { clock, published, hear } = given();
    await clock.advance(500);
    for (let i = 0; i < 100; i++) {
      hear(heartbeat(`n${i}`));
      await clock.advance(1);
    }
    await clock.advance(50);
    expect(published.length).toBeLessThan(9);
    expect(ids(published.at(-1)!)).toHaveLength(100);
  });

  it('publishes a death within a quarter of a heartbeat interval', async () => {
    const { clock, published, hear } = given();
    await clock.advance(100);
    hear(heartbeat('a'));
    await clock.advance(5_000);
    const death = published.find((one, i) => i > 1 && ids(one).length === 0);
    expect(death!.atMs).toBeGreaterThanOrEqual(3_100);
    expect(death!.atMs).toBeLessThanOrEqual(3_350);
  });

  it('judges and publishes nothing while the bus is away, and kills nobody when it is back', async () => {
    const { clock, published, publisher, state, hear } = given();
    hear(heartbeat('a'));
    for (let i = 0; i < 5; i++) {
      await clock.advance(1_000);
      hear(heartbeat('a'));
    }
    const before = published.length;
    state.up = false;
    await clock.advance(30_000);
    expect(published).toHaveLength(before);
    state.up = true;
    publisher.reconnected();
    expect(published.length).toBeGreaterThan(before);
    expect(published.at(-1)).toMatchObject({ view: { settled: false, nodes: [{ nodeId: 'a' }] } });
  });

  it('stops', async () => {
    const { clock, published, publisher, hear } = given();
    publisher.stop();
    const before = published.length;
    hear(heartbeat('a'));
    await clock.advance(10_000);
    expect(published).toHaveLength(before);
    expect(clock.timerCount).toBe(0);
  });
});
