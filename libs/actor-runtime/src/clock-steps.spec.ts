import type { Clock } from './ports';
import { create, join, options, sessionIn } from './testing/records';
import { SHARD, World } from './testing/shard-rig';

const CHAT = sessionIn(SHARD);
const DELAY_MS = 2_000;
const ATTEMPTS = 6;
const STEP_MS = 5_000;
const LOOK_MS = 50;
/** A look, and what the fold may round to whole looks. */
const SLACK_MS = 2 * LOOK_MS;

/**
 * When each attempt of one schedule was dispatched, ms after its begin as a clock tells that nobody sets. In the world
 * of the rig the log and the claims go by one clock: resend-timer follows the log's (its `LogClock`).
 */
async function attempts(
  steps: { atMs: number; byMs: number }[],
  clockOf: (world: World) => Clock = (world) => world.clock,
): Promise<number[]> {
  const world = new World();
  world.publish(
    options(1, {
      'settings/flex-push-on-join': 'true',
      'push/pushEnabled': 'customhttp',
      'settings/flex-push-resend-delay': String(DELAY_MS / 1_000),
      'settings/flex-push-resend-attempts': String(ATTEMPTS),
    }),
  );
  const process = await world.process({ clock: clockOf(world) }).start();
  world.publish(create(CHAT), join(CHAT));
  const times: number[] = [];
  const untilMs = (ATTEMPTS + 2) * DELAY_MS + 2 * STEP_MS;
  for (let atMs = 0; atMs <= untilMs; atMs += LOOK_MS) {
    for (const step of steps) if (step.atMs === atMs) world.clock.step(step.byMs);
    world.fireDue();
    await world.clock.advance(LOOK_MS);
    while (times.length < world.gms.accepted.length) times.push(atMs);
  }
  expect(world.gms.accepted.map(({ job }) => job.kind === 'trigger' && job.attempt)).toEqual(
    Array.from({ length: ATTEMPTS + 1 }, (_, k) => k),
  );
  await process.actor.stop();
  return times;
}

/** A host whose wall clock is off from `fromMs` on. */
function hostOff(byMs: number): (world: World) => Clock {
  return ({ clock }) => ({
    nowMs: () => clock.nowMs() + byMs,
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, task) => clock.after(delayMs, task),
  });
}

describe('a schedule under steps of a clock', () => {
  const undisturbed = Array.from({ length: ATTEMPTS + 1 }, (_, k) => k * DELAY_MS);

  it('undisturbed: attempt k after k delays', async () => {
    (await attempts([])).forEach((atMs, k) =>
      expect(Math.abs(atMs - (undisturbed[k] ?? 0))).toBeLessThanOrEqual(SLACK_MS),
    );
  });

  it.each([
    { name: 'set back', steps: [{ atMs: 3_000, byMs: -STEP_MS }] },
    { name: 'set forward', steps: [{ atMs: 3_000, byMs: STEP_MS }] },
    {
      name: 'set back and right again',
      steps: [
        { atMs: 3_000, byMs: -STEP_MS },
        { atMs: 9_000, byMs: STEP_MS },
      ],
    },
    {
      name: 'set forward and right again',
      steps: [
        { atMs: 3_000, byMs: STEP_MS },
        { atMs: 6_000, byMs: -STEP_MS },
      ],
    },
  ])(
    'the host of the log is $name: every attempt shifts by the step at most, and none burns out',
    async ({ steps }) => {
      const times = await attempts(steps);
      times.forEach((atMs, k) => {
        expect(Math.abs(atMs - (undisturbed[k] ?? 0))).toBeLessThanOrEqual(STEP_MS + SLACK_MS);
      });
      // Once per step at most an attempt comes early; otherwise a delay lies between two.
      const gaps = times.slice(1).map((atMs, k) => atMs - (times[k] ?? 0));
      expect(gaps.filter((gapMs) => gapMs < DELAY_MS - SLACK_MS).length).toBeLessThanOrEqual(steps.length);
    },
  );

  it.each([-STEP_MS, STEP_MS])(
    'the host of the session-actor is off by %d ms: nothing shifts',
    async (byMs) => {
      expect(await attempts([], hostOff(byMs))).toEqual(await attempts([]));
    },
  );
});
