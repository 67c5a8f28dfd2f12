import { narrate } from './narrate';
import { planOf } from './plan';
import { simulate } from './simulation';

const SEEDS = 200;

jest.setTimeout(240_000);

it('keeps every promise without faults', async () => {
  for (let seed = 1; seed <= 5; seed++) expect((await simulate(planOf(seed, []))).violations).toEqual([]);
});

it(`keeps I1-I8 through ${SEEDS} seeds of crashes, freezes, zombies, cuts, losses and stepping clocks`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = await simulate(planOf(seed));
    // The seed and what happened are in the message of a failure.
    if (run.violations.length > 0) throw new Error([`seed ${seed} fails:`, ...narrate(run)].join('\n'));
  }
});

it('repeats a seed exactly, and no other', async () => {
  const [first, again, other] = await Promise.all([
    simulate(planOf(3)),
    simulate(planOf(3)),
    simulate(planOf(4)),
  ]);
  expect(again.history).toEqual(first.history);
  expect(other.history).not.toEqual(first.history);
});
