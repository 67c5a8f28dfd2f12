import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './paths';

/**
 * Renders `deploy/<name>`: comment lines stay as they are, `@NAME@` elsewhere becomes its value.
 * Throws for a placeholder without a value, and for a value that would break out of its line.
 */
export function renderTemplate(
  name: 'nats.conf' | 'redis.conf',
  values: Readonly<Record<string, string>>,
): string {
  const template = readFileSync(join(repositoryRoot, 'deploy', name), 'utf8');
  return template
    .split('\n')
    .map((line) => (line.startsWith('#') ? line : renderLine(name, line, values)))
    .join('\n');
}

function renderLine(name: string, line: string, values: Readonly<Record<string, string>>): string {
  return line.replace(/@([A-Z_]+)@/g, (_, placeholder: string) => {
    const value = values[placeholder];
    if (value === undefined) throw new Error(`deploy/${name} has the unknown placeholder @${placeholder}@`);
    if (/[\n\r]/.test(value)) throw new Error(`the value of @${placeholder}@ holds a line break`);
    return value;
  });
}
