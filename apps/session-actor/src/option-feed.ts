import {
  optionsChanged,
  type Appender,
  type Clock,
  type Log,
  type ShardActor,
} from '@flexpush/actor-runtime';
import { foldValues, type OptionValues } from '@flexpush/contracts';

const RETRY_MS = 2_000;

/** What the feed asks of the option bucket. */
export interface OptionSource {
  /** True when nothing has been written that was not told by `change` yet. */
  isCurrent(): Promise<boolean>;
  /** Writes values that the bucket has lost; what is there stays. Returns the keys that were written. */
  restore(values: OptionValues): Promise<string[]>;
}

/**
 * Brings the option bucket into the log: a shard that folds with other options than the bucket's gets an
 * `options.changed` record (DESIGN section 11). The fold ignores a revision that is not above the one it has.
 *
 * N1. A shard that is behind by revision gets the record; so does one that is not, but folds with other values: a bucket
 *     that was lost or cut short starts low again, and its changes would be ignored until they pass the folded revision.
 * N2. A bucket that is not ahead of the shard may only be told late here. So it is asked first, and the record then has
 *     the folded revision plus one.
 * N3. A bucket in which nothing was ever set, beside a shard that folds with options, has lost them: it gets them back
 *     from the shard. An operator who wants the defaults unsets the options, and that leaves revisions.
 */
export class OptionFeed {
  private values: OptionValues = {};
  private revision = 0;
  private readonly asked = new Map<number, { values: OptionValues; atMs: number }>();
  /** Folded values that were found equal to the bucket's, with those. */
  private readonly equal = new WeakMap<OptionValues, OptionValues>();

  constructor(
    private readonly deps: {
      appender: Appender;
      source: OptionSource;
      clock: Clock;
      logger: Log;
      actors: () => ShardActor[];
    },
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
      const folded = actor.foldedOptions();
      if (folded === undefined || this.hasAll(folded)) continue;
      const asked = this.asked.get(actor.shard);
      if (asked?.values === this.values && nowMs - asked.atMs < RETRY_MS) continue;
      this.asked.set(actor.shard, { values: this.values, atMs: nowMs });
      if (this.revision > folded.revision) void this.append(actor.shard, this.revision);
      else void this.reconcile(actor.shard, folded);
    }
  }

  /** True when every shard of this node folds with the newest options. */
  isCurrent(): boolean {
    return this.deps.actors().every((actor) => {
      const folded = actor.foldedOptions();
      return folded !== undefined && this.hasAll(folded);
    });
  }

  private hasAll(folded: { revision: number; values: OptionValues }): boolean {
    return folded.revision >= this.revision && this.isSame(folded.values);
  }

  private isSame(folded: OptionValues): boolean {
    if (this.equal.get(folded) === this.values) return true;
    const keys = Object.keys(folded);
    const isSame =
      keys.length === Object.keys(this.values).length &&
      keys.every((key) => folded[key] === this.values[key]);
    if (isSame) this.equal.set(folded, this.values);
    return isSame;
  }

  /** N2, N3: the bucket is behind the shard. */
  private async reconcile(shard: number, folded: { revision: number; values: OptionValues }): Promise<void> {
    const { source, logger } = this.deps;
    const { values, revision } = this;
    try {
      // Not yet told here, or changed meanwhile: the next look finds it.
      if (!(await source.isCurrent()) || this.values !== values) return;
      if (revision > 0) {
        logger.warn({ shard, revision, foldedRevision: folded.revision }, 'options.bucket-went-back');
        await this.append(shard, folded.revision + 1);
      } else {
        const restored = await source.restore(folded.values);
        logger.error({ shard, restored, foldedRevision: folded.revision }, 'options.restored-from-shard');
      }
    } catch (error) {
      logger.warn({ shard, err: error }, 'options.not-compared');
    }
  }

  private async append(shard: number, revision: number): Promise<void> {
    const result = await this.deps.appender.append(shard, optionsChanged(revision, this.values));
    if (result.kind === 'refused') {
      this.deps.logger.warn({ shard, reason: result.reason }, 'options.not-appended');
      this.asked.delete(shard);
    }
  }
}
