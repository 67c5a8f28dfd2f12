import { DEFAULT_SHARDS } from '@flexpush/stack';
import * as fc from 'fast-check';
import { planCapacity, type CapacityPlan } from './capacity-plan';
import { flowsOf, type Demand } from './flows';
import { COSTS, costUs, LIMITS } from './plan-costs';
import { serviceOf } from './plan-words';

const usual: Demand = {
  sessions: 20_000,
  eventsPerS: 500,
  resendRatio: 0.1,
  subscriptionsShare: 1,
  refreshesPerEvent: 1,
  pollS: 5,
  eventBytes: 600,
  eventsPerChat: 20,
  retentionHours: 24,
  replicas: 3,
  targetUtilisation: 0.6,
  receiverMs: 20,
};

const between = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const demands: fc.Arbitrary<Demand> = fc.record({
  sessions: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 50_000 }),
    fc.integer({ min: 1, max: 3_000_000 }),
  ),
  eventsPerS: fc.oneof(fc.constant(0), between(0, 30_000)),
  resendRatio: fc.oneof(fc.constant(0), between(0, 5)),
  subscriptionsShare: fc.oneof(fc.constant(1), between(0.9, 1)),
  refreshesPerEvent: between(0, 3),
  pollS: between(1, 45),
  eventBytes: fc.integer({ min: 100, max: 4_000 }),
  eventsPerChat: between(1, 100),
  retentionHours: between(1, 720),
  replicas: fc.constantFrom(1, 3, 5),
  targetUtilisation: between(0.1, 0.9),
  receiverMs: between(1, 5_000),
  shards: fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(8, 16, 64, 256, 1_024, LIMITS.shards) },
  ),
});
/** What grows when a load grows. */
const growing = [
  'sessions',
  'eventsPerS',
  'resendRatio',
  'refreshesPerEvent',
  'eventBytes',
  'eventsPerChat',
  'retentionHours',
  'receiverMs',
] as const;

function planned(demand: Demand): CapacityPlan {
  const outcome = planCapacity(demand);
  if (outcome.kind !== 'plan') throw new Error(`no plan: ${outcome.kind}`);
  return outcome;
}

/** Everything of which there is a number. */
function countsOf(plan: CapacityPlan): Record<string, number> {
  return {
    ...Object.fromEntries(plan.services.map(({ kind, nodes }) => [kind, nodes])),
    shards: plan.shards.count,
    natsServers: plan.nats.servers,
    streams: plan.nats.streamsNeeded,
    logBytesMax: plan.nats.logBytesMax,
    diskBytesEach: plan.nats.diskBytesEach,
    redisMasters: plan.redis.masters,
    redisBytes: plan.redis.dataBytes,
    connections: plan.connectionsPerGmsNode * serviceOf(plan, 'gms-node').nodes,
  };
}

describe('a plan', () => {
  it('P1: uses nothing above the target', () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const outcome = planCapacity(demand);
        fc.pre(outcome.kind === 'plan');
        const { services, nats, redis } = outcome as CapacityPlan;
        for (const { busiest } of [...services, nats, redis])
          expect(busiest).toBeLessThanOrEqual(demand.targetUtilisation + 1e-9);
      }),
    );
  });

  it('P2: goes on below full load when any one node is lost', () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const outcome = planCapacity(demand);
        fc.pre(outcome.kind === 'plan');
        const { services, nats, redis } = outcome as CapacityPlan;
        for (const { nodes, oneLost, busiest } of services) {
          expect(nodes).toBeGreaterThanOrEqual(2);
          expect(oneLost).toBeLessThan(1);
          expect(oneLost).toBeGreaterThanOrEqual(busiest);
        }
        expect(redis.replicasEach).toBeGreaterThanOrEqual(1);
        expect(redis.oneLost).toBeLessThan(1);
        expect(nats.servers).toBeGreaterThanOrEqual(demand.replicas);
        if (demand.replicas === 1) expect(nats.oneLost).toBeNull();
        else expect(nats.oneLost).toBeLessThan(1);
      }),
    );
  });

  it.each(growing)('P3: needs no fewer of anything with more of %s', (part) => {
    fc.assert(
      fc.property(demands, between(1, 4), (drawn, times) => {
        // Where fewer refreshes come than pushes go, one more may save a ping.
        const refreshesPerEvent = Math.max(drawn.refreshesPerEvent, drawn.subscriptionsShare);
        const demand = part === 'refreshesPerEvent' ? { ...drawn, refreshesPerEvent } : drawn;
        const grown = part === 'sessions' ? Math.ceil(demand.sessions * times) : demand[part] * times;
        const less = planCapacity(demand);
        const more = planCapacity({ ...demand, [part]: grown });
        if (less.kind !== 'plan') expect(more.kind).not.toBe('plan');
        fc.pre(less.kind === 'plan' && more.kind === 'plan');
        if (less.kind !== 'plan' || more.kind !== 'plan') return;
        // Connections are rounded up for each node.
        const rounding = serviceOf(less, 'gms-node').nodes;
        const after = countsOf(more);
        const fewer = Object.entries(countsOf(less)).filter(
          ([name, count]) => (after[name] ?? 0) < count - (name === 'connections' ? rounding : 0),
        );
        expect(fewer).toEqual([]);
      }),
    );
  });

  it('P3: needs no fewer of anything with a lower target', () => {
    fc.assert(
      fc.property(demands, between(0.1, 0.9), (demand, other) => {
        const [low = 0, high = 0] = [demand.targetUtilisation, other].sort((a, b) => a - b);
        const roomy = planCapacity({ ...demand, targetUtilisation: low });
        const tight = planCapacity({ ...demand, targetUtilisation: high });
        fc.pre(roomy.kind === 'plan' && tight.kind === 'plan');
        if (roomy.kind !== 'plan' || tight.kind !== 'plan') return;
        for (const { kind, nodes } of tight.services)
          expect(serviceOf(roomy, kind).nodes).toBeGreaterThanOrEqual(nodes);
        expect(roomy.redis.masters).toBeGreaterThanOrEqual(tight.redis.masters);
        expect(roomy.nats.streamsNeeded).toBeGreaterThanOrEqual(tight.nats.streamsNeeded);
      }),
    );
  });

  it('P4: its nodes together do all that is asked, and nothing twice', () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const outcome = planCapacity(demand);
        fc.pre(outcome.kind === 'plan');
        const plan = outcome as CapacityPlan;
        const { sessions, eventsPerS, subscriptionsShare: share, resendRatio } = demand;
        const subscribed = sessions * share;
        const followed = Math.min(1, demand.refreshesPerEvent / share);
        const pings =
          sessions === 0 ? 0 : (subscribed / 300) * Math.exp((-300 * eventsPerS * followed) / sessions);
        const pushes = (eventsPerS * share + pings) * (1 + resendRatio);
        const polls = (sessions - subscribed) / demand.pollS;
        const fires = subscribed / 300 + (sessions - subscribed) / 45;
        const refreshes = eventsPerS * demand.refreshesPerEvent + pings + polls;
        expect(serviceOf(plan, 'chat-api').perS).toBeCloseTo(refreshes, 3);
        expect(serviceOf(plan, 'gms-node').perS).toBeCloseTo(pushes, 3);
        expect(plan.nats.leaderPerS).toBeCloseTo(
          eventsPerS + refreshes + fires + pushes - pushes / (1 + resendRatio),
          3,
        );
        expect(serviceOf(plan, 'session-actor').perS).toBeCloseTo(plan.nats.leaderPerS, 3);
        // One POST after the other, each with its share of a core, beside what every node needs.
        const { cores, nodes } = serviceOf(plan, 'gms-node');
        const us =
          (pushes / (1 + resendRatio)) * costUs('gms-node', 'push') +
          plan.flows.resend * costUs('gms-node', 'resend');
        expect(cores - nodes * COSTS.idleCores.value).toBeCloseTo(us / 1e6, 6);
      }),
    );
  });

  it('has streams enough for every leader to stay below the target', () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const outcome = planCapacity(demand);
        fc.pre(outcome.kind === 'plan');
        const { leaderPerS, leaderLimitPerS, streamsNeeded } = (outcome as CapacityPlan).nats;
        const each = leaderLimitPerS * demand.targetUtilisation;
        expect(streamsNeeded * each).toBeGreaterThanOrEqual(leaderPerS * (1 - 1e-9));
        if (streamsNeeded > 1) expect((streamsNeeded - 1) * each).toBeLessThan(leaderPerS);
      }),
    );
  });

  it('without any traffic is the smallest cluster that survives the loss of anything', () => {
    const plan = planned({ ...usual, sessions: 0, eventsPerS: 0 });
    expect(plan.services.map(({ kind, nodes }) => [kind, nodes])).toEqual([
      ['chat-api', 2],
      ['session-actor', 2],
      ['resend-timer', 2],
      ['gms-node', 2],
      ['gms-registry', 2],
    ]);
    expect(plan.shards).toEqual({ count: DEFAULT_SHARDS, isGiven: false });
    expect(plan.nats).toMatchObject({ servers: 3, replicas: 3, streamsNeeded: 1 });
    expect(plan.redis).toMatchObject({ masters: 1, replicasEach: 1, sentinels: 3 });
    expect(plan.isCarried).toBe(true);
    expect(plan.settings).toMatchObject({
      FLEXPUSH_SHARDS: String(DEFAULT_SHARDS),
      FLEXPUSH_STREAM_REPLICAS: '3',
    });
  });
});

describe('the ceilings', () => {
  it('are told in the order in which they are reached', () => {
    const { ceilings } = planned(usual);
    const times = ceilings.map(({ reachedAtTimes }) => reachedAtTimes ?? Infinity);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(ceilings).toHaveLength(4);
  });

  it('are reached where they say', () => {
    const leaderOf = ({ ceilings }: CapacityPlan) => ceilings.find(({ name }) => name.startsWith('leader'));
    const at = (times: number) =>
      planned({ ...usual, sessions: usual.sessions * times, eventsPerS: usual.eventsPerS * times });
    const times = leaderOf(planned(usual))?.reachedAtTimes ?? NaN;
    expect(at(times * 0.99).nats.streamsNeeded).toBe(1);
    expect(leaderOf(at(times * 0.99))?.state).toBe('below');
    expect(at(times * 1.01).nats.streamsNeeded).toBe(2);
    expect(leaderOf(at(times * 1.01))).toMatchObject({ state: 'near', isPassable: false });
    expect(at(times * 1.01).isCarried).toBe(true);
    expect(leaderOf(at(times * 1.7))?.state).toBe('exceeded');
    expect(at(times * 1.7).isCarried).toBe(false);
  });

  it('of Redis is passed by a Cluster of three masters or more', () => {
    const core = ({ ceilings }: CapacityPlan) => ceilings.find(({ name }) => name === 'core of one Redis');
    const times = core(planned(usual))?.reachedAtTimes ?? NaN;
    const at = (factor: number) =>
      planned({ ...usual, sessions: 20_000, eventsPerS: usual.eventsPerS * times * factor });
    expect(at(0.95).redis).toMatchObject({ masters: 1, sentinels: 3 });
    expect(at(1.1).redis).toMatchObject({ masters: 3, sentinels: 0 });
    expect(core(at(1.1))?.state).toBe('passed');
  });

  it('of Redis is its memory, where chats are many and quiet', () => {
    const { ceilings, redis } = planned({
      ...usual,
      sessions: 5_000_000,
      eventsPerS: 10,
      eventsPerChat: 100,
    });
    expect(ceilings.find(({ name }) => name === 'memory of one Redis')?.state).toBe('passed');
    expect(redis.masters).toBeGreaterThanOrEqual(3);
    expect(redis.maxmemoryBytes).toBeLessThanOrEqual(16 * 1024 ** 3);
  });
});

describe('shards', () => {
  it('that were named are kept, and refused where they do not spread the load', () => {
    expect(planned({ ...usual, shards: 64 }).shards).toEqual({ count: 64, isGiven: true });
    const outcome = planCapacity({ ...usual, eventsPerS: 10_000, shards: 16 });
    expect(outcome.kind).toBe('too-few-shards');
    const advised = outcome.kind === 'too-few-shards' ? outcome.advised : undefined;
    expect(planned({ ...usual, eventsPerS: 10_000, shards: advised }).shards.count).toBe(advised);
  });

  it('are at least four for each session-actor', () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const outcome = planCapacity(demand);
        fc.pre(outcome.kind === 'plan');
        const plan = outcome as CapacityPlan;
        expect(plan.shards.count).toBeGreaterThanOrEqual(4 * serviceOf(plan, 'session-actor').nodes);
        expect(plan.shards.count).toBeLessThanOrEqual(LIMITS.shards);
        if (plan.isCarried && !plan.shards.isGiven) expect(plan.shards.count).toBeLessThanOrEqual(1_024);
      }),
    );
  });
});

it('divides what one cluster cannot carry, and the parts can be planned', () => {
  const demand = { ...usual, sessions: 100_000_000, eventsPerS: 2_000_000 };
  const outcome = planCapacity(demand);
  expect(outcome.kind).toBe('beyond-one-cluster');
  const clusters = outcome.kind === 'beyond-one-cluster' ? outcome.clusters : NaN;
  const part = { ...demand, sessions: demand.sessions / clusters, eventsPerS: demand.eventsPerS / clusters };
  expect(planCapacity(part).kind).toBe('plan');
  const half = {
    ...demand,
    sessions: (2 * demand.sessions) / clusters,
    eventsPerS: (2 * demand.eventsPerS) / clusters,
  };
  expect(planCapacity(half).kind).toBe('beyond-one-cluster');
});

it("needs as many connections as Little's law says, and more nodes where one may not have so many", () => {
  const slow = planned({ ...usual, receiverMs: 2_000 });
  const posts = slow.postsPerS;
  const { nodes } = serviceOf(slow, 'gms-node');
  expect(slow.connectionsPerGmsNode).toBe(Math.ceil(((posts / nodes) * 2) / 0.6));
  expect(slow.settings).toMatchObject({ FLEXPUSH_GMS_CONNECTIONS_MAX: String(slow.connectionsPerGmsNode) });
  const slower = planned({ ...usual, receiverMs: 20_000 });
  expect(slower.connectionsPerGmsNode).toBeLessThanOrEqual(1_024);
  expect(serviceOf(slower, 'gms-node').nodes).toBe(Math.ceil((posts * 20) / (1_024 * 0.6)));
});

it('pings quiet chats once per five minutes, and busy ones never', () => {
  const quiet = flowsOf({ ...usual, sessions: 300_000, eventsPerS: 0 });
  expect(quiet).toEqual({ event: 0, push: 1_000, resend: 100, refresh: 1_000, fire: 1_000 });
  const busy = flowsOf({ ...usual, sessions: 100, eventsPerS: 100 });
  expect(busy.push).toBeCloseTo(100, 6);
});
