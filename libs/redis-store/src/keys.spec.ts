import { keys } from './keys';

describe('keys', () => {
  it('puts every key of a shard under one hash tag, so that one script may touch them on a cluster', () => {
    const shard = 17;
    const all = Object.values(keys).map((key) => key(shard, 'session-1'));
    for (const key of all) expect(key).toMatch(/^\{s17\}:/);
    expect(new Set(all).size).toBe(all.length);
  });
});
