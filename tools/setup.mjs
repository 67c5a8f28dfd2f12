// Brings a fresh clone into a state in which the programs can run. Only what Node itself has is used here, because
// nothing is installed yet when this runs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const NODE_MIN = [20, 19];
const stampFile = join(root, 'node_modules', '.flexpush-setup');
const lockFile = join(root, '.flexpush', 'setup.lock');
const LOCK_POLL_MS = 200;
const LOCK_WAIT_MAX_MS = 15 * 60_000;

/** A failure that a person can mend; its message is all they need to see. */
export class SetupError extends Error {}

/**
 * Installs packages, builds, and looks for the servers (`servers: false` leaves those out). Says nothing on standard
 * output, and nothing at all when there is nothing to do. Throws a SetupError.
 */
export async function setUp({ servers = true } = {}) {
  checkNode();
  await withLock(async () => {
    if (!areModulesCurrent()) await installModules();
    await build();
    if (servers) await provideServers();
  });
}

export function progress(line) {
  process.stderr.write(`[set-up] ${line}\n`);
}

/** Runs a program; its output goes to standard error. Resolves with the exit code, 127 when it cannot be started. */
export function run(command, args, { env = process.env, stdio = ['ignore', 2, 2] } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio });
    child.once('error', (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      resolve(127);
    });
    child.once('close', (code, signal) => resolve(code ?? (signal === null ? 1 : 130)));
  });
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  throw new SetupError(
    `Node ${NODE_MIN.join('.')} or newer is needed, this is ${process.versions.node}. See https://nodejs.org/`,
  );
}

/** True when node_modules holds what package-lock.json asks for. */
function areModulesCurrent() {
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const hash = createHash('sha256').update(lockText).digest('hex');
  if (readIfThere(stampFile) === hash) return true;
  // Somebody may have installed by hand. npm keeps a list of what it has installed, so compare that.
  const installedText = readIfThere(join(root, 'node_modules', '.package-lock.json'));
  if (installedText === undefined || !isInstalled(JSON.parse(lockText), JSON.parse(installedText)))
    return false;
  writeFileSync(stampFile, hash);
  return true;
}

function isInstalled(lock, installed) {
  const there = installed.packages ?? {};
  return Object.entries(lock.packages ?? {}).every(([path, wanted]) => {
    if (path === '') return true;
    const found = there[path];
    // Packages for other platforms are optional and rightly absent.
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true;
    return found.version === wanted.version && found.link === wanted.link;
  });
}

async function installModules() {
  progress('installing packages (npm ci)');
  // The lock may name another registry's host; npm_config_* of a surrounding npm run stay in force.
  const code = await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (code !== 0) throw new SetupError(`npm ci failed (exit code ${code}); its output is above`);
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8');
  writeFileSync(stampFile, createHash('sha256').update(lockText).digest('hex'));
}

async function build() {
  if (!existsSync(join(root, 'apps', 'cli', 'dist', 'main.js'))) progress('building (tsc --build)');
  const code = await run(process.execPath, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '--build',
  ]);
  if (code !== 0) throw new SetupError('the build failed; the errors are above');
}

async function provideServers() {
  const missing = ['redis-server', 'nats-server'].filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) {
    throw new SetupError(
      `${missing.join(' and ')} not found. Install ${missing.length === 1 ? 'it' : 'them'}, on Debian or Ubuntu with: sudo apt-get install ${missing.join(' ')}`,
    );
  }
  await installServers(missing);
  const still = missing.filter((name) => findProgram(name) === undefined);
  if (still.length > 0)
    throw new SetupError(`${still.join(' and ')} could not be installed; see the output above`);
}

/**
 * Debian starts a service when it installs it. That start would take the ports 6379 and 4222, and fails where there
 * is no systemd; policy-rc.d, unless there is one already, says no to it for as long as the installation takes.
 */
async function installServers(names) {
  progress(`installing ${names.join(' and ')} (apt-get)`);
  const policy = '/usr/sbin/policy-rc.d';
  const isOurPolicy = !existsSync(policy);
  const removePolicy = () => isOurPolicy && rmSync(policy, { force: true });
  // Ctrl-C must not leave the file behind, or no later package could start its service.
  const stop = (signal) => {
    removePolicy();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  if (isOurPolicy) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    const updated = await run('apt-get', ['update', '-qq'], { env });
    if (updated !== 0) progress('apt-get update failed; trying with the lists that are there');
    // The exit code is not looked at: what counts is whether the programs are there afterwards.
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { env });
  } finally {
    removePolicy();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Debian puts nats-server into /usr/sbin, which is not on the PATH of users. */
function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        // The next folder may have it.
        return false;
      }
    });
}

/** Two starts at once must not install or build into each other. The lock names its holder: pid and start time. */
async function withLock(work) {
  mkdirSync(dirname(lockFile), { recursive: true });
  const draft = `${lockFile}.${process.pid}`;
  writeFileSync(draft, `${process.pid} ${startTicksOf(process.pid)}`);
  const deadlineMs = performance.now() + LOCK_WAIT_MAX_MS;
  let isTold = false;
  try {
    while (!tryLink(draft)) {
      const lock = readIfThere(lockFile);
      if (lock === undefined) continue;
      if (!isHeld(lock)) {
        removeStale(lock);
        continue;
      }
      const holder = lock.split(' ')[0];
      if (performance.now() > deadlineMs) {
        throw new SetupError(`waited too long for process ${holder}; remove ${lockFile}`);
      }
      if (!isTold) progress(`waiting for the set-up of process ${holder}`);
      isTold = true;
      await sleep(LOCK_POLL_MS);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  try {
    await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** A pid may have been given to a stranger since; the start time tells. */
function isHeld(lock) {
  const [pid, ticks] = lock.split(' ');
  return isAlive(Number(pid)) && startTicksOf(pid) === ticks;
}

/** Moves a stale lock away; puts it back when it turns out to be a fresh one that was taken meanwhile. */
function removeStale(stale) {
  const aside = `${lockFile}.stale.${process.pid}`;
  try {
    renameSync(lockFile, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (readIfThere(aside) !== stale) tryLink(aside);
  rmSync(aside, { force: true });
}

/** Clock ticks from boot to the start of a process; `-` where there is no /proc or no such process. */
function startTicksOf(pid) {
  const stat = readIfThere(`/proc/${pid}/stat`);
  // The second field is the command in brackets and may hold blanks; count from the last bracket.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-';
}

/** A link appears with its content or not at all, so nobody reads a lock without a pid. */
function tryLink(draft) {
  try {
    linkSync(draft, lockFile);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
