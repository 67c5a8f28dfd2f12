/**
 * Bounds the requests that are under way (I9), and lets the shutdown wait for them.
 *
 * G1. At most `inFlightMax` requests are inside.
 * G2. Once closed, nobody enters.
 */
export class RequestGate {
  private inside = 0;
  private closed = false;
  private whenEmpty: (() => void)[] = [];

  constructor(private readonly inFlightMax: number) {}

  inFlight(): number {
    return this.inside;
  }

  /** Who enters must leave. */
  enter(): 'entered' | 'full' | 'closed' {
    if (this.closed) return 'closed';
    if (this.inside >= this.inFlightMax) return 'full';
    this.inside++;
    return 'entered';
  }

  leave(): void {
    this.inside--;
    if (this.inside > 0) return;
    for (const resolve of this.whenEmpty.splice(0)) resolve();
  }

  close(): void {
    this.closed = true;
  }

  /** Resolves when nobody is inside. */
  async empty(): Promise<void> {
    if (this.inside > 0) await new Promise<void>((resolve) => this.whenEmpty.push(resolve));
  }
}
