import type { Appender, Clock, Log, ShardActor } from '@flexpush/actor-runtime';
import type { LogRecord } from '@flexpush/contracts';
import { OptionFeed } from './option-feed';

const DELAY = 'settings/flex-push-resend-delay';

class Rig {
  nowMs = 0;
  readonly appended: { shard: number; record: LogRecord }[] = [];
  /** What each shard folds with; undefined while it catches up. */
  readonly folded = new Map<number, number | undefined>();
  answer: Awaited<ReturnType<Appender['append']>> = { kind: 'appended', seq: 1 };
  readonly warnings: string[] = [];
  readonly feed: OptionFeed;

  constructor() {
    const clock: Clock = {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      after: () => () => undefined,
    };
    const quiet = () => undefined;
    const logger: Log = {
      debug: quiet,
      info: quiet,
      warn: (_fields, fact) => this.warnings.push(fact),
      error: quiet,
    };
    this.feed = new OptionFeed({
      appender: {
        append: (shard, record) => {
          this.appended.push({ shard, record });
          return Promise.resolve(this.answer);
        },
      },
      clock,
      logger,
      actors: () =>
        [...this.folded].map(
          ([shard, revision]) => ({ shard, optionRevision: () => revision }) as ShardActor,
        ),
    });
  }

  shards(): number[] {
    return this.appended.map(({ shard }) => shard);
  }
}

describe('OptionFeed', () => {
  it('gives the newest options to the shards that fold with older ones', () => {
    const rig = new Rig();
    for (const [shard, revision] of [
      [0, 3],
      [1, 4],
      [2, undefined],
    ] as const)
      rig.folded.set(shard, revision);
    rig.feed.change({ [DELAY]: '5', 'push/customhttp.url': 'http://127.0.0.1' }, 4);
    expect(rig.appended).toEqual([
      { shard: 0, record: { v: 1, type: 'options.changed', revision: 4, values: { [DELAY]: '5' } } },
    ]);
    expect(rig.feed.isCurrent()).toBe(false);
  });

  it('does not ask twice for the same, but again when nothing has come of it', () => {
    const rig = new Rig();
    rig.folded.set(0, 0);
    rig.feed.change({}, 1);
    rig.feed.feed();
    expect(rig.shards()).toEqual([0]);
    rig.nowMs += 2_000;
    rig.feed.feed();
    expect(rig.shards()).toEqual([0, 0]);
    rig.feed.change({}, 2);
    expect(rig.shards()).toEqual([0, 0, 0]);
    rig.folded.set(0, 2);
    rig.nowMs += 2_000;
    rig.feed.feed();
    expect(rig.shards()).toHaveLength(3);
    expect(rig.feed.isCurrent()).toBe(true);
  });

  it('asks again at once when the log has refused', async () => {
    const rig = new Rig();
    rig.folded.set(0, 0);
    rig.answer = { kind: 'refused', reason: 'busy', retryable: true };
    rig.feed.change({}, 1);
    await Promise.resolve();
    expect(rig.warnings).toEqual(['options.not-appended']);
    rig.feed.feed();
    expect(rig.shards()).toEqual([0, 0]);
  });

  it('feeds a shard that is acquired later', () => {
    const rig = new Rig();
    rig.feed.change({ [DELAY]: '5' }, 7);
    rig.folded.set(3, 0);
    rig.feed.feed();
    expect(rig.shards()).toEqual([3]);
  });
});
