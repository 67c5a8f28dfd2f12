import fc from 'fast-check';
import { SessionCache, unknownSession } from './session-cache';

const SESSIONS_MAX = 5;

describe('SessionCache', () => {
  it('drops the least recently used sessions, and only when it is trimmed', () => {
    const step = fc.record({
      act: fc.constantFrom('get', 'set', 'delete', 'trim'),
      id: fc.integer({ min: 0, max: 9 }).map(String),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const cache = new SessionCache(SESSIONS_MAX);
        /** The least recently used first. */
        let model: string[] = [];
        for (const { act, id } of steps) {
          const isThere = model.includes(id);
          if (act === 'trim') {
            cache.trim();
            model = model.slice(-SESSIONS_MAX);
          } else if (act === 'set') {
            cache.set(id, unknownSession());
            if (!isThere) model.push(id);
          } else if (act === 'delete') {
            cache.delete(id);
            model = model.filter((one) => one !== id);
          } else {
            expect(cache.get(id) !== undefined).toBe(isThere);
            if (isThere) model = [...model.filter((one) => one !== id), id];
          }
          expect(cache.size).toBe(model.length);
          for (let n = 0; n < 10; n++) expect(cache.has(String(n))).toBe(model.includes(String(n)));
        }
      }),
    );
  });

  it('gives what was set last', () => {
    const cache = new SessionCache(SESSIONS_MAX);
    const [first, second] = [unknownSession(), unknownSession()];
    cache.set('a', first);
    cache.set('a', second);
    expect(cache.get('a')).toBe(second);
  });
});
