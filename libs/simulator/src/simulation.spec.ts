import { planOf } from './plan';
import { simulate } from './simulation';

it('a cluster without faults keeps every promise', async () => {
  for (let seed = 1; seed <= 5; seed++) expect((await simulate(planOf(seed, []))).violations).toEqual([]);
});
