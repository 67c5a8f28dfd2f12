import type { GmsNode, NodeId } from '@flexpush/contracts';
import { followView, type RegistryView } from './followed-view';

function node(nodeId: string, over: Partial<GmsNode> = {}): GmsNode {
  return {
    nodeId: nodeId as NodeId,
    incarnation: 'one',
    group: 'home',
    types: ['customhttp'],
    queued: 0,
    inFlight: 0,
    capacity: 1,
    state: 'ready',
    status: 'alive',
    ...over,
  };
}

function view(settled: boolean, nodes: GmsNode[]): RegistryView {
  return { v: 1, registryId: 'r', atMs: 5, settled, nodes };
}

describe('followView', () => {
  it('takes the first view whatever it is', () => {
    const first = view(false, [node('a')]);
    expect(followView(undefined, first, 10)).toEqual(first);
  });

  it('lets a settled view forget nodes', () => {
    const known = view(true, [node('a'), node('b')]);
    expect(followView(known, view(true, [node('b')]), 10)).toEqual(view(true, [node('b')]));
  });

  it('lets an unsettled view add and update, but not forget', () => {
    const known = view(true, [node('a'), node('b')]);
    const received = view(false, [node('b', { state: 'draining' }), node('c')]);
    expect(followView(known, received, 10)).toEqual(
      view(false, [node('b', { state: 'draining' }), node('c'), node('a')]),
    );
  });

  it('stays within its bound', () => {
    const known = view(true, [node('a'), node('b')]);
    const followed = followView(known, view(false, [node('c')]), 2);
    expect(followed.nodes.map(({ nodeId }) => nodeId)).toEqual(['c', 'a']);
  });
});
