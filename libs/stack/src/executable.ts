import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { executableFolders } from './config';
import { StackError } from './errors';

/** Full path of an installed program. Throws `executable-missing` with what to install. */
export function findExecutable(name: 'redis-server' | 'nats-server'): string {
  for (const folder of executableFolders()) {
    const path = join(folder, name);
    if (isExecutable(path)) return path;
  }
  throw new StackError(
    'executable-missing',
    `${name} was not found on the PATH. Install it, on Debian with: apt-get install ${name}`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there or not ours to run: the next folder may have it.
    return false;
  }
}
