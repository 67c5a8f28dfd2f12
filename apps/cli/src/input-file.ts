import { readFileSync } from 'node:fs';

/** More than any option or configuration takes; their checks say the rest. */
const INPUT_BYTES_MAX = 4_194_304;
const STANDARD_INPUT = 0;

/** The text of a file, or of standard input for `-`. */
export function readInput(path: string): string {
  const bytes = readBytes(path);
  if (bytes.length > INPUT_BYTES_MAX)
    throw new Error(`${path} has more than ${INPUT_BYTES_MAX} bytes; name a file with the value alone`);
  return bytes.toString('utf8');
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path === '-' ? STANDARD_INPUT : path);
  } catch (error) {
    // A read, unlike an open, does not say of what: a folder opens and is not read.
    throw Object.assign(error as Error, { path: path === '-' ? 'standard input' : path });
  }
}
