/** What the checker knows of the contract and of the run, and nothing of how the system works. */
export interface Terms {
  resendDelayMs: number;
  attemptsMax: number;
  /** How long after a confirm a trigger may still arrive that was on its way. */
  onItsWayMs: number;
  /** By how much clocks were apart: schedules may shift by it. */
  clocksApartMs: number;
  /** In the end, when all is well again, a push may be late by so much. */
  lateMs: number;
  /** What was acknowledged in these stretches may be lost, unless somebody has seen it: the log has lost it in a power cut. */
  lostFromLog: readonly { fromMs: number; toMs: number }[];
  /** When the last message of every chat was said. */
  lastSaidAtMs: number;
}

export interface Violation {
  /** Of the invariants I1-I8. */
  rule: string;
  chatId: string;
  atMs: number;
  what: string;
}
