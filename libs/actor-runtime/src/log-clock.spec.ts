import { LogClock, MeasuredFires } from './log-clock';

/** A host whose wall clock can be set, and a log on another host with a clock of its own. */
class Rig {
  monotonicAtMs = 5_000;
  hostStepMs = 0;
  logStepMs = 0;
  readonly clock = new LogClock({
    nowMs: () => 1_790_000_000_000 + this.monotonicAtMs + this.hostStepMs,
    monotonicMs: () => this.monotonicAtMs,
    after: () => () => undefined,
  });
  private stored = new Map<number, number>();
  readonly fires = new MeasuredFires({
    clock: this.clock,
    fires: {
      append: () => {
        this.monotonicAtMs += 2;
        const seq = this.stored.size + 1;
        this.stored.set(seq, this.logMs());
        this.monotonicAtMs += 2;
        return Promise.resolve({ kind: 'appended', seq });
      },
    },
    timeOf: (seq) => Promise.resolve(this.stored.get(seq)),
  });

  logMs(): number {
    return 1_790_000_000_000 + this.monotonicAtMs + this.logStepMs;
  }

  /** How far the time by which timers are claimed is from the log's. */
  offMs(): number {
    return this.clock.nowMs() - this.logMs();
  }

  async fire(): Promise<void> {
    await this.fires.append(0, { v: 1, type: 'timers.fired', timers: [['resend:s:u', 1]] });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the time by which timers are claimed', () => {
  it.each([-5_000, 5_000])('is not touched by a step of %d ms on the own host', async (stepMs) => {
    const rig = new Rig();
    rig.hostStepMs += stepMs;
    expect(rig.offMs()).toBe(0);
    rig.monotonicAtMs += 60_000;
    await rig.fire();
    rig.hostStepMs -= stepMs;
    expect(rig.offMs()).toBe(0);
  });

  it.each([-5_000, 5_000])(
    'follows a step of %d ms on the host of the log, after the first fire',
    async (stepMs) => {
      const rig = new Rig();
      rig.logStepMs += stepMs;
      expect(rig.offMs()).toBe(-stepMs);
      await rig.fire();
      // To the time that a record takes.
      expect(Math.abs(rig.offMs())).toBeLessThanOrEqual(3);
      rig.monotonicAtMs += 2_000;
      rig.logStepMs -= stepMs;
      await rig.fire();
      expect(Math.abs(rig.offMs())).toBeLessThanOrEqual(3);
    },
  );

  it('of a host that has always been wrong is right after the first fire', async () => {
    const rig = new Rig();
    rig.logStepMs = 3_600_000;
    await rig.fire();
    expect(Math.abs(rig.offMs())).toBeLessThanOrEqual(3);
  });

  it('follows a wall clock that is slewed', () => {
    const rig = new Rig();
    for (let i = 0; i < 1_000; i++) {
      rig.monotonicAtMs += 400;
      rig.hostStepMs += 0.2;
      rig.logStepMs += 0.2;
      expect(Math.abs(rig.offMs())).toBeLessThanOrEqual(1);
    }
  });

  it('is measured once a second at most', async () => {
    const rig = new Rig();
    await rig.fire();
    rig.logStepMs = 5_000;
    await rig.fire();
    expect(Math.abs(rig.offMs())).toBeGreaterThan(4_900);
    rig.monotonicAtMs += 1_000;
    await rig.fire();
    expect(Math.abs(rig.offMs())).toBeLessThanOrEqual(3);
  });
});
