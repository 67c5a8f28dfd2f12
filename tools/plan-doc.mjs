// Writes what `flexpush plan` prints today into the example of docs/performance.md, and the picture beside it; with --check
// it only says whether both are up to date. Run it by `npm run plan-doc` after a change of the costs: the sources are
// loaded as they are, under the condition @flexpush/source.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
require('./register-sources.cjs');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { Command } = createRequire(join(root, 'apps', 'cli', 'package.json'))('commander');
const { registerPlan } = require(join(root, 'apps', 'cli', 'src', 'plan', 'plan-command.ts'));

const PAGE = join('docs', 'performance.md');
/** The example: its command line, and what it prints. */
const EXAMPLE = /(```console\n\$ npx flexpush (plan [^\n]*--picture (\S+)[^\n]*)\n)([\s\S]*?)(```\n)/;

async function printed(args) {
  const lines = [];
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text) => lines.push(text) > 0;
  try {
    const program = new Command().exitOverride();
    registerPlan(program);
    await program.parseAsync(['node', 'flexpush', ...args]);
  } finally {
    process.stdout.write = write;
  }
  return lines.join('');
}

const page = readFileSync(join(root, PAGE), 'utf8');
const found = EXAMPLE.exec(page);
if (!found) throw new Error(`${PAGE} has no example of "flexpush plan ... --picture <file>"`);
const [, , commandLine, picture] = found;
const folder = mkdtempSync(join(tmpdir(), 'flexpush-plan-doc-'));
try {
  const drawn = join(folder, 'plan.svg');
  const args = commandLine.split(' ').map((arg) => (arg === picture ? drawn : arg));
  const text = (await printed(args)).replace(drawn, picture);
  const isChecking = process.argv.includes('--check');
  for (const [file, content] of [
    [PAGE, page.replace(EXAMPLE, (_whole, head, _line, _picture, _old, end) => `${head}${text}${end}`)],
    [picture, readFileSync(drawn, 'utf8')],
  ]) {
    if (!isChecking) {
      writeFileSync(join(root, file), content);
      process.stdout.write(`wrote ${file}\n`);
    } else if (readOrNothing(join(root, file)) === content) {
      process.stdout.write(`${file} is up to date\n`);
    } else {
      process.stdout.write(`${file} is stale; run: npm run plan-doc\n`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

function readOrNothing(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
