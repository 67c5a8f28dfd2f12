// Writes what `flexpush plan` prints today into the example of docs/performance.md, and the picture beside it; with --check
// it only says whether both are up to date. Run it by `npm run plan-doc` after a change of the costs: the sources are
// loaded as they are, under the condition @flexpush/source.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeOrCheck } from './written-page.mjs';

const require = createRequire(import.meta.url);
require('./register-sources.cjs');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { Command } = createRequire(join(root, 'apps', 'cli', 'package.json'))('commander');
const cli = join(root, 'apps', 'cli', 'src');
const { registerPlan } = require(join(cli, 'plan', 'plan-command.ts'));
const { printedBy } = require(join(cli, 'story', 'printed.ts'));

const COMMAND = 'npm run plan-doc';
const PAGE = join('docs', 'performance.md');
/** The example: its command line, and what it prints. */
const EXAMPLE = /(```console\n\$ npx flexpush (plan [^\n]*--picture (\S+)[^\n]*)\n)([\s\S]*?)(```\n)/;

function planPrinted(args) {
  const program = new Command().exitOverride();
  registerPlan(program);
  return printedBy(() => program.parseAsync(['node', 'flexpush', ...args]));
}

const page = readFileSync(join(root, PAGE), 'utf8');
const found = EXAMPLE.exec(page);
if (!found) throw new Error(`${PAGE} has no example of "flexpush plan ... --picture <file>"`);
const [, , commandLine, picture] = found;
const folder = mkdtempSync(join(tmpdir(), 'flexpush-plan-doc-'));
try {
  const drawn = join(folder, 'plan.svg');
  const args = commandLine.split(' ').map((arg) => (arg === picture ? drawn : arg));
  const text = (await planPrinted(args)).replace(drawn, picture);
  const example = page.replace(EXAMPLE, (_whole, head, _line, _picture, _old, end) => `${head}${text}${end}`);
  writeOrCheck(join(root, PAGE), example, COMMAND);
  writeOrCheck(join(root, picture), readFileSync(drawn, 'utf8'), COMMAND);
} finally {
  rmSync(folder, { recursive: true });
}
