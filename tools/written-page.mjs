import { readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';

/** Writes a page that is made from the code; with --check it only says whether the file is up to date, by the exit code too. */
export function writeOrCheck(path, text, command) {
  const shown = relative(process.cwd(), path);
  if (!process.argv.includes('--check')) {
    writeFileSync(path, text);
    process.stdout.write(`wrote ${shown}\n`);
  } else if (readOrNothing(path) === text) {
    process.stdout.write(`${shown} is up to date\n`);
  } else {
    process.stdout.write(`${shown} is stale; run: ${command}\n`);
    process.exitCode = 1;
  }
}

function readOrNothing(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
