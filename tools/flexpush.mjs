#!/usr/bin/env node
// The command `flexpush`: does the set-up that a fresh clone needs, then runs the command line in this same process,
// so that signals reach it directly.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, SetupError, setUp } from './setup.mjs';

const entry = join(root, 'apps', 'cli', 'dist', 'main.js');
const args = process.argv.slice(2);

/** Help needs no build once there is one, and no servers ever. */
const wantsHelp = args.length === 0 || args[0] === 'help' || args.includes('--help') || args.includes('-h');
/** Commands that start servers of their own; the others talk to what runs already. */
const startsServers = ['up', 'demo', 'bench', 'drill', 'parity'].includes(args[0] ?? '');

try {
  if (!wantsHelp || !existsSync(entry)) await setUp({ servers: startsServers && !wantsHelp });
  await import(pathToFileURL(entry).href);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`error: ${error.message}\n`);
  process.exitCode = 1;
}
