import { Command } from 'commander';
import { registerBench } from '../bench/bench-command';
import { printedBy } from '../story/printed';
import { flowNames } from './flows';
import { allFigures, batchFactor, COSTS, costUs, kinds, type Kind } from './plan-costs';

it('every figure says where it is from: a bench with its date, a place in the code, or how it was estimated', async () => {
  const program = new Command().exitOverride();
  registerBench(program);
  const text = await printedBy(() => program.parseAsync(['node', 'flexpush', 'bench', 'list', '--json']));
  const benches = (JSON.parse(text) as { benches: { name: string }[] }).benches.map(({ name }) => name);
  const figures = allFigures();
  expect(figures.length).toBeGreaterThan(40);
  for (const { name, value, from, on, estimated } of figures) {
    expect([name, Number.isFinite(value) && value >= 0]).toEqual([name, true]);
    const bench = /^bench ([a-z0-9-]+)/.exec(from)?.[1];
    if (bench !== undefined) expect(benches).toContain(bench);
    if (bench !== undefined && estimated === undefined)
      expect([name, on]).toEqual([name, expect.stringMatching(/^20\d\d-\d\d-\d\d$/)]);
    if (bench === undefined && estimated === undefined) expect(from).toMatch(/^apps\/[\w/-]+\.ts$/);
  }
});

it.each(Object.entries(COSTS.endToEndUs))(
  'an event with its push and its refresh costs %s what the whole way does, and no less than its steps',
  (name, whole) => {
    const kind = name as Kind;
    const way = ['event', 'push', 'refresh'] as const;
    const us = way.reduce((sum, flow) => sum + costUs(kind, flow), 0);
    expect(us).toBeCloseTo(Math.max(whole?.value ?? NaN, us / batchFactor(kind)), 6);
  },
);

it('nothing that a kind does is cheaper than in the bench of that step alone', () => {
  for (const kind of kinds) {
    expect(batchFactor(kind)).toBeGreaterThanOrEqual(1);
    for (const flow of flowNames) expect(costUs(kind, flow)).toBeGreaterThanOrEqual(0);
  }
});
