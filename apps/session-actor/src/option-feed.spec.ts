import type { Appender, Clock, Log, ShardActor } from '@flexpush/actor-runtime';
import type { LogRecord, OptionValues } from '@flexpush/contracts';
import { OptionFeed } from './option-feed';

const DELAY = 'settings/flex-push-resend-delay';

class Rig {
  nowMs = 0;
  readonly appended: { shard: number; record: LogRecord }[] = [];
  /** What each shard folds with; undefined while it catches up. */
  readonly folded = new Map<number, number | undefined>();
  readonly foldedValues = new Map<number, OptionValues>();
  isCurrent = true;
  readonly restored: OptionValues[] = [];
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
      source: {
        isCurrent: () => Promise.resolve(this.isCurrent),
        restore: (values) => {
          this.restored.push(values);
          return Promise.resolve(Object.keys(values));
        },
      },
      clock,
      logger,
      actors: () =>
        [...this.folded].map(
          ([shard, revision]) =>
            ({
              shard,
              foldedOptions: () =>
                revision === undefined ? undefined : { revision, values: this.foldedValues.get(shard) ?? {} },
            }) as ShardActor,
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

  describe('a bucket that is behind the shard', () => {
    const turn = () => new Promise((resolve) => setImmediate(resolve));

    it('was lost or cut: its changes are fed above the folded revision, until the shard has them', async () => {
      const rig = new Rig();
      rig.folded.set(0, 40);
      rig.foldedValues.set(0, { [DELAY]: '5' });
      rig.feed.change({ [DELAY]: '9' }, 3);
      await turn();
      expect(rig.appended).toEqual([
        { shard: 0, record: { v: 1, type: 'options.changed', revision: 41, values: { [DELAY]: '9' } } },
      ]);
      expect(rig.feed.isCurrent()).toBe(false);
      rig.folded.set(0, 41);
      rig.foldedValues.set(0, { [DELAY]: '9' });
      rig.nowMs += 2_000;
      rig.feed.feed();
      await turn();
      expect(rig.appended).toHaveLength(1);
      expect(rig.feed.isCurrent()).toBe(true);
    });

    it('with the same content changes nothing', async () => {
      const rig = new Rig();
      rig.folded.set(0, 40);
      rig.foldedValues.set(0, { [DELAY]: '5' });
      rig.feed.change({ [DELAY]: '5', 'push/customhttp.url': 'http://127.0.0.1' }, 3);
      await turn();
      expect(rig.appended).toEqual([]);
      expect(rig.feed.isCurrent()).toBe(true);
    });

    it('may only be told late here: nothing is fed before all of it is known', async () => {
      const rig = new Rig();
      rig.folded.set(0, 4);
      rig.foldedValues.set(0, { [DELAY]: '9' });
      rig.isCurrent = false;
      rig.feed.change({ [DELAY]: '5' }, 3);
      await turn();
      expect(rig.appended).toEqual([]);
      rig.feed.change({ [DELAY]: '9' }, 4);
      await turn();
      expect(rig.appended).toEqual([]);
    });

    it('and empty gets back what the shard folds with; the shard keeps it', async () => {
      const rig = new Rig();
      rig.folded.set(0, 40);
      rig.foldedValues.set(0, { [DELAY]: '5' });
      rig.feed.change({}, 0);
      await turn();
      expect(rig.restored).toEqual([{ [DELAY]: '5' }]);
      expect(rig.appended).toEqual([]);
    });

    it('in which everything was unset is not empty: the shard gets the defaults', async () => {
      const rig = new Rig();
      rig.folded.set(0, 40);
      rig.foldedValues.set(0, { [DELAY]: '5' });
      rig.feed.change({}, 2);
      await turn();
      expect(rig.restored).toEqual([]);
      expect(rig.appended).toMatchObject([{ record: { revision: 41, values: {} } }]);
    });
  });
});
