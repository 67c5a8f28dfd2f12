import fc from 'fast-check';
import { RecentMap } from './recent-map';

const ENTRIES_MAX = 10;
const AGE_MAX_MS = 100;

describe('RecentMap', () => {
  it('has what was set lately, nothing that is too old, and never more than its bound', () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 15 }), passMs: fc.nat(10) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const map = new RecentMap<number>({ entriesMax: ENTRIES_MAX, ageMaxMs: AGE_MAX_MS });
        /** In the order of `set`. */
        const model = new Map<string, { value: number; atMs: number }>();
        let nowMs = 0;
        steps.forEach(({ key, passMs }, value) => {
          nowMs += passMs;
          map.set(String(key), value, nowMs);
          model.delete(String(key));
          model.set(String(key), { value, atMs: nowMs });
          if (value % 3 === 0) map.sweep(nowMs);
          expect(map.size).toBeLessThanOrEqual(ENTRIES_MAX);
          const latest = new Map([...model].slice(-ENTRIES_MAX));
          for (const name of model.keys()) {
            const entry = latest.get(name);
            const isYoung = entry !== undefined && nowMs - entry.atMs <= AGE_MAX_MS;
            expect(map.get(name, nowMs)).toBe(isYoung ? entry.value : undefined);
          }
        });
      }),
    );
  });

  it('keeps nothing when all of it has grown too old', () => {
    const map = new RecentMap<string>({ entriesMax: ENTRIES_MAX, ageMaxMs: AGE_MAX_MS });
    for (let n = 0; n < 8; n++) map.set(`key-${n}`, 'value', n);
    map.sweep(AGE_MAX_MS);
    expect(map.size).toBeGreaterThan(0);
    map.sweep(AGE_MAX_MS + 8);
    expect(map.size).toBe(0);
  });
});
