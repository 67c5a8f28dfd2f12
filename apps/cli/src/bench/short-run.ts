import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { ShortBench, ShortRun } from './bench-check';
import type { BenchResult } from './bench-result';

const program = join(__dirname, '..', 'main.js');
/** Several times what the longest takes on two busy cores. */
const RUN_MAX_MS = 240_000;
/** After SIGTERM: it stops its servers. */
const STOP_MAX_MS = 20_000;
/** Of what a run prints, its last part is kept. */
const PRINTED_CHARS_MAX = 1_000_000;
const REASON_LINES = 3;

/**
 * Runs a bench in a process of its own, so that none is measured with what another has left in memory, and one that
 * breaks ends no other. Aborted, it is stopped in order.
 */
export function runShort({ name, short }: ShortBench, signal: AbortSignal): Promise<ShortRun> {
  // A group of its own, so that Ctrl-C reaches it once: from here.
  const child = spawn(process.execPath, [program, 'bench', 'run', name, ...short.split(' '), '--json'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const kept = (text: string, more: string) => (text + more).slice(-PRINTED_CHARS_MAX);
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout = kept(stdout, text)));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = kept(stderr, text)));
  let isTooLong = false;
  let killing: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill('SIGTERM');
    killing ??= setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS);
  };
  const tooLong = setTimeout(() => {
    isTooLong = true;
    stop();
  }, RUN_MAX_MS);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ kind: 'failed', reason: error.message }));
    child.once('close', () => {
      clearTimeout(tooLong);
      clearTimeout(killing);
      signal.removeEventListener('abort', stop);
      if (isTooLong) resolve({ kind: 'failed', reason: `it ran for more than ${RUN_MAX_MS / 1_000} s` });
      else resolve(readRun(stdout, stderr));
    });
  });
}

/** The exit code says whether every bar was reached, which is not asked here; so the last line of output tells. */
function readRun(stdout: string, stderr: string): ShortRun {
  const printed = parseObject(stdout.trim().split('\n').at(-1) ?? '');
  if (printed !== undefined && 'bars' in printed)
    return { kind: 'measured', result: printed as unknown as BenchResult };
  const told = printed?.['error'];
  const reason = typeof told === 'string' ? told : stderr.trim().split('\n').slice(-REASON_LINES).join(' / ');
  return { kind: 'failed', reason: reason === '' ? 'it ended without a result' : reason };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // A process that was killed has printed something else, or nothing.
    return undefined;
  }
}
