import { PassingMap } from '@flexpush/contracts';
import type { PostOutcome } from './channel';

type Tell = (outcome: PostOutcome) => void;

/** One POST that is under way. */
export interface OpenExchange {
  readonly startedAtMs: number;
  /** Ends it from our side; its outcome is told if it was not yet. */
  giveUp(): void;
}

/** Runs `start`. What it tells before it returns is told behind it: the caller has not yet noted the post. */
export function tellBehind(done: Tell, start: (tell: Tell) => void): void {
  let starting = true;
  start((outcome) => {
    if (starting) queueMicrotask(() => done(outcome));
    else done(outcome);
  });
  starting = false;
}

/** The POSTs of a channel that are under way, in the order of their start. Who sends no more than its permits bounds them. */
export class Exchanges<E extends OpenExchange> {
  private readonly open = new PassingMap<number, E>();
  private count = 0;

  constructor(private readonly exchangeTimeoutMs: number) {}

  /** Makes an exchange and sends it; `done` is called once for it, never before this returns. */
  start(done: Tell, { make, send }: { make: (tell: Tell) => E; send: (exchange: E) => void }): void {
    tellBehind(done, (tell) => {
      const id = this.count++;
      const exchange = make((outcome) => {
        this.open.delete(id);
        tell(outcome);
      });
      this.open.set(id, exchange);
      send(exchange);
    });
  }

  /** Gives up those that have lasted too long. */
  sweep(nowMs: number): void {
    for (const exchange of this.open.values()) {
      if (nowMs - exchange.startedAtMs < this.exchangeTimeoutMs) return;
      exchange.giveUp();
    }
  }

  [Symbol.iterator](): Iterator<E> {
    return this.open.values();
  }
}
