import type { DeliveryJob } from './delivery-job';
import type { CircuitBreaker } from './circuit-breaker';
import type { Channel } from './channel';
import { WaitingLine } from './waiting-line';

/** The jobs of one subscription that wait, and where it stands. */
export interface Subscription {
  key: string;
  queue: DeliveryJob[];
  /** `waiting`: in a destination's line. `flying`: one of its jobs is in flight. */
  status: 'idle' | 'waiting' | 'flying';
  /** Grows with every lining up; sequential delivery goes by it. */
  linedUpAt: number;
}

/** One origin with one set of connection settings: its way out, its breaker, and the subscriptions that wait for a permit, each with its first job. */
export class Destination {
  readonly line = new WaitingLine<Subscription>();
  inFlight = 0;

  constructor(
    readonly name: string,
    readonly channel: Channel,
    readonly breaker: CircuitBreaker,
    public usedAtMs: number,
  ) {}

  get idle(): boolean {
    return this.inFlight === 0 && this.line.length === 0;
  }
}
