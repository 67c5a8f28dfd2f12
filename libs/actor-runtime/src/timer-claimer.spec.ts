import type { RecordOf } from '@flexpush/contracts';
import { ManualClock } from '@flexpush/testkit';
import type { Clock } from './ports';
import { MemoryLogger } from './testing/memory-ports';
import {
  CLAIM_TIMERS_MAX,
  TimerClaimer,
  VISITS_IN_FLIGHT_MAX,
  type ClaimMeter,
  type DueStore,
  type FireLog,
  type Timer,
} from './timer-claimer';

const VISIBILITY_MS = 5_000;
const LOOK_MS = 400;
const START_MS = 1_700_000_000_000;

function clockOf(manual: ManualClock): Clock {
  return {
    nowMs: () => manual.now(),
    monotonicMs: () => manual.now(),
    after: (delayMs, task) => manual.setTimer(delayMs, task),
  };
}

/** The timers of all shards in memory, with the store's own rule for claims, and faults on demand. */
class MemoryStore implements DueStore {
  readonly timers = new Map<number, Map<string, number>>();
  readonly held = new Set<number>();
  /** Up to which sequence; all of it unless it says otherwise. */
  foldedTo = Number.POSITIVE_INFINITY;
  looks: { shard: number; atMs: number }[] = [];
  away = false;
  inFlight = 0;
  inFlightMax = 0;
  gate: Promise<void> | undefined;

  arm(shard: number, member: string, dueAtMs: number): void {
    const timers = this.timers.get(shard) ?? new Map<string, number>();
    this.timers.set(shard, timers.set(member, dueAtMs));
  }

  async claimDue(
    shard: number,
    o: { nowMs: number; visibilityMs: number; limit: number; foldedTo: number | undefined },
  ) {
    this.looks.push({ shard, atMs: o.nowMs });
    this.inFlightMax = Math.max(this.inFlightMax, ++this.inFlight);
    await this.gate;
    this.inFlight--;
    if (this.away) throw new Error('the store is away');
    if (this.held.has(shard)) return { kind: 'held' as const };
    if (o.foldedTo !== undefined && this.foldedTo < o.foldedTo) return { kind: 'behind' as const };
    const timers = this.timers.get(shard) ?? new Map<string, number>();
    const due: Timer[] = [...timers]
      .filter(([, dueAtMs]) => dueAtMs <= o.nowMs)
      .sort((a, b) => a[1] - b[1])
      .slice(0, o.limit);
    for (const [member] of due) timers.set(member, o.nowMs + o.visibilityMs);
    const nextDueAtMs = timers.size === 0 ? undefined : Math.min(...timers.values());
    return { kind: 'claimed' as const, timers: due, nextDueAtMs };
  }
}

/** The log: remembers what fired when, and takes the timer out as the owner's commit would. */
class MemoryLog implements FireLog {
  readonly fired: { shard: number; member: string; dueAtMs: number; atMs: number }[] = [];
  readonly sizes: number[] = [];
  refuse: string | undefined;
  attempts = 0;

  constructor(
    private readonly store: MemoryStore,
    private readonly clock: ManualClock,
  ) {}

  async append(shard: number, record: RecordOf<'timers.fired'>) {
    this.attempts++;
    if (this.refuse !== undefined) return { kind: 'refused' as const, reason: this.refuse };
    this.sizes.push(record.timers.length);
    for (const [member, dueAtMs] of record.timers) {
      this.fired.push({ shard, member, dueAtMs, atMs: this.clock.now() });
      // Not before it is folded.
      if (this.store.foldedTo === Number.POSITIVE_INFINITY) this.store.timers.get(shard)?.delete(member);
    }
    return { kind: 'appended' as const, seq: this.sizes.length };
  }
}

class CountingMeter implements ClaimMeter {
  readonly counts = { claimed: 0, appended: 0, failures: 0, held: 0, behind: 0 };
  readonly claimed = { inc: (by: number) => (this.counts.claimed += by) };
  readonly appended = { inc: (by: number) => (this.counts.appended += by) };
  readonly failures = { inc: () => (this.counts.failures += 1) };
  readonly held = { inc: () => (this.counts.held += 1) };
  readonly behind = { inc: () => (this.counts.behind += 1) };
  readonly latenessMs = { observe: () => undefined };
}

function given(shards: number[]) {
  const clock = new ManualClock(START_MS);
  const store = new MemoryStore();
  const fires = new MemoryLog(store, clock);
  const meter = new CountingMeter();
  const state: { ready: true | string } = { ready: true };
  const claimer = new TimerClaimer({
    store,
    fires,
    clock: clockOf(clock),
    log: new MemoryLogger(),
    metrics: meter,
    ready: () => state.ready,
    visibilityMs: VISIBILITY_MS,
    lookIntervalMs: LOOK_MS,
  });
  claimer.own(shards);
  claimer.start();
  return { clock, store, fires, claimer, state, meter };
}

describe('waking', () => {
  it('fires a timer at its millisecond, never before', async () => {
    const { clock, store, fires, claimer } = given([0, 1]);
    await clock.advance(10);
    for (const [i, lateMs] of [1_003, 1_777, 2_500].entries()) store.arm(i % 2, `t${i}`, START_MS + lateMs);
    await clock.advance(5_000);
    expect(fires.fired.map(({ member }) => member)).toEqual(['t0', 't1', 't2']);
    for (const { dueAtMs, atMs } of fires.fired) {
      expect(atMs).toBeGreaterThanOrEqual(dueAtMs);
      expect(atMs - dueAtMs).toBeLessThanOrEqual(2);
    }
    await claimer.stop();
  });

  it('sees each timer that is armed a second ahead, whenever it is armed', async () => {
    const { clock, store, fires } = given([3]);
    for (let i = 0; i < 40; i++) {
      store.arm(3, `t${i}`, clock.now() + 1_000);
      await clock.advance(77);
    }
    await clock.advance(2_000);
    expect(fires.fired).toHaveLength(40);
    expect(Math.max(...fires.fired.map(({ dueAtMs, atMs }) => atMs - dueAtMs))).toBeLessThanOrEqual(2);
  });

  it('looks at idle shards all together, once per look interval', async () => {
    const { clock, store } = given([0, 1, 2, 3]);
    await clock.advance(10);
    store.looks = [];
    await clock.advance(LOOK_MS * 10);
    const rounds = new Map<number, number>();
    for (const { atMs } of store.looks) rounds.set(atMs, (rounds.get(atMs) ?? 0) + 1);
    expect([...rounds.values()]).toEqual(Array.from({ length: 10 }, () => 4));
  });

  it('goes on when the wall clock is set back', async () => {
    const manual = new ManualClock(START_MS);
    let shiftMs = 0;
    const store = new MemoryStore();
    const fires = new MemoryLog(store, manual);
    const claimer = new TimerClaimer({
      store,
      fires,
      clock: { ...clockOf(manual), nowMs: () => manual.now() + shiftMs },
      log: new MemoryLogger(),
      metrics: new CountingMeter(),
      ready: () => true,
      visibilityMs: VISIBILITY_MS,
      lookIntervalMs: LOOK_MS,
    });
    claimer.own([0]);
    claimer.start();
    await manual.advance(1_000);
    shiftMs = -3_600_000;
    await manual.advance(LOOK_MS * 2);
    store.arm(0, 'after', manual.now() + shiftMs + 1_000);
    await manual.advance(1_500);
    expect(fires.fired.map(({ member }) => member)).toEqual(['after']);
  });
});

describe('load', () => {
  it('goes on at once when more is due than one batch holds', async () => {
    const { clock, store, fires } = given([0]);
    await clock.advance(10);
    for (let i = 0; i < CLAIM_TIMERS_MAX * 40; i++) store.arm(0, `t${i}`, START_MS + 1_000);
    await clock.advance(1_000 + LOOK_MS);
    expect(fires.fired).toHaveLength(CLAIM_TIMERS_MAX * 40);
    expect(Math.max(...fires.sizes)).toBe(CLAIM_TIMERS_MAX);
    expect(Math.max(...fires.fired.map(({ atMs, dueAtMs }) => atMs - dueAtMs))).toBeLessThan(20);
  });

  it('claims from a bounded number of shards at a time, and reaches all of them', async () => {
    const shards = Array.from({ length: VISITS_IN_FLIGHT_MAX * 3 }, (_, shard) => shard);
    const { clock, store, fires } = given(shards);
    for (const shard of shards) store.arm(shard, `t${shard}`, START_MS);
    let open: () => void = () => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    await clock.advance(50);
    expect(store.inFlight).toBe(VISITS_IN_FLIGHT_MAX);
    open();
    await clock.advance(50);
    expect(fires.fired).toHaveLength(shards.length);
    expect(store.inFlightMax).toBe(VISITS_IN_FLIGHT_MAX);
  });

  it('never has two claims of one shard outstanding', async () => {
    const { clock, store, claimer } = given([7]);
    await clock.advance(10);
    let open: () => void = () => undefined;
    store.gate = new Promise((resolve) => (open = resolve));
    store.looks = [];
    await clock.advance(LOOK_MS * 5);
    expect(store.looks).toHaveLength(1);
    expect(claimer.longestVisitMs()).toBeGreaterThan(LOOK_MS * 3);
    open();
    await clock.advance(LOOK_MS * 2);
    expect(store.looks.length).toBeGreaterThan(1);
  });
});

describe('trouble', () => {
  it('leaves what could not be appended to the visibility time', async () => {
    const { clock, store, fires, meter } = given([0]);
    await clock.advance(10);
    store.arm(0, 't', START_MS + 1_000);
    fires.refuse = 'timeout';
    await clock.advance(1_500);
    fires.refuse = undefined;
    await clock.advance(VISIBILITY_MS - 600);
    expect(fires.fired).toEqual([]);
    await clock.advance(1_000);
    expect(fires.fired).toHaveLength(1);
    expect(fires.fired[0]?.dueAtMs).toBeGreaterThanOrEqual(START_MS + 1_000 + VISIBILITY_MS);
    expect(meter.counts.failures).toBe(1);
    expect(meter.counts.claimed).toBe(2);
    expect(meter.counts.appended).toBe(1);
  });

  it('backs off while claims fail, and recovers by itself', async () => {
    const { clock, store, fires } = given([0]);
    store.away = true;
    await clock.advance(10_000);
    expect(store.looks.length).toBeLessThan(12);
    store.away = false;
    store.arm(0, 't', clock.now() + 3_000);
    await clock.advance(3_010);
    expect(fires.fired).toHaveLength(1);
    expect(fires.fired[0]!.atMs - fires.fired[0]!.dueAtMs).toBeLessThanOrEqual(2);
  });

  it('lets a failing shard back off alone', async () => {
    const { clock, store, fires } = given([0, 1]);
    const append = fires.append.bind(fires);
    fires.append = (shard, record) =>
      shard === 0 ? Promise.reject(new Error('broken')) : append(shard, record);
    await clock.advance(10);
    for (let i = 0; i < 20; i++) {
      store.arm(0, `bad${i}`, START_MS + 1_000 + i * 100);
      store.arm(1, `good${i}`, START_MS + 1_000 + i * 100);
    }
    await clock.advance(3_100);
    expect(fires.fired).toHaveLength(20);
    expect(Math.max(...fires.fired.map(({ atMs, dueAtMs }) => atMs - dueAtMs))).toBeLessThanOrEqual(2);
  });

  it('claims nothing while a store is known to be away', async () => {
    const { clock, store, fires, state } = given([0]);
    await clock.advance(10);
    store.arm(0, 't', START_MS + 1_000);
    state.ready = 'nats is not connected';
    await clock.advance(500);
    store.looks = [];
    await clock.advance(3_000);
    expect(store.looks).toEqual([]);
    state.ready = true;
    await clock.advance(200);
    expect(fires.fired.map(({ dueAtMs }) => dueAtMs)).toEqual([START_MS + 1_000]);
  });

  it('looks at a held shard again after a short while', async () => {
    const { clock, store, fires, meter } = given([0]);
    store.arm(0, 't', START_MS + 5);
    store.held.add(0);
    await clock.advance(1_000);
    expect(fires.fired).toEqual([]);
    expect(meter.counts.held).toBeGreaterThanOrEqual(8);
    store.held.delete(0);
    await clock.advance(150);
    expect(fires.fired).toHaveLength(1);
  });
});

describe('ownership', () => {
  it('claims at once from shards that come to it, and no more from those that go', async () => {
    const { clock, store, fires, claimer } = given([0]);
    await clock.advance(10);
    store.arm(1, 'came', START_MS);
    claimer.own([1]);
    await clock.advance(5);
    expect(fires.fired.map(({ member }) => member)).toEqual(['came']);
    store.looks = [];
    await clock.advance(LOOK_MS * 3);
    expect(new Set(store.looks.map(({ shard }) => shard))).toEqual(new Set([1]));
  });

  it('finishes what it claimed before it stops, and claims nothing more', async () => {
    const { clock, store, fires, claimer } = given([0]);
    await clock.advance(10);
    store.arm(0, 't', START_MS + 1_000);
    let open: () => void = () => undefined;
    await clock.advance(980);
    store.gate = new Promise((resolve) => (open = resolve));
    await clock.advance(20);
    let stopped = false;
    const stop = claimer.stop().then(() => (stopped = true));
    await clock.advance(50);
    expect(stopped).toBe(false);
    open();
    await stop;
    expect(fires.fired).toHaveLength(1);
    store.looks = [];
    await clock.advance(5_000);
    expect(store.looks).toEqual([]);
    expect(clock.timerCount).toBe(0);
  });
});

describe('a fold that is behind', () => {
  const armMany = (store: MemoryStore, count: number) => {
    for (let n = 0; n < count; n++) store.arm(0, `t${n}`, START_MS);
  };

  it('has at most two records of a shard before it, and gets more as it comes on (C5)', async () => {
    const { clock, store, fires, meter, claimer } = given([0]);
    store.foldedTo = 0;
    armMany(store, 1_000);
    await clock.advance(1_000);
    expect(fires.sizes).toEqual([CLAIM_TIMERS_MAX, CLAIM_TIMERS_MAX]);
    expect(meter.counts.behind).toBeGreaterThan(0);
    store.foldedTo = 1;
    await clock.advance(100);
    expect(fires.sizes).toHaveLength(3);
    store.foldedTo = 3;
    await clock.advance(100);
    expect(fires.sizes).toHaveLength(5);
    expect(new Set(fires.fired.map(({ member }) => member)).size).toBe(1_000);
    await claimer.stop();
  });

  it('may have lost them with its log: after the visibility time it gets them again (C2)', async () => {
    const { clock, store, fires, claimer } = given([0]);
    store.foldedTo = 0;
    armMany(store, 2 * CLAIM_TIMERS_MAX);
    await clock.advance(VISIBILITY_MS - 1);
    expect(fires.sizes).toHaveLength(2);
    await clock.advance(1_000);
    expect(fires.sizes.length).toBeGreaterThan(2);
    await claimer.stop();
  });

  it('holds up no other shard', async () => {
    const { clock, store, fires, claimer } = given([0, 1]);
    store.foldedTo = 0;
    armMany(store, 1_000);
    store.arm(1, 'of another', START_MS + 1_500);
    await clock.advance(1_600);
    expect(fires.fired.filter(({ shard }) => shard === 1).map(({ member }) => member)).toEqual([
      'of another',
    ]);
    await claimer.stop();
  });
});
