import { BatchWaves } from './batch-waves';
import { turn, VirtualClock } from './testing/virtual-clock';

function given() {
  const clock = new VirtualClock();
  const waves = new BatchWaves(clock);
  const shards = Array.from({ length: 4 }, (_, n) => ({ n }));
  const folding: number[] = [];
  const enter = (n: number, full?: 'full') =>
    void waves.enter(shards[n] as object, { isFull: full === 'full' }).then(() => folding.push(n));
  const leave = (n: number) => waves.leave(shards[n] as object);
  const seen = async () => {
    await turn();
    return folding.splice(0);
  };
  return { clock, waves, enter, leave, seen };
}

describe('BatchWaves', () => {
  it('lets a shard go at once while nobody else does', async () => {
    const { enter, leave, seen } = given();
    for (const n of [0, 1, 0]) {
      enter(n);
      expect(await seen()).toEqual([n]);
      leave(n);
    }
  });

  it('lets all go together that came while a wave was under way, when its last one is done', async () => {
    const { enter, leave, seen } = given();
    enter(0);
    for (const n of [1, 2]) enter(n);
    expect(await seen()).toEqual([0]);
    leave(0);
    enter(3);
    expect(await seen()).toEqual([1, 2]);
    leave(1);
    enter(1);
    expect(await seen()).toEqual([]);
    leave(2);
    expect(await seen()).toEqual([3, 1]);
  });

  it('waits for nobody longer than its time', async () => {
    const { clock, enter, leave, seen } = given();
    enter(0);
    enter(1);
    await clock.advance(9);
    expect(await seen()).toEqual([0]);
    await clock.advance(1);
    expect(await seen()).toEqual([]);
    await clock.advance(14);
    expect(await seen()).toEqual([1]);
    // The late one is no member of the present wave, and does not end it.
    enter(2);
    leave(0);
    expect(await seen()).toEqual([]);
    leave(1);
    expect(await seen()).toEqual([2]);
  });

  it('gathers longer after a wave that was slow, and no longer than its bound', async () => {
    const { clock, enter, leave, seen } = given();
    const pauseAfter = async (waveMs: number): Promise<number> => {
      enter(0);
      for (let waitedMs = 0; ; waitedMs++) {
        if ((await seen()).length > 0) {
          await clock.advance(waveMs);
          leave(0);
          return waitedMs;
        }
        await clock.advance(1);
      }
    };
    await pauseAfter(3);
    expect(await pauseAfter(5)).toBe(0);
    expect(await pauseAfter(9)).toBe(4);
    expect(await pauseAfter(1)).toBe(12);
    expect(await pauseAfter(1)).toBe(0);
    // The pause counts from the end of the wave, not from who comes next.
    await pauseAfter(9);
    await clock.advance(7);
    expect(await pauseAfter(1)).toBe(5);
  });

  it('does not gather longer after a wave that was slow by its many records', async () => {
    const { clock, waves, enter, leave, seen } = given();
    const goAgain = async (records: number): Promise<number[]> => {
      enter(0);
      await seen();
      waves.carry(records / 2);
      waves.carry(records / 2);
      await clock.advance(8);
      leave(0);
      enter(1);
      const gone = await seen();
      await clock.advance(10);
      leave(1);
      await clock.advance(16);
      await seen();
      return gone;
    };
    expect(await goAgain(256)).toEqual([1]);
    // Counted from nought for each wave.
    expect(await goAgain(254)).toEqual([]);
  });

  it('does not let a full batch wait, nor who waits with it', async () => {
    const { clock, enter, leave, seen } = given();
    enter(0);
    await clock.advance(8);
    leave(0);
    await seen();
    enter(1);
    expect(await seen()).toEqual([]);
    enter(2, 'full');
    expect(await seen()).toEqual([1, 2]);
  });

  it('is left by who waits, and by who is lost in the middle', async () => {
    const { enter, leave, seen } = given();
    for (const n of [0, 1, 2]) enter(n);
    leave(1);
    expect(await seen()).toEqual([0, 1]);
    leave(0);
    expect(await seen()).toEqual([2]);
  });
});
