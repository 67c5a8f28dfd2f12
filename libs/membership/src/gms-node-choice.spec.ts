import type { GmsNode, NodeId } from '@flexpush/contracts';
import * as fc from 'fast-check';
import { chooseGmsNode, type GmsNodeWish } from './gms-node-choice';

function node(nodeId: string, over: Partial<GmsNode> = {}): GmsNode {
  return {
    nodeId: nodeId as NodeId,
    incarnation: 'one',
    group: 'home',
    types: ['customhttp', 'fcm'],
    queued: 0,
    inFlight: 0,
    capacity: 1,
    state: 'ready',
    status: 'alive',
    ...over,
  };
}

const WISH: GmsNodeWish = { group: 'home', subscription: 's:u', deviceType: 'customhttp' };
const choose = (nodes: GmsNode[], wish: Partial<GmsNodeWish> = {}) =>
  chooseGmsNode({ nodes }, { ...WISH, ...wish });
const at = (nodeId: string, group: string, homeGroup: boolean) => ({
  kind: 'node',
  nodeId,
  group,
  homeGroup,
});

describe('a new association', () => {
  it.each<{ name: string; nodes: GmsNode[]; wish?: Partial<GmsNodeWish>; choice: unknown }>([
    { name: 'no node at all', nodes: [], choice: { kind: 'none' } },
    {
      name: 'a node of the home group',
      nodes: [node('far', { group: 'far' }), node('near')],
      choice: at('near', 'home', true),
    },
    {
      name: 'another group when the home group has none',
      nodes: [node('far', { group: 'far' })],
      choice: at('far', 'far', false),
    },
    {
      name: 'another group when the home nodes drain',
      nodes: [node('far', { group: 'far' }), node('near', { state: 'draining' })],
      choice: at('far', 'far', false),
    },
    {
      name: 'another group when the home nodes do not speak the device type',
      nodes: [node('far', { group: 'far' }), node('near', { types: ['comet'] })],
      choice: at('far', 'far', false),
    },
    {
      name: 'nobody speaks the device type',
      nodes: [node('near', { types: ['comet'] })],
      choice: { kind: 'none' },
    },
    {
      name: 'an alive node elsewhere rather than a suspect one at home',
      nodes: [node('far', { group: 'far' }), node('near', { status: 'suspect' })],
      choice: at('far', 'far', false),
    },
    {
      name: 'a suspect node when there is no other',
      nodes: [node('near', { status: 'suspect' })],
      choice: at('near', 'home', true),
    },
    {
      name: 'a suspect node at home rather than a suspect one elsewhere',
      nodes: [node('far', { group: 'far', status: 'suspect' }), node('near', { status: 'suspect' })],
      choice: at('near', 'home', true),
    },
    {
      name: 'any group is home for a subscription without one',
      nodes: [node('far', { group: 'far' })],
      wish: { group: undefined },
      choice: at('far', 'far', true),
    },
  ])('$name', ({ nodes, wish, choice }) => {
    expect(choose(nodes, wish)).toEqual(choice);
  });
});

describe('an existing association', () => {
  it.each<{ name: string; present: Partial<GmsNode>; stays: boolean }>([
    {
      name: 'stays in a foreign group though the home group is back',
      present: { group: 'far' },
      stays: true,
    },
    { name: 'stays with a suspect node', present: { status: 'suspect' }, stays: true },
    { name: 'leaves a draining node', present: { state: 'draining' }, stays: false },
    { name: 'leaves a node that no longer speaks the type', present: { types: [] }, stays: false },
  ])('$name', ({ present, stays }) => {
    const nodes = [node('present', present), node('other')];
    expect(choose(nodes, { current: 'present' })).toMatchObject({ nodeId: stays ? 'present' : 'other' });
  });

  it('goes home when its node has left the view', () => {
    expect(choose([node('near'), node('far', { group: 'far' })], { current: 'gone' })).toEqual(
      at('near', 'home', true),
    );
  });
});

describe('properties', () => {
  const nodes = fc
    .uniqueArray(
      fc.record({
        nodeId: fc.stringMatching(/^[a-z0-9]{1,6}$/),
        group: fc.constantFrom('home', 'far', 'farther'),
        state: fc.constantFrom('ready' as const, 'draining' as const),
        status: fc.constantFrom('alive' as const, 'suspect' as const),
        types: fc.subarray(['customhttp', 'fcm', 'ios']),
        capacity: fc.integer({ min: 1, max: 50 }),
      }),
      { selector: ({ nodeId }) => nodeId, maxLength: 10 },
    )
    .map((list) => list.map(({ nodeId, ...over }) => node(nodeId, over)));
  const wishes = fc.record({
    group: fc.constantFrom('home', 'far', 'nowhere', undefined),
    subscription: fc.string({ minLength: 1 }),
    deviceType: fc.constantFrom('customhttp', 'ios'),
    current: fc.option(fc.stringMatching(/^[a-z0-9]{1,2}$/), { nil: undefined }),
  });

  const able = (list: GmsNode[], wish: GmsNodeWish) =>
    list.filter(({ state, types }) => state === 'ready' && types.includes(wish.deviceType));

  it('chooses a ready node that speaks the type exactly when there is one', () => {
    fc.assert(
      fc.property(nodes, wishes, (list, wish) => {
        const choice = chooseGmsNode({ nodes: list }, wish);
        const fit = able(list, wish);
        if (choice.kind === 'none') expect(fit).toEqual([]);
        else expect(fit.map(({ nodeId }) => nodeId)).toContain(choice.nodeId);
      }),
    );
  });

  it('G1: choosing again with the choice as present node changes nothing', () => {
    fc.assert(
      fc.property(nodes, wishes, nodes, (list, wish, newcomers) => {
        const first = chooseGmsNode({ nodes: list }, wish);
        if (first.kind === 'none') return;
        const others = newcomers.filter(({ nodeId }) => !list.some((known) => known.nodeId === nodeId));
        const suspected = list.map((known) => ({ ...known, status: 'suspect' as const }));
        const again = { ...wish, current: first.nodeId };
        expect(chooseGmsNode({ nodes: [...others, ...suspected] }, again)).toEqual(first);
      }),
    );
  });

  it('G2: leaves the alive for a suspect, or home for elsewhere, only when it must', () => {
    fc.assert(
      fc.property(nodes, wishes, (list, { current: _current, ...wish }) => {
        const choice = chooseGmsNode({ nodes: list }, wish);
        if (choice.kind === 'none') return;
        const fit = able(list, wish);
        const taken = fit.find(({ nodeId }) => nodeId === choice.nodeId)!;
        const alive = fit.filter(({ status }) => status === 'alive');
        if (taken.status === 'suspect') expect(alive).toEqual([]);
        if (!choice.homeGroup)
          expect((alive.length > 0 ? alive : fit).filter(({ group }) => group === wish.group)).toEqual([]);
      }),
    );
  });

  it('does not depend on the order of the view', () => {
    fc.assert(
      fc.property(nodes, wishes, (list, wish) => {
        expect(chooseGmsNode({ nodes: [...list].reverse() }, wish)).toEqual(
          chooseGmsNode({ nodes: list }, wish),
        );
      }),
    );
  });

  it('moves only the subscriptions of a node that leaves its group', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), fc.nat(7), (size, index) => {
        const all = Array.from({ length: size }, (_, i) => node(`n${i}`, { capacity: 1 + i }));
        const leaving = `n${index % size}`;
        const rest = all.filter(({ nodeId }) => nodeId !== leaving);
        for (let i = 0; i < 40; i++) {
          const before = choose(all, { subscription: `s${i}:u` });
          if (before.kind === 'node' && before.nodeId !== leaving)
            expect(choose(rest, { subscription: `s${i}:u` })).toEqual(before);
        }
      }),
    );
  });

  it('G3: spreads by capacity inside a group and evenly over foreign groups', () => {
    const all = [
      node('a', { group: 'big', capacity: 9 }),
      node('b', { group: 'big', capacity: 27 }),
      node('c', { group: 'small', capacity: 1 }),
    ];
    const seen: Record<string, number> = {};
    for (let i = 0; i < 8_000; i++) {
      const choice = choose(all, { subscription: `s${i}:u` });
      if (choice.kind === 'node') seen[choice.nodeId] = (seen[choice.nodeId] ?? 0) + 1;
    }
    expect(seen['c']! / 8_000).toBeCloseTo(0.5, 1);
    expect(seen['b']! / (seen['a']! + seen['b']!)).toBeCloseTo(0.75, 1);
  });
});
