import { CircuitBreaker } from './circuit-breaker';

const opened = () => {
  const breaker = new CircuitBreaker({ failuresMax: 2, probeAfterMs: 1_000 });
  breaker.failed('admitted', 0);
  breaker.failed('admitted', 100);
  return breaker;
};

it('B1: opens after consecutive failures only', () => {
  const breaker = new CircuitBreaker({ failuresMax: 2, probeAfterMs: 1_000 });
  breaker.failed('admitted', 0);
  breaker.succeeded();
  breaker.failed('admitted', 0);
  expect(breaker.admit(0)).toBe('admitted');
  breaker.failed('admitted', 0);
  expect(breaker.admit(999)).toBe('refused');
});

it('B2: lets one probe through, and waits again when it fails', () => {
  const breaker = opened();
  expect(breaker.admit(1_099)).toBe('refused');
  expect(breaker.admit(1_100)).toBe('probe');
  expect(breaker.admit(9_000)).toBe('refused');
  breaker.failed('probe', 9_000);
  expect(breaker.admit(9_999)).toBe('refused');
  expect(breaker.admit(10_000)).toBe('probe');
});

it('B3: a late failure from before the opening neither ends the probe nor moves it', () => {
  const breaker = opened();
  breaker.failed('admitted', 900);
  expect(breaker.admit(1_100)).toBe('probe');
  breaker.failed('admitted', 1_200);
  expect(breaker.status).toBe('probing');
});

it('B3: any success closes it', () => {
  const breaker = opened();
  breaker.succeeded();
  expect(breaker.admit(200)).toBe('admitted');
});
