import { ManualClock } from './manual-clock';

describe('ManualClock', () => {
  it('fires timers at their own times, in order of due time and then of setting', async () => {
    const clock = new ManualClock(1_000);
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name}@${clock.now()}`);
    clock.setTimer(20, note('late'));
    clock.setTimer(10, note('early'));
    clock.setTimer(10, note('early too'));
    await clock.advance(15);
    expect(fired).toEqual(['early@1010', 'early too@1010']);
    expect(clock.now()).toBe(1_015);
    await clock.advance(5);
    expect(fired).toEqual(['early@1010', 'early too@1010', 'late@1020']);
  });

  it('does not fire a cancelled timer', async () => {
    const clock = new ManualClock();
    let fires = 0;
    const cancel = clock.setTimer(10, () => (fires += 1));
    cancel();
    await clock.advance(100);
    expect(fires).toBe(0);
    expect(clock.timerCount).toBe(0);
  });

  it('lets asynchronous loops run within one advance', async () => {
    const clock = new ManualClock(0);
    const ticks: number[] = [];
    const loop = async () => {
      while (ticks.length < 3) {
        await clock.sleep(10);
        ticks.push(clock.now());
      }
    };
    const done = loop();
    await clock.advance(100);
    await done;
    expect(ticks).toEqual([10, 20, 30]);
  });
});
