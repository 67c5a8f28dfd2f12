import { readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf } from './errors';

const END_GRACE_MS = 5_000;
const END_POLL_MS = 20;

export interface LeftoverMark {
  readonly pidFile: string;
  /** Working directory that the process was given; it is the proof that it belongs to this folder. */
  readonly cwd: string;
  /** A piece of its command line, such as `redis-server`. */
  readonly commandPart: string;
}

/**
 * Ends the process that a killed launcher left behind, if the pid file still names it. A pid may have been
 * given to a stranger since, so the command line and the working directory are compared first. Without /proc
 * nothing is ended; the start then reports the busy port. Returns the pid that was ended.
 */
export async function endLeftover(mark: LeftoverMark): Promise<number | undefined> {
  const pid = readPid(mark.pidFile);
  if (pid === undefined) return undefined;
  const ours = () => isOurs(pid, mark);
  if (ours()) {
    signalQuietly(pid, 'SIGTERM');
    // A paused process does not see SIGTERM before it is continued.
    signalQuietly(pid, 'SIGCONT');
    if (!(await isGoneWithin(ours, END_GRACE_MS))) {
      signalQuietly(pid, 'SIGKILL');
      await isGoneWithin(ours, END_GRACE_MS);
    }
    rmSync(mark.pidFile, { force: true });
    return pid;
  }
  rmSync(mark.pidFile, { force: true });
  return undefined;
}

/** Sends a signal; a process that is gone already is what the caller wanted. */
export function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/** True for a process that still runs. A zombie, dead but not yet collected by its parent, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM means that it lives and belongs to somebody else.
    return errnoOf(error) === 'EPERM';
  }
  return statFieldsOf(pid)?.[0] !== 'Z';
}

/**
 * Start time of a process in clock ticks since boot. Pid and start time together name one process, so that a
 * lock is not fooled by a reused pid. Undefined when the process is gone or there is no /proc.
 */
export function startTicksOf(pid: number): string | undefined {
  return statFieldsOf(pid)?.[19];
}

/** The fields of /proc/<pid>/stat from the third on (state, parent, ...). */
function statFieldsOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets and may hold blanks; count from the last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    // Gone, or a system without /proc.
    return undefined;
  }
}

function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8').trim(), 10);
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isOurs(pid: number, mark: LeftoverMark): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return command.includes(mark.commandPart) && readlinkSync(`/proc/${pid}/cwd`) === realpathSync(mark.cwd);
  } catch {
    // Gone, of another user, or a system without /proc: in each case not ours to end.
    return false;
  }
}

async function isGoneWithin(isThere: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (isThere()) {
    if (performance.now() >= deadlineMs) return false;
    await sleep(END_POLL_MS);
  }
  return true;
}
