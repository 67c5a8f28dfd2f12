import type { GmsNode, GmsView } from '@flexpush/contracts';
import { weightedOwnerOf } from './rendezvous';

export interface GmsNodeWish {
  /** The home group (`GCTI_GMS_NodeGroup`). Absent: any group is home. */
  readonly group?: string | undefined;
  /** `sessionId:userId`. */
  readonly subscription: string;
  readonly deviceType: string;
  /** Node id of the present association. */
  readonly current?: string | undefined;
}

export type GmsNodeChoice =
  | { readonly kind: 'node'; readonly nodeId: string; readonly group: string; readonly homeGroup: boolean }
  | { readonly kind: 'none' };

const BY_CAPACITY = {
  id: (node: GmsNode) => node.nodeId as string,
  weight: (node: GmsNode) => node.capacity,
};
const BY_GROUP = { id: (group: string) => group, weight: () => 1 };

/**
 * Which GMS node serves a subscription (CONTRACT 4.5).
 *
 * G1 Sticky: the present node stays while it is in the view, ready, and speaks the device type, whatever its group and
 *    even when suspect. One missed heartbeat must not move a subscription, and the home group is tried again only when
 *    the present node leaves.
 * G2 A new node is alive rather than suspect, then of the home group rather than another. The order is on purpose: a
 *    suspect node may be dead, and a push through a foreign group arrives.
 * G3 Inside a group nodes are taken by their capacity; among foreign groups each gets the same share, so that the
 *    biggest group does not take all of a failed group's load.
 */
export function chooseGmsNode(view: Pick<GmsView, 'nodes'>, wish: GmsNodeWish): GmsNodeChoice {
  const able = view.nodes.filter((node) => node.state === 'ready' && node.types.includes(wish.deviceType));
  const present = wish.current === undefined ? undefined : able.find((node) => node.nodeId === wish.current);
  if (present !== undefined) return chosen(present, wish);
  const alive = able.filter((node) => node.status === 'alive');
  const candidates = alive.length > 0 ? alive : able;
  const group = chooseGroup(candidates, wish);
  const node = weightedOwnerOf(
    wish.subscription,
    candidates.filter((candidate) => candidate.group === group),
    BY_CAPACITY,
  );
  return node === undefined ? { kind: 'none' } : chosen(node, wish);
}

function chooseGroup(candidates: readonly GmsNode[], wish: GmsNodeWish): string | undefined {
  const groups = new Set(candidates.map((node) => node.group));
  if (wish.group !== undefined && groups.has(wish.group)) return wish.group;
  return weightedOwnerOf(wish.subscription, groups, BY_GROUP);
}

function chosen(node: GmsNode, wish: GmsNodeWish): GmsNodeChoice {
  const homeGroup = wish.group === undefined || node.group === wish.group;
  return { kind: 'node', nodeId: node.nodeId, group: node.group, homeGroup };
}
