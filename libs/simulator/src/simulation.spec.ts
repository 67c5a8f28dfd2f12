import { faultKinds, planOf } from './plan';
import { shrink } from './shrink';
import { simulate, type Run } from './simulation';
import type { Switch } from './switches';

// Hundreds of seeds, and the switches, run in a process without jest: apps/cli/src/simulate/simulate.spec.ts.
jest.setTimeout(120_000);

it('keeps every promise without faults', async () => {
  for (let seed = 1; seed <= 3; seed++) expect((await simulate(planOf(seed, []))).violations).toEqual([]);
});

it('repeats a seed exactly, and no other', async () => {
  const first = await simulate(planOf(10));
  expect((await simulate(planOf(10))).history).toEqual(first.history);
  expect((await simulate(planOf(4))).history).not.toEqual(first.history);
});

it('draws every kind of fault', () => {
  const plans = Array.from({ length: 200 }, (_, i) => planOf(i + 1));
  const drawn = new Set(plans.flatMap(({ faults }) => faults.map(({ kind }) => kind)));
  expect([...drawn].sort()).toEqual([...faultKinds].sort());
});

function sizeOf({ plan: { faults, chats } }: Run): number {
  return faults.length + chats.length + chats.reduce((sum, { says }) => sum + says.length, 0);
}

/** The first of many seeds in which the switch shows; which one it is depends on every delay. */
async function firstFailing(off: ReadonlySet<Switch>): Promise<Run> {
  for (let seed = 1; seed <= 60; seed++) {
    const plan = planOf(seed, ['crash']);
    const refreshing = plan.chats.map((chat) => ({ ...chat, kind: 'refreshing' as const }));
    const run = await simulate({ ...plan, chats: refreshing }, off);
    if (run.violations.length > 0) return run;
  }
  throw new Error('no seed shows it');
}

it('shortens a failing plan, and it fails still', async () => {
  const off = new Set<Switch>(['confirm-check']);
  const failing = await firstFailing(off);
  const shortest = await shrink(failing, off, 12);
  expect(sizeOf(shortest)).toBeLessThan(sizeOf(failing));
  expect((await simulate(shortest.plan, off)).violations).toEqual(shortest.violations);
});
