import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();

/** Makes a folder that goes with this process, also when a signal has it exit before `removeTemporaryFolder`. */
export function makeTemporaryFolder(prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  if (folders.size === 0) process.once('exit', removeAll);
  folders.add(path);
  return path;
}

/** With everything in it; nobody may write there any more. */
export function removeTemporaryFolder(path: string): void {
  folders.delete(path);
  if (folders.size === 0) process.off('exit', removeAll);
  rmSync(path, { recursive: true, force: true });
}

function removeAll(): void {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
}
