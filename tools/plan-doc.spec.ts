import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

it('docs/performance.md and its picture are what "flexpush plan" prints today', () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--conditions', '@flexpush/source', join('tools', 'plan-doc.mjs'), '--check'],
    { cwd: join(__dirname, '..'), encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  expect(stdout.trim().split('\n')).toEqual([
    'docs/performance.md is up to date',
    'docs/capacity-plan.svg is up to date',
  ]);
});
