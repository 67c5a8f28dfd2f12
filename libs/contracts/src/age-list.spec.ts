import fc from 'fast-check';
import { AgeList, type Aged } from './age-list';

interface Entry extends Aged<Entry> {
  readonly name: number;
}

function namesIn(list: AgeList<Entry>): number[] {
  const names: number[] = [];
  for (let entry = list.oldest; entry !== undefined; entry = entry.newer) {
    names.push(entry.name);
    expect(entry.newer === undefined || entry.newer.older === entry).toBe(true);
  }
  return names;
}

it('is in the order of the last use', () => {
  const step = fc.record({ does: fc.constantFrom('append', 'renew', 'remove'), name: fc.nat(7) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const list = new AgeList<Entry>();
      const entries = new Map<number, Entry>();
      let model: number[] = [];
      for (const { does, name } of steps) {
        const known = entries.get(name);
        if (does === 'append' && known === undefined) {
          const entry: Entry = { name, older: undefined, newer: undefined };
          entries.set(name, entry);
          list.append(entry);
          model.push(name);
        }
        if (does !== 'append' && known !== undefined) {
          model = model.filter((one) => one !== name);
          if (does === 'renew') {
            list.renew(known);
            model.push(name);
          } else {
            list.remove(known);
            entries.delete(name);
            expect(known).toEqual({ name });
          }
        }
        expect(namesIn(list)).toEqual(model);
      }
    }),
  );
});
