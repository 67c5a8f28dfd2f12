import { lossOf } from './restate-losses';

const KILLED_AT_MS = 10_000;

it('counts a push only when its event was due after the kill', () => {
  const told = [
    { dueAtMs: 9_990, latencyMs: 20 },
    { dueAtMs: 10_400, latencyMs: 1_900 },
    { dueAtMs: 10_100, latencyMs: 2_300 },
  ];
  expect(lossOf(told, KILLED_AT_MS)).toEqual({ gapMs: 2_300, backlogMs: 2_400, untold: 0 });
});

it('takes the last late push for the end of the backlog, also of an event from before', () => {
  const told = [
    { dueAtMs: 9_900, latencyMs: 3_100 },
    { dueAtMs: 10_500, latencyMs: 1_000 },
    { dueAtMs: 15_000, latencyMs: 5 },
  ];
  expect(lossOf(told, KILLED_AT_MS)).toEqual({ gapMs: 1_500, backlogMs: 3_000, untold: 0 });
});

it('has no gap when nothing is pushed any more, and tells how many were not told', () => {
  const told = [
    { dueAtMs: 9_900, latencyMs: undefined },
    { dueAtMs: 10_500, latencyMs: undefined },
  ];
  expect(lossOf(told, KILLED_AT_MS)).toEqual({ gapMs: null, backlogMs: 0, untold: 2 });
});
