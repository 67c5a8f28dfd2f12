import { differingShards } from './log-comparison';
import type { Ownership } from './ownership';
import type { ShardLog, ShardStore } from './ports';

/**
 * Looks whether Redis and the log still are what this node's shards were folded with, also when no record comes (DESIGN
 * section 5). A shard whose are not is given up; the next acquisition finds the right place.
 */
export class LossWatch {
  /** Checkpoints that differed at the last look, by shard. */
  private differences = new Map<number, string>();
  private isLooking = false;

  constructor(
    private readonly deps: {
      ownership: Pick<Ownership, 'actors' | 'depose'>;
      store: Pick<ShardStore, 'checkpoints'>;
      log: Pick<ShardLog, 'state' | 'timeOf'>;
    },
  ) {}

  /** One look at a time: while Redis or NATS is away, questions of many seconds would pile up in their clients. */
  async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    await this.compareCheckpoints();
    await this.compareLog();
    this.isLooking = false;
  }

  /**
   * Redis may have lost writes, or another owner may have gone on. A commit under way looks the same for a moment, so a
   * difference counts only when the next look finds the very same. An empty place counts at once: no commit leaves nothing
   * behind.
   */
  private async compareCheckpoints(): Promise<void> {
    const { ownership, store } = this.deps;
    const actors = ownership.actors().filter((actor) => actor.isCaughtUp());
    const believed = actors.map((actor) => actor.lastCheckpoint());
    const stored = await store.checkpoints(actors.map(({ shard }) => shard)).catch(() => undefined);
    const seenBefore = this.differences;
    this.differences = new Map();
    actors.forEach(({ shard }, i) => {
      if (!stored || stored[i] === believed[i]) return;
      const difference = `${believed[i]} ${stored[i]}`;
      if (stored[i] === '' || seenBefore.get(shard) === difference)
        ownership.depose(shard, 'checkpoint-differs');
      else this.differences.set(shard, difference);
    });
  }

  private async compareLog(): Promise<void> {
    const { ownership, log } = this.deps;
    // The places first: the log cannot be behind what was read from it before.
    const places = ownership.actors().flatMap((actor) => actor.place() ?? []);
    const differing = await differingShards(log, places).catch(() => []);
    for (const shard of differing) ownership.depose(shard, 'log-differs');
  }
}
