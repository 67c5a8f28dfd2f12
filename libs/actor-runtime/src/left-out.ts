import { LEFT_OUT_MAX, type LeftOut } from '@flexpush/contracts';
import type { Clock } from './ports';

export interface NodeRun {
  owner: string;
  incarnation: string;
}

/** For so long after the first time, doubling with each further one. A restart of the process ends it. */
const LEFT_OUT_MS = 60_000;
const DOUBLINGS_MAX = 5;
/** The node itself stops sooner than the others: whoever holds the shard gives it up only to one that wants it. */
const SELF_SHARE = 0.8;

/**
 * The nodes that are not given a shard for a while because they made no progress with it.
 *
 * X1. Every node reads it from the same place, the shard's lease, and counts the time by its own monotonic clock from
 *     when it first saw it. So they agree but for a moment, whatever their wall clocks say.
 * X2. An entry is one loss of one lease. Seen again, as when the next lease carries it on, it does not begin anew.
 */
export class LeftOuts {
  private readonly byShard = new Map<number, Map<string, LeftOut & { untilMs: number }>>();

  constructor(
    private readonly self: NodeRun,
    private readonly clock: Clock,
  ) {}

  /** Takes up what a lease of the shard says. */
  note(shard: number, entries: readonly LeftOut[] = []): void {
    if (entries.length === 0) return;
    const known = this.byShard.get(shard) ?? new Map<string, LeftOut & { untilMs: number }>();
    this.byShard.set(shard, known);
    for (const entry of entries) {
      const key = keyOf(entry);
      // X2
      if ((known.get(key)?.term ?? -1) >= entry.term) continue;
      known.delete(key);
      known.set(key, { ...entry, untilMs: this.clock.monotonicMs() + this.durationMs(entry) });
    }
    for (const key of known.keys()) {
      if (known.size <= LEFT_OUT_MAX) break;
      known.delete(key);
    }
  }

  has(shard: number, node: NodeRun): boolean {
    const entry = this.byShard.get(shard)?.get(keyOf(node));
    return entry !== undefined && entry.untilMs > this.clock.monotonicMs();
  }

  /** What the next lease of the shard is to say, so that nodes which start later know it too. */
  carried(shard: number): LeftOut[] {
    const nowMs = this.clock.monotonicMs();
    return [...(this.byShard.get(shard)?.values() ?? [])]
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ owner, incarnation, term, times }) => ({ owner, incarnation, term, times }));
  }

  /** The same with one more: this process lost its lease of this term. */
  carriedWith(shard: number, node: NodeRun, term: number): LeftOut[] {
    const times = (this.byShard.get(shard)?.get(keyOf(node))?.times ?? 0) + 1;
    const others = this.carried(shard).filter((entry) => keyOf(entry) !== keyOf(node));
    const { owner, incarnation } = node;
    return [...others, { owner, incarnation, term, times }].slice(-LEFT_OUT_MAX);
  }

  /** The shards that this node itself is left out of, and for how long yet. */
  ofSelf(): { shard: number; forMs: number }[] {
    const key = keyOf(this.self);
    const nowMs = this.clock.monotonicMs();
    return [...this.byShard].flatMap(([shard, known]) => {
      const forMs = (known.get(key)?.untilMs ?? 0) - nowMs;
      return forMs > 0 ? [{ shard, forMs }] : [];
    });
  }

  private durationMs(entry: LeftOut): number {
    const durationMs = LEFT_OUT_MS * 2 ** Math.min(entry.times - 1, DOUBLINGS_MAX);
    return keyOf(entry) === keyOf(this.self) ? SELF_SHARE * durationMs : durationMs;
  }
}

function keyOf({ owner, incarnation }: NodeRun): string {
  return `${owner} ${incarnation}`;
}
