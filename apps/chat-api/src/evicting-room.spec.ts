import { EvictingRoom } from './evicting-room';
import { SpoolBudget } from './upload-spool';

describe('EvictingRoom', () => {
  it('sends the one away that has been there longest, and nobody who has left', () => {
    const room = new EvictingRoom(2);
    const evicted: string[] = [];
    const enter = (name: string) => room.enter(() => evicted.push(name));
    const leaveA = enter('a');
    enter('b');
    leaveA();
    enter('c');
    expect(evicted).toEqual([]);
    const leaveD = enter('d');
    expect(evicted).toEqual(['b']);
    enter('e');
    expect(evicted).toEqual(['b', 'c']);
    leaveD();
    leaveD();
    expect(room.size()).toBe(1);
  });
});

describe('SpoolBudget', () => {
  it('leaves half of it to other addresses, and has all of it again when it was given back', () => {
    const budget = new SpoolBudget(10);
    expect(budget.take('a', 5)).toBe(true);
    expect(budget.take('a', 1)).toBe(false);
    expect(budget.take('b', 5)).toBe(true);
    expect(budget.take('c', 1)).toBe(false);
    budget.free('a', 5);
    expect(budget.take('a', 5)).toBe(true);
  });
});
