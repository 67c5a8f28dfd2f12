export type Admission = 'admitted' | 'probe' | 'refused';

type BreakerState =
  { status: 'closed'; failures: number } | { status: 'open'; sinceMs: number } | { status: 'probing' };

/**
 * Keeps a destination that cannot be reached from holding up work. It counts connection-level failures and time-outs,
 * never HTTP statuses: a server that answers 500 is alive.
 *
 * B1. It opens after `failuresMax` consecutive failures and then refuses everything for `probeAfterMs`.
 * B2. After that exactly one probe is let through; while it is under way everything else is refused.
 * B3. Any success closes it. A late failure of a request from before the opening changes nothing.
 */
export class CircuitBreaker {
  private state: BreakerState = { status: 'closed', failures: 0 };

  constructor(private readonly bounds: { failuresMax: number; probeAfterMs: number }) {}

  get status(): BreakerState['status'] {
    return this.state.status;
  }

  /** Whether a request would be refused now; asks without taking the probe. */
  refuses(nowMs: number): boolean {
    if (this.state.status === 'closed') return false;
    return this.state.status === 'probing' || nowMs - this.state.sinceMs < this.bounds.probeAfterMs;
  }

  admit(nowMs: number): Admission {
    if (this.state.status === 'closed') return 'admitted';
    if (this.refuses(nowMs)) return 'refused';
    this.state = { status: 'probing' };
    return 'probe';
  }

  succeeded(): void {
    if (this.state.status === 'closed') this.state.failures = 0;
    else this.state = { status: 'closed', failures: 0 };
  }

  /** `admission` is what `admit` said of this request. */
  failed(admission: Admission, nowMs: number): void {
    if (admission === 'probe') {
      this.state = { status: 'open', sinceMs: nowMs };
      return;
    }
    if (this.state.status !== 'closed') return;
    this.state.failures += 1;
    if (this.state.failures >= this.bounds.failuresMax) this.state = { status: 'open', sinceMs: nowMs };
  }
}
