import { LogBound } from './log-bound';

describe('LogBound', () => {
  it('passes a few lines per window and tells with the next how many it held back', () => {
    const bound = new LogBound({ linesMax: 2, windowMs: 1_000 });
    expect([0, 1, 2, 3, 1_000, 1_001].map((nowMs) => bound.pass(nowMs)?.heldBack)).toEqual([
      0,
      0,
      undefined,
      undefined,
      2,
      0,
    ]);
  });
});
