import { faultKinds, planOf } from './plan';
import { shrink } from './shrink';
import { simulate, type Run } from './simulation';
import { switches, type Switch } from './switches';

const SEEDS = 200;

jest.setTimeout(240_000);

async function firstFailure(off: ReadonlySet<Switch>): Promise<Run | undefined> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = await simulate(planOf(seed), off);
    if (run.violations.length > 0) return run;
  }
  return undefined;
}

/** What the outside sees of each, so that it is found for its own reason and not by an accident of the simulator. */
const shows: Record<Switch, RegExp> = {
  'checkpoint-comparison': /^I[1268] /m,
  'commit-before-effect': /^I[1268] /m,
  barrier: /^I5 .* after its confirm/m,
  'term-check': /^I5 .* after its confirm/m,
  'outbox-redispatch': /^I6 .* (never pushed|told of)/m,
  'confirm-check': /^I5 /m,
  replay: /^I[268] /m,
};

it.each(switches)('finds out within the seeds that %s is switched off', async (one) => {
  const run = await firstFailure(new Set([one]));
  const found = run?.violations.map(({ rule, what }) => `${rule} ${what}`).join('\n');
  expect(found).toMatch(shows[one]);
});

function sizeOf({ plan: { faults, chats } }: Run): number {
  return faults.length + chats.length + chats.reduce((sum, { says }) => sum + says.length, 0);
}

it('shortens a failing plan, and it fails still', async () => {
  const off = new Set<Switch>(['outbox-redispatch']);
  const failing = (await firstFailure(off)) as Run;
  const shortest = await shrink(failing, off);
  expect(shortest.violations).not.toEqual([]);
  expect(sizeOf(shortest)).toBeLessThan(sizeOf(failing) / 2);
  expect((await simulate(shortest.plan, off)).violations).toEqual(shortest.violations);
});

it('draws every kind of fault', () => {
  const drawn = new Set(
    Array.from({ length: SEEDS }, (_, i) => planOf(i + 1)).flatMap(({ faults }) =>
      faults.map(({ kind }) => kind),
    ),
  );
  expect([...drawn].sort()).toEqual([...faultKinds].sort());
});
