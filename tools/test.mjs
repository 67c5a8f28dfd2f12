// `npm test`: set-up, lint, typecheck, every test, and every bench in its short form. The last line is the count; lint,
// typecheck and each bench count as one.
// Arguments go to jest, for example: npm test -- libs/stack. Benches run only without any, for they need minutes;
// npm test -- --no-benches leaves out nothing else.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, SetupError, setUp } from './setup.mjs';

/**
 * Many specs start servers and measure time, so a worker needs a core to itself. Beyond four, the disk is the limit.
 */
const WORKERS_MAX = 4;
const NO_BENCHES = '--no-benches';
const inherit = { stdio: ['ignore', 'inherit', 'inherit'] };

async function main() {
  await setUp();
  const counts = { passed: 0, failed: 0 };
  for (const script of ['lint', 'typecheck']) {
    process.stdout.write(`\n== ${script}\n`);
    const code = await run('npm', ['run', '--silent', script], inherit);
    if (code === 0) counts.passed += 1;
    else counts.failed += 1;
    process.stdout.write(`${script}: ${code === 0 ? 'passed' : 'FAILED'}\n`);
  }
  const given = process.argv.slice(2);
  add(counts, await runJest(given.filter((arg) => arg !== NO_BENCHES)));
  // Afterwards and alone: they measure.
  if (given.length === 0) add(counts, await runBenches());
  return counts;
}

function add(counts, { passed, failed }) {
  counts.passed += passed;
  counts.failed += failed;
}

async function runBenches() {
  process.stdout.write('\n== benches (short)\n');
  const command = [join(root, 'apps', 'cli', 'dist', 'main.js'), 'bench', 'check', '--json'];
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  const code = await new Promise((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', (exitCode) => resolve(exitCode ?? 1));
  });
  return countBenches(printed.trim().split('\n').at(-1), code);
}

/** A check that did not come to its end has no count, so it counts as one failed. */
function countBenches(line, code) {
  try {
    const { passed, failed } = JSON.parse(line);
    if (Number.isInteger(passed) && Number.isInteger(failed))
      return { passed, failed: code === 0 ? failed : Math.max(1, failed) };
  } catch {
    // It has printed something else, or nothing.
  }
  process.stderr.write('the benches left no result\n');
  return { passed: 0, failed: 1 };
}

async function runJest(args) {
  process.stdout.write('\n== tests\n');
  const folder = mkdtempSync(join(tmpdir(), 'fp-test-'));
  const resultFile = join(folder, 'result.json');
  const workers = Math.max(1, Math.min(WORKERS_MAX, availableParallelism()));
  try {
    const code = await run(
      process.execPath,
      [
        join(root, 'node_modules', 'jest', 'bin', 'jest.js'),
        `--maxWorkers=${workers}`,
        '--json',
        `--outputFile=${resultFile}`,
        ...args,
      ],
      // With --json, jest writes the result to standard output too; its report is on standard error.
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    return countTests(resultFile, code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that could not even run has no tests in the count, so it counts as one failed. */
function countTests(resultFile, code) {
  let result;
  try {
    result = JSON.parse(readFileSync(resultFile, 'utf8'));
  } catch (error) {
    process.stderr.write(`jest left no result: ${error.message}\n`);
    return { passed: 0, failed: 1 };
  }
  const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
  return { passed: result.numPassedTests, failed: code === 0 ? failed : Math.max(1, failed) };
}

let counts = { passed: 0, failed: 1 };
try {
  counts = await main();
} catch (error) {
  process.stderr.write(`error: ${error instanceof SetupError ? error.message : error.stack}\n`);
}
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = counts.failed === 0 ? 0 : 1;
