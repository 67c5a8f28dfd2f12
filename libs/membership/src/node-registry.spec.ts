import type { GmsHeartbeat, NodeId } from '@flexpush/contracts';
import { NODES_MAX, NodeRegistry } from './node-registry';

const OPTIONS = {
  registryId: 'registry-a:one',
  heartbeatIntervalMs: 1_000,
  deadAfterMs: 3_000,
  viewIntervalMs: 1_000,
};

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

/** A registry at time 0 that hears its own views as long as `deaf` is false, and is asked four times a second. */
function given() {
  const registry = new NodeRegistry(OPTIONS);
  let nowMs = 0;
  registry.listenAnew(nowMs);
  let echoed = false;
  const judge = () => registry.judge({ nowMs, wallMs: 1_000_000 + nowMs });
  const run = (durationMs: number, o: { deaf?: boolean; beating?: GmsHeartbeat[] } = {}) => {
    // The first view goes out at the start and comes back at once.
    if (!echoed && !o.deaf) registry.hearView(OPTIONS.registryId, nowMs);
    echoed = true;
    for (const untilMs = nowMs + durationMs; nowMs < untilMs;) {
      nowMs += 250;
      if (nowMs % 1_000 === 0) {
        for (const beat of o.beating ?? []) registry.hear(beat, nowMs);
        if (!o.deaf) registry.hearView(OPTIONS.registryId, nowMs);
      }
      judge();
    }
    return judge().view;
  };
  return { registry, judge, run, jump: (durationMs: number) => (nowMs += durationMs), now: () => nowMs };
}

const ids = (view: { nodes: { nodeId: string }[] }) => view.nodes.map(({ nodeId }) => nodeId);

describe('the view', () => {
  it('shows the nodes it heard, sorted, without the heartbeat version', () => {
    const { registry, judge } = given();
    registry.hear(heartbeat('b', { queued: 3 }), 0);
    registry.hear(heartbeat('a', { state: 'draining' }), 0);
    const { v: _v, ...b } = heartbeat('b', { queued: 3 });
    const { v: _w, ...a } = heartbeat('a', { state: 'draining' });
    expect(judge().view).toEqual({
      v: 1,
      registryId: OPTIONS.registryId,
      atMs: 1_000_000,
      settled: false,
      nodes: [
        { ...a, status: 'alive' },
        { ...b, status: 'alive' },
      ],
    });
  });

  it('is the same in two registries that heard the same beats in another order', () => {
    const [one, two] = [given(), given()];
    for (const id of ['a', 'b', 'c']) one.registry.hear(heartbeat(id), 0);
    for (const id of ['c', 'a', 'b']) two.registry.hear(heartbeat(id), 0);
    expect(one.judge()).toEqual(two.judge());
  });

  it('drops a node after three missed heartbeats and one that says gone at once', () => {
    const { registry, run, now } = given();
    registry.hear(heartbeat('silent'), 0);
    registry.hear(heartbeat('leaving'), 0);
    expect(ids(run(250))).toEqual(['leaving', 'silent']);
    registry.hear(heartbeat('leaving', { state: 'gone' }), now());
    expect(ids(run(2_500))).toEqual(['silent']);
    expect(ids(run(250))).toEqual([]);
  });

  it('fits into a NATS message with every node and field at its longest', () => {
    const { registry, judge } = given();
    for (let i = 0; i < NODES_MAX + 10; i++)
      registry.hear(
        heartbeat(`${i}`.padStart(64, 'n'), {
          incarnation: 'i'.repeat(64),
          group: 'g'.repeat(64),
          types: Array.from({ length: 16 }, () => 't'.repeat(32)),
          queued: 1e9,
          inFlight: 1e9,
          capacity: 1e9,
        }),
        0,
      );
    const { view } = judge();
    expect(view.nodes).toHaveLength(NODES_MAX);
    expect(JSON.stringify(view).length).toBeLessThan(1_048_576);
  });

  it('keeps its fingerprint while only load changes', () => {
    const { registry, judge } = given();
    registry.hear(heartbeat('a'), 0);
    const before = judge().fingerprint;
    registry.hear(heartbeat('a', { queued: 9, inFlight: 4 }), 1);
    expect(judge().fingerprint).toBe(before);
    registry.hear(heartbeat('a', { state: 'draining' }), 2);
    expect(judge().fingerprint).not.toBe(before);
  });
});

describe('settled', () => {
  it('comes when the registry has listened for a dead time-out', () => {
    const { run } = given();
    expect(run(2_750).settled).toBe(false);
    expect(run(250).settled).toBe(true);
  });

  it('never comes when own views do not come back', () => {
    expect(given().run(60_000, { deaf: true }).settled).toBe(false);
  });

  it('is not proved by the views of another registry', () => {
    const { registry, run, now } = given();
    run(5_000, { deaf: true });
    registry.hearView('registry-b:one', now());
    expect(run(5_000, { deaf: true }).settled).toBe(false);
  });

  it('is lost before a deaf registry calls anybody dead, and comes back a dead time-out after it hears again', () => {
    const { run, judge } = given();
    expect(run(10_000, { beating: [heartbeat('a')] }).settled).toBe(true);
    // From here on nothing arrives, as on a connection that looks open and is not.
    for (let lookMs = 0; lookMs < 10_000; lookMs += 250) {
      const view = run(250, { deaf: true });
      if (!ids(view).includes('a')) expect(view.settled).toBe(false);
    }
    expect(ids(judge().view)).toEqual([]);
    expect(run(3_000, { beating: [heartbeat('a')] })).toMatchObject({ settled: false });
    expect(run(1_000, { beating: [heartbeat('a')] })).toMatchObject({ settled: true });
  });

  it('is lost by a freeze, and nobody is dead at once', () => {
    const { run, jump, judge } = given();
    run(10_000, { beating: [heartbeat('a')] });
    jump(60_000);
    expect(judge()).toMatchObject({ died: [], view: { settled: false, nodes: [{ nodeId: 'a' }] } });
  });
});
