import { BatchWaves } from './batch-waves';
import { turn, VirtualClock } from './testing/virtual-clock';

function given() {
  const clock = new VirtualClock();
  const waves = new BatchWaves(clock);
  const shards = Array.from({ length: 4 }, (_, n) => ({ n }));
  const folding: number[] = [];
  const enter = (n: number) => void waves.enter(shards[n] as object).then(() => folding.push(n));
  const leave = (n: number) => waves.leave(shards[n] as object);
  const seen = async () => {
    await turn();
    return folding.splice(0);
  };
  return { clock, enter, leave, seen };
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
    expect(await seen()).toEqual([1]);
    // The late one is no member of the present wave, and does not end it.
    enter(2);
    leave(0);
    expect(await seen()).toEqual([]);
    leave(1);
    expect(await seen()).toEqual([2]);
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
