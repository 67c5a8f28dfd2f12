import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, StackError } from './errors';
import { isAlive, startTicksOf } from './leftover';
import type { RedisTopology } from './redis-group';
import type { NatsServerCount } from './stack-options';

/** What runs, as `run.json` says it. */
export interface RunFile {
  readonly services: readonly {
    readonly name: string;
    readonly kind: string;
    readonly pid: number;
    readonly urls: Readonly<Record<string, string>>;
  }[];
  /** How to reach it, and the pid of its only or first server. */
  readonly nats: { readonly url: string; readonly pid: number };
  readonly redis: { readonly url: string; readonly pid: number };
  /** Every server of the two, sentinels included. */
  readonly servers: readonly ServerRun[];
}

export interface ServerRun {
  readonly name: string;
  readonly kind: 'nats' | 'redis' | 'sentinel';
  readonly pid: number;
  readonly port: number;
}

/** What must survive between starts. */
export interface StackState {
  readonly version: 1;
  /** 32 bytes in hex; signs the keys that customers hold, so another one would lock them out. */
  readonly keySecret: string;
  readonly shards: number;
  /** Left out by releases that knew one of each only. */
  readonly natsServers?: NatsServerCount;
  readonly redis?: RedisTopology;
  /** Ports by process name, taken again when free. */
  readonly ports: Readonly<Record<string, number>>;
  /** Node ids by process name. */
  readonly nodeIds: Readonly<Record<string, string>>;
}

/** Writes a file so that readers see the old or the new content, never half of one. */
export function writeJsonAtomically(file: string, content: unknown, mode: number = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}.tmp`;
  writeFileSync(draft, `${JSON.stringify(content, undefined, 2)}\n`, { mode, flush: true });
  renameSync(draft, file);
}

/** The state of earlier starts, undefined at the first. Throws `state-unreadable` for a broken file. */
export function readState(dir: string): StackState | undefined {
  const file = join(dir, 'state.json');
  const text = readIfThere(file);
  if (text === undefined) return undefined;
  try {
    const state: unknown = JSON.parse(text);
    if (isStackState(state)) return state;
  } catch (error) {
    throw new StackError('state-unreadable', `${file} is not JSON; remove it to start anew`, false, {
      cause: error,
    });
  }
  throw new StackError('state-unreadable', `${file} is of another version; remove ${dir} to start anew`);
}

export function writeState(dir: string, state: StackState): void {
  writeJsonAtomically(join(dir, 'state.json'), state, 0o600);
}

/** `run.json` of a stack; undefined when none runs, or it was stopped in order. */
export function readRun(dir: string): RunFile | undefined {
  const text = readIfThere(join(dir, 'run.json'));
  return text === undefined ? undefined : (JSON.parse(text) as RunFile);
}

/**
 * Takes the lock of a stack folder and returns the function that gives it back. Throws `already-running` with
 * the pid of the holder. A lock whose holder is gone is taken over, a reused pid is recognised.
 */
export function lockStack(dir: string): () => void {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'lock');
  const mine = `${process.pid} ${startTicksOf(process.pid) ?? '-'} ${randomBytes(6).toString('hex')}`;
  if (!createExclusively(file, mine)) {
    const held = readIfThere(file);
    if (held !== undefined && isHeld(held)) throw alreadyRunning(dir, held);
    if (held !== undefined) removeStale(file, held);
    // Another start may have been quicker to take over; then it is the one that runs.
    if (!createExclusively(file, mine)) throw alreadyRunning(dir, readIfThere(file) ?? '');
  }
  return () => {
    if (readIfThere(file) === mine) rmSync(file, { force: true });
  };
}

function alreadyRunning(dir: string, holder: string): StackError {
  const pid = holder.split(' ')[0];
  return new StackError('already-running', `flexpush already runs in ${dir} (pid ${pid || 'unknown'})`);
}

function createExclusively(file: string, content: string): boolean {
  // A lock appears with its content or not at all: the content is written first, then linked to its name.
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, content);
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function isHeld(lock: string): boolean {
  const [pidText, startTicks] = lock.split(' ');
  const pid = Number.parseInt(pidText ?? '', 10);
  if (!Number.isSafeInteger(pid) || !isAlive(pid)) return false;
  const ticks = startTicksOf(pid);
  return ticks === undefined || startTicks === undefined || startTicks === '-' || ticks === startTicks;
}

/** Moves a stale lock away; puts it back when it turns out to be a fresh one that was taken meanwhile. */
function removeStale(file: string, stale: string): void {
  const aside = `${file}.stale.${randomBytes(4).toString('hex')}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (readFileSync(aside, 'utf8') !== stale) linkSync(aside, file);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isStackState(value: unknown): value is StackState {
  if (typeof value !== 'object' || value === null) return false;
  const state = value as Partial<StackState>;
  return (
    state.version === 1 &&
    typeof state.keySecret === 'string' &&
    /^[0-9a-f]{64}$/.test(state.keySecret) &&
    Number.isSafeInteger(state.shards) &&
    typeof state.ports === 'object' &&
    typeof state.nodeIds === 'object'
  );
}
