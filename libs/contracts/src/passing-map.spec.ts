import fc from 'fast-check';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PassingMap } from './passing-map';

describe('PassingMap', () => {
  it('does what a Map does', () => {
    const key = fc.integer({ min: 0, max: 7 });
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), key, value: fc.integer() }),
      fc.record({ kind: fc.constant('delete' as const), key }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const map = new PassingMap<number, number>();
        const model = new Map<number, number>();
        for (const one of steps) {
          if (one.kind === 'delete') expect(map.delete(one.key)).toBe(model.delete(one.key));
          else {
            map.set(one.key, one.value);
            model.set(one.key, one.value);
          }
        }
        expect([...map]).toEqual([...model]);
        expect([...map.keys()]).toEqual([...model.keys()]);
        expect([...map.values()]).toEqual([...model.values()]);
        expect(map.size).toBe(model.size);
        for (let n = 0; n < 8; n++) {
          expect(map.get(n)).toBe(model.get(n));
          expect(map.has(n)).toBe(model.has(n));
        }
      }),
    );
  });

  it('goes on when entries come and go under the eyes of who walks through it', () => {
    const map = new PassingMap<number, string>();
    map.set(1, 'one');
    map.set(2, 'two');
    map.set(3, 'three');
    const seen: string[] = [];
    for (const [key, value] of map) {
      seen.push(value);
      if (key === 1) map.delete(2);
      if (key === 3) map.set(4, 'four');
    }
    expect(seen).toEqual(['one', 'three', 'four']);
  });

  it('lets what has gone be collected while it is young, which a Map does not', () => {
    const grown = {
      map: grownBy(new Map<number, unknown>()),
      passing: grownBy(new PassingMap<number, unknown>()),
    };
    // 10,000 values of more than a kilobyte each.
    expect(grown.map).toBeGreaterThan(4_000_000);
    expect(grown.passing).toBeLessThan(1_000_000);
  });
});

interface Entries {
  set(key: number, value: unknown): unknown;
  delete(key: number): boolean;
}

/** Bytes of the old generation that are there after so much has passed through, and only young collections. */
function grownBy(entries: Entries): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  // One entry in a table that has grown old.
  entries.set(-1, {});
  collect();
  collect();
  const before = oldBytes();
  for (let n = 0; n < 10_000; n++) {
    entries.set(n, new Array(150).fill(n));
    if (n >= 50) entries.delete(n - 50);
    if (n % 1_000 === 0) collect({ type: 'minor' });
  }
  return oldBytes() - before;
}

function oldBytes(): number {
  const old = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space');
  return old?.space_used_size ?? 0;
}
