import {
  optionsChanged,
  type Appender,
  type Clock,
  type Log,
  type ShardActor,
} from '@flexpush/actor-runtime';
import { foldValues, type OptionValues } from '@flexpush/contracts';

const RETRY_MS = 2_000;

/**
 * Brings the option bucket into the log: a shard whose folded options are older than the bucket gets an
 * `options.changed` record (DESIGN section 11). The fold ignores a revision that it has already.
 */
export class OptionFeed {
  private values: OptionValues = {};
  private revision = 0;
  private readonly asked = new Map<number, { revision: number; atMs: number }>();

  constructor(
    private readonly deps: { appender: Appender; clock: Clock; logger: Log; actors: () => ShardActor[] },
  ) {}

  change(values: OptionValues, revision: number): void {
    this.values = foldValues(values);
    this.revision = revision;
    this.feed();
  }

  /** Called on each change and once in a while, for shards that are acquired later. */
  feed(): void {
    const nowMs = this.deps.clock.monotonicMs();
    for (const actor of this.deps.actors()) {
      const folded = actor.optionRevision();
      if (folded === undefined || folded >= this.revision) continue;
      const asked = this.asked.get(actor.shard);
      if (asked && asked.revision === this.revision && nowMs - asked.atMs < RETRY_MS) continue;
      this.asked.set(actor.shard, { revision: this.revision, atMs: nowMs });
      void this.append(actor.shard);
    }
  }

  /** True when every shard of this node folds with the newest options. */
  isCurrent(): boolean {
    return this.deps.actors().every((actor) => (actor.optionRevision() ?? 0) >= this.revision);
  }

  private async append(shard: number): Promise<void> {
    const result = await this.deps.appender.append(shard, optionsChanged(this.revision, this.values));
    if (result.kind === 'refused') {
      this.deps.logger.warn({ shard, reason: result.reason }, 'options.not-appended');
      this.asked.delete(shard);
    }
  }
}
