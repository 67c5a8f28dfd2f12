import type { GmsView } from '@flexpush/contracts';

/** A registry's view as received; an unsettled one says nothing about the nodes that are missing in it. */
export type RegistryView = GmsView;

/**
 * What a follower of the registries (session-actor) should believe after it received `received`: a settled view
 * replaces everything; an unsettled one adds and updates, and forgets nobody. Bounded by `nodesMax`, new nodes first,
 * because one registry after the other could be unsettled while nodes come and go.
 */
export function followView(known: GmsView | undefined, received: RegistryView, nodesMax: number): GmsView {
  if (received.settled || known === undefined) return received;
  const heard = new Set(received.nodes.map((node) => node.nodeId));
  const kept = known.nodes.filter((node) => !heard.has(node.nodeId));
  return { ...received, nodes: [...received.nodes, ...kept].slice(0, nodesMax) };
}
