/**
 * Bounds how often one kind of fact is logged, so that a misbehaving sender cannot fill the disk. What was held back
 * is told with the next line that is let through.
 */
export class LogBound {
  private windowStartMs = Number.NEGATIVE_INFINITY;
  private lines = 0;
  private heldBack = 0;

  constructor(private readonly options: { linesMax: number; windowMs: number }) {}

  /** How many lines were held back since the last one, or undefined when this one is to be held back too. */
  pass(nowMs: number): { heldBack: number } | undefined {
    if (nowMs - this.windowStartMs >= this.options.windowMs) {
      this.windowStartMs = nowMs;
      this.lines = 0;
    }
    if (this.lines >= this.options.linesMax) {
      this.heldBack++;
      return undefined;
    }
    this.lines++;
    const { heldBack } = this;
    this.heldBack = 0;
    return { heldBack };
  }
}
