/** What a value must be: itself, a pattern for text, a check, or an object whose named fields must fit. */
export type Wanted = unknown;

type Check = (value: unknown) => boolean;

/** A check with a name, which differences show. */
export function is(name: string, check: Check): Check {
  return Object.defineProperty(check, 'name', { value: name });
}

export const anInteger = is('an integer', (value) => Number.isInteger(value));
export const aText = is('text', (value) => typeof value === 'string' && value !== '');
export const absent = is('absent', (value) => value === undefined);

const SHOWN_CHARS_MAX = 160;

/**
 * The first place where a value is not as wanted, in words; undefined: it fits. Fields that are not named may be there,
 * because the original's order and further fields are not fixed (CONTRACT 1.3).
 */
export function difference(value: unknown, wanted: Wanted, place = ''): string | undefined {
  const tell = (what: string) => `${place || 'the answer'}: wanted ${what}, got ${show(value)}`;
  if (typeof wanted === 'function') return (wanted as Check)(value) ? undefined : tell(wanted.name);
  if (wanted instanceof RegExp)
    return typeof value === 'string' && wanted.test(value) ? undefined : tell(String(wanted));
  if (typeof wanted !== 'object' || wanted === null) return value === wanted ? undefined : tell(show(wanted));
  if (Array.isArray(wanted)) {
    if (!Array.isArray(value)) return tell('a list');
    if (value.length !== wanted.length) return tell(`${wanted.length} in the list`);
  }
  if (typeof value !== 'object' || value === null) return tell('an object');
  for (const [name, part] of Object.entries(wanted)) {
    const found = difference(
      (value as Record<string, unknown>)[name],
      part,
      place ? `${place}.${name}` : name,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Exactly these fields, in any order. */
export function fieldsDiffer(value: unknown, names: readonly string[], place: string): string | undefined {
  const found = typeof value === 'object' && value !== null ? Object.keys(value).sort() : [];
  const wanted = [...names].sort();
  return found.join() === wanted.join()
    ? undefined
    : `${place}: wanted the fields ${wanted.join(', ')}, got ${found.join(', ') || 'none'}`;
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}...` : text;
}
