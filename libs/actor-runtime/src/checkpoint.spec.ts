import { formatCheckpoint, parseCheckpoint } from './checkpoint';

const checkpoint = {
  createdAt: '2026-11-23T00:00:00.123456789Z',
  seq: 12,
  atMs: 1_790_000_000_000,
  foldTimeMs: 1_790_000_000_005,
  batchId: 'actor-1.abc.7.0',
};

describe('checkpoint', () => {
  it('reads what it wrote', () => {
    expect(parseCheckpoint(formatCheckpoint(checkpoint))).toEqual(checkpoint);
  });

  it('ends with the batch id, so that it names the batch', () => {
    expect(formatCheckpoint(checkpoint).endsWith(`|${checkpoint.batchId}`)).toBe(true);
  });

  it.each(['', 'x', 'a|1|2|3', 'a|1|2|3|b|c'])('takes %j for no checkpoint', (text) => {
    expect(parseCheckpoint(text)).toBeUndefined();
  });
});
