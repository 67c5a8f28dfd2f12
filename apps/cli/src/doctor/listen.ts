import {
  gmsHeartbeatSchema,
  gmsViewSchema,
  parseJson,
  peerHeartbeatSchema,
  subjects,
  type GmsHeartbeat,
  type PeerHeartbeat,
} from '@flexpush/contracts';
import type { Bus } from '@flexpush/nats-bus';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Heard, SystemFacts } from './facts';

/** Nodes of one kind that are counted; the services themselves take up no more either. */
const NODES_MAX = 1_000;
/** States in which a node says that it is going. */
const leaving = ['leaving', 'gone'];

/** The beats of one kind of node. */
class Beats<Beat extends { readonly nodeId: string; readonly incarnation: string; readonly state: string }> {
  private readonly nodes = new Map<string, { beat: Beat; atMs: number[] }>();

  hear(beat: Beat, atMs: number): void {
    const node = this.nodes.get(beat.nodeId);
    if (node?.beat.incarnation === beat.incarnation) {
      // A change of state is told out of turn, and says nothing of the interval.
      if (node.beat.state === beat.state) node.atMs.push(atMs);
      else node.atMs = [atMs];
      node.beat = beat;
    } else if (node || this.nodes.size < NODES_MAX) this.nodes.set(beat.nodeId, { beat, atMs: [atMs] });
  }

  heard(): Heard<Beat>[] {
    return [...this.nodes.values()]
      .filter(({ beat }) => !leaving.includes(beat.state))
      .map(({ beat, atMs }) => ({ beat, intervalMs: medianGap(atMs) }))
      .sort((a, b) => (a.beat.nodeId < b.beat.nodeId ? -1 : 1));
  }
}

/** Not the longest gap: this listener may have been slow itself. */
function medianGap(atMs: readonly number[]): number | undefined {
  const gaps = atMs.slice(1).map((at, i) => at - (atMs[i] ?? at));
  return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)];
}

/** Hears who beats, for long enough to hear a GMS node twice. Publishes nothing. */
export async function listen(
  bus: Bus,
  listenMs: number,
): Promise<Pick<SystemFacts, 'listenedMs' | 'sessionActors' | 'resendTimers' | 'gmsNodes' | 'registries'>> {
  const actors = new Beats<PeerHeartbeat>();
  const timers = new Beats<PeerHeartbeat>();
  const nodes = new Beats<GmsHeartbeat>();
  const registries = new Set<string>();
  // What is malformed is not ours to judge: the services log it.
  const peers = (beats: Beats<PeerHeartbeat>) => (text: string) => {
    const parsed = peerHeartbeatSchema.safeParse(parseJson(text));
    if (parsed.success) beats.hear(parsed.data, performance.now());
  };
  const handlers: [string, (text: string) => void][] = [
    [subjects.actorHeartbeat, peers(actors)],
    [subjects.timerHeartbeat, peers(timers)],
    [
      subjects.gmsHeartbeat,
      (text) => {
        const parsed = gmsHeartbeatSchema.safeParse(parseJson(text));
        if (parsed.success) nodes.hear(parsed.data, performance.now());
      },
    ],
    [
      subjects.registryViewChanged,
      (text) => {
        const parsed = gmsViewSchema.safeParse(parseJson(text));
        // The id ends with the incarnation; one that restarts meanwhile is still one.
        if (parsed.success && registries.size < NODES_MAX)
          registries.add(parsed.data.registryId.replace(/:[^:]*$/, ''));
      },
    ],
  ];
  const subscriptions = handlers.map(([subject, handle]) =>
    bus.subscribe(subject, (message) => handle(message.text())),
  );
  await sleep(listenMs);
  for (const subscription of subscriptions) subscription.stop();
  return {
    listenedMs: listenMs,
    sessionActors: actors.heard(),
    resendTimers: timers.heard(),
    gmsNodes: nodes.heard(),
    registries: [...registries].sort(),
  };
}
