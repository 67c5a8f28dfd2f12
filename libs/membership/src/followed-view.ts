import type { GmsView } from '@flexpush/contracts';

/**
 * A view and whether its registry has listened for a whole dead time-out. An unsettled registry (just started,
 * reconnected or thawed) knows only the nodes it happened to hear: its view may add nodes, but says nothing about
 * those that are missing in it.
 */
export type RegistryView = GmsView & { readonly settled: boolean };

/**
 * What a follower of the registries (session-actor) should believe after it received `received`: a settled view
 * replaces everything; an unsettled one adds and updates, and forgets nobody. Bounded by `nodesMax`, new nodes first,
 * because one registry after the other could be unsettled while nodes come and go.
 */
export function followView(known: GmsView | undefined, received: RegistryView, nodesMax: number): GmsView {
  const { settled, ...view } = received;
  if (settled || known === undefined) return view;
  const heard = new Set(view.nodes.map((node) => node.nodeId));
  const kept = known.nodes.filter((node) => !heard.has(node.nodeId));
  return { ...view, nodes: [...view.nodes, ...kept].slice(0, nodesMax) };
}
