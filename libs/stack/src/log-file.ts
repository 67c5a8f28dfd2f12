import { closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from './errors';

/** A log beyond this is set aside at the next start of its process, so that logs stay bounded (two files each). */
const LOG_BYTES_MAX = 16 * 1024 * 1024;
const TAIL_BYTES = 16 * 1024;

/** Opens a log for appending. The previous one is kept as `<file>.1` once it has grown large. */
export function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  if (sizeOf(file) > LOG_BYTES_MAX) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

/** The last lines of a log, for error messages; empty when there is none. */
export function tailOf(file: string, lineMax = 15): string {
  const bytes = sizeOf(file);
  if (bytes === 0) return '';
  const handle = openSync(file, 'r');
  try {
    const wanted = Math.min(TAIL_BYTES, fstatSync(handle).size);
    const buffer = Buffer.alloc(wanted);
    readSync(handle, buffer, 0, wanted, Math.max(0, bytes - wanted));
    return buffer.toString('utf8').trimEnd().split('\n').slice(-lineMax).join('\n');
  } finally {
    closeSync(handle);
  }
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
