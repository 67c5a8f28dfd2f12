import { delimiter } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment that children inherit, so that PATH, HOME and NODE_OPTIONS mean the same to them. */
export function inheritedEnvironment(): Environment {
  return { ...process.env };
}

/** Folders in which executables are looked for. Debian puts nats-server into /usr/sbin, which users lack. */
export function executableFolders(): string[] {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...new Set([...onPath, '/usr/local/sbin', '/usr/sbin', '/sbin'])];
}
