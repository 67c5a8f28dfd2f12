import fc from 'fast-check';

type Json = Record<string, unknown> | unknown[];

/** Names that mean something to objects, to subjects or to nobody. None of them is a field that may be shown. */
const NAMES = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  'a.b',
  '*',
  '>',
  'Text',
  'extra',
];
const SCALARS: unknown[] = [
  ...[null, true, false, 0, -1, -0, 0.5, 1e308, -1e308, 2 ** 53, Number.MAX_SAFE_INTEGER, 4_294_967_296],
  ...['', ' ', '0', '-1', 'NaN', '1e9', 'true', '*', '>', 'a.b', 'a b', '{s1}:x', '\0', '\ud800', '\udc00x'],
  ...['__proto__', 'constructor', '../..', '%', '\r\n', '\u2028', 'a:b:c', 'é'.repeat(64), 'x'.repeat(1_000)],
];

/** Values as broken, old or malicious senders write them: any type, any nesting, names that objects know. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SCALARS) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...SCALARS), { maxLength: 5 }) },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...SCALARS)), { maxLength: 4 })
      .map((fields) => Object.fromEntries(fields)),
  },
  { weight: 1, arbitrary: fc.constantFrom(2, 9, 40, 600).map(nested) },
);

/** What becomes of one place in a lawful value. */
interface Damage {
  /** Modulo the number of places. */
  place: number;
  kind: 'replace' | 'remove' | 'rename' | 'wrap' | 'repeat' | 'add';
  value: unknown;
  name: string;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  place: fc.nat(),
  kind: fc.constantFrom('replace', 'replace', 'remove', 'rename', 'wrap', 'repeat', 'add'),
  value: hostileValue,
  name: fc.constantFrom(...NAMES),
});

/** Lawful values with one to three places damaged: nearly right is what gets furthest. */
export function damaged(lawful: readonly object[]): fc.Arbitrary<unknown> {
  return fc
    .tuple(fc.constantFrom(...lawful), fc.array(damage, { minLength: 1, maxLength: 3 }))
    .map(([value, damages]) => {
      let root: unknown = structuredClone(value);
      for (const one of damages) root = withDamage(root, one);
      return root;
    });
}

/** Texts of which no schema knows anything, or nearly the right ones. */
export function hostileText(lawful: readonly object[]): fc.Arbitrary<string> {
  const texts = lawful.map((value) => JSON.stringify(value));
  const cut = fc
    .tuple(fc.constantFrom(...texts), fc.nat())
    .map(([text, at]) => text.slice(0, at % text.length));
  const changed = fc
    .tuple(fc.constantFrom(...texts), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([text, at, by]) => text.slice(0, at % text.length) + by + text.slice((at % text.length) + 1));
  return fc.oneof(
    { weight: 6, arbitrary: damaged(lawful).map((value) => JSON.stringify(value) ?? '') },
    { weight: 1, arbitrary: cut },
    { weight: 2, arbitrary: changed },
    { weight: 1, arbitrary: hostileValue.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('['.repeat(10_000), '{"a":'.repeat(5_000), '1e999', '{"v":1,"v":2}'),
    },
  );
}

const encoder = new TextEncoder();

/** The same as bytes, and bytes that are no text. */
export function hostileBytes(lawful: readonly object[]): fc.Arbitrary<Uint8Array> {
  const texts = hostileText(lawful).map((text) => encoder.encode(text));
  const flipped = fc.tuple(texts, fc.nat(), fc.nat(255)).map(([bytes, at, by]) => {
    const copy = Uint8Array.from(bytes);
    if (copy.length > 0) copy[at % copy.length] = by;
    return copy;
  });
  return fc.oneof(
    { weight: 8, arbitrary: texts },
    { weight: 1, arbitrary: flipped },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  );
}

/**
 * Listens for errors that nobody caught. `none` waits until all that is under way has had its turn, and throws what has
 * come; `stop` must be called.
 */
export function watchUncaught(): { none(): Promise<void>; stop(): void } {
  const seen: unknown[] = [];
  const note = (error: unknown) => void seen.push(error);
  process.on('uncaughtException', note);
  process.on('unhandledRejection', note);
  return {
    async none() {
      await new Promise((resolve) => setImmediate(resolve));
      if (seen.length > 0) throw new Error(`${seen.length} errors were not caught`, { cause: seen[0] });
    },
    stop() {
      process.off('uncaughtException', note);
      process.off('unhandledRejection', note);
    },
  };
}

function nested(depth: number): unknown {
  let value: unknown = 'deep';
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { deep: value };
  return value;
}

function withDamage(root: unknown, { place, kind, value, name }: Damage): unknown {
  const places = placesOf(root);
  const at = places[place % Math.max(1, places.length)];
  if (!at) return value;
  const [parent, key] = at;
  const old = (parent as Record<string, unknown>)[key];
  switch (kind) {
    case 'replace':
      put(parent, key, value);
      break;
    case 'remove':
      delete (parent as Record<string, unknown>)[key];
      break;
    case 'rename':
      delete (parent as Record<string, unknown>)[key];
      put(parent, name, old);
      break;
    case 'wrap':
      put(parent, key, place % 2 === 0 ? [old] : Object.fromEntries([[name, old]]));
      break;
    case 'repeat':
      put(
        parent,
        key,
        Array.from({ length: 1 + (place % 20) }, () => old),
      );
      break;
    case 'add':
      put(parent, name, value);
      break;
    default:
      kind satisfies never;
  }
  return root;
}

/** An assignment to `__proto__` would change the prototype instead. */
function put(parent: Json, key: string, value: unknown): void {
  if (Array.isArray(parent) && !/^\d+$/.test(key)) parent.push(value);
  else Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}

const PLACES_MAX = 200;

function placesOf(root: unknown): [Json, string][] {
  const places: [Json, string][] = [];
  const open = [root];
  for (let value = open.shift(); value !== undefined && places.length < PLACES_MAX; value = open.shift()) {
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      places.push([value as Json, key]);
      if (typeof child === 'object' && child !== null) open.push(child);
    }
  }
  return places;
}
