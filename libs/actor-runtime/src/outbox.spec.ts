import { BOUNDS } from '@flexpush/contracts';
import { Outbox } from './outbox';
import { entry } from './testing/records';

const SUBSCRIPTION = 'chat:mira';
const plain = (n: number, subscription = SUBSCRIPTION) => entry(subscription, n, { kind: 'plain' });

describe('Outbox', () => {
  it('keeps one trigger per subscription, the newest (B1)', () => {
    const outbox = Outbox.parse({});
    outbox.add(entry(SUBSCRIPTION, 1));
    outbox.add(entry('chat:other', 1));
    expect(outbox.add(entry(SUBSCRIPTION, 2))).toEqual([]);
    expect(outbox.all().map(({ job }) => job.id)).toEqual(['chat:other:1', 'chat:mira:2']);
  });

  it('drops the oldest plain ones of a subscription past the bound (B2)', () => {
    const outbox = Outbox.parse({});
    outbox.add(plain(1, 'chat:other'));
    const max = BOUNDS.plainNotificationsPerSubscription;
    for (let n = 1; n <= max; n++) expect(outbox.add(plain(n))).toEqual([]);
    expect(outbox.add(plain(max + 1)).map(({ job }) => job.n)).toEqual([1]);
    expect(outbox.size).toBe(max + 1);
    expect(outbox.get('chat:other:1')).toBeDefined();
  });

  it('counts only what is still there', () => {
    const outbox = Outbox.parse({});
    const max = BOUNDS.plainNotificationsPerSubscription;
    for (let n = 1; n <= max; n++) outbox.add(plain(n));
    for (let n = 1; n <= 10; n++) outbox.remove(`${SUBSCRIPTION}:${n}`);
    for (let n = max + 1; n <= max + 10; n++) expect(outbox.add(plain(n))).toEqual([]);
    expect(outbox.add(plain(max + 11)).map(({ job }) => job.n)).toEqual([11]);
  });

  it('is the same after storing and loading, in the order of the numbers', () => {
    const outbox = Outbox.parse({});
    for (const one of [plain(10), plain(9), plain(11), entry('chat:b', 3)]) outbox.add(one);
    const loaded = Outbox.parse(Object.fromEntries(outbox.all().map(({ key, json }) => [key, json])));
    expect(loaded.all()).toEqual(outbox.all());
    expect(loaded.all().map(({ job }) => job.n)).toEqual([3, 9, 10, 11]);
  });

  it('removing what is not there changes nothing', () => {
    const outbox = Outbox.parse({});
    outbox.add(plain(1));
    expect(outbox.remove('chat:mira:2')).toBeUndefined();
    expect(outbox.size).toBe(1);
  });
});
