export {
  armedTimers,
  dueAtMsOf,
  parseTimerMember,
  timerMember,
  timersOf,
  type TimerKind,
  type TimerName,
} from './timers';
export { needsTranscript, transition, type FoldInput, type TimerFire } from './transition';
export { SESSION_VERSION, type Session } from './session';
export type { Effect, FoldContext, Outcome, PositionedEvent, Reply } from './effects';
export { packedVersion, packSession, unpackSession, type PackedSession } from './packed-session';
