import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describeRange, optionCatalogue } from '@flexpush/contracts';

const root = resolve(__dirname, '..');

describe('docs/options.md', () => {
  it('is what tools/options-doc.mjs writes from the catalogue', () => {
    const check = spawnSync(process.execPath, ['tools/options-doc.mjs', '--check'], {
      cwd: root,
      encoding: 'utf8',
    });
    expect(check.stderr).toBe('');
    expect(check.stdout.trim()).toBe('docs/options.md is up to date');
    expect(check.status).toBe(0);
  });

  it.each(optionCatalogue)('shows $name with its default and range', (spec) => {
    const lines = readFileSync(resolve(root, 'docs', 'options.md'), 'utf8').split('\n');
    const row = lines.find((line) => line.startsWith(`| \`${spec.name}\` |`));
    expect(row).toContain(spec.default === undefined ? 'not set' : `\`${spec.default}\``);
    expect(row).toContain(describeRange(spec.type));
  });
});
