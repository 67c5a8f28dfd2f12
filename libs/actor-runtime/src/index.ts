export * from './checkpoint';
export { Dispatcher, type DispatcherSettings } from './dispatcher';
export { LossWatch } from './loss-watch';
export { LogClock, MeasuredFires } from './log-clock';
export { Ownership, type OwnershipSettings } from './ownership';
export * from './ports';
export {
  SessionCalls,
  type CallClock,
  type CallOutcome,
  type CallRecord,
  type CallsOptions,
} from './session-calls';
export { type WholeReply } from './reply-parts';
export { ShardSplit, type PeerBus } from './shard-split';
export { TimerClaimer, type ClaimMeter, type DueStore, type FireLog, type Timer } from './timer-claimer';
export { ProgressWatch, type ProgressSettings } from './progress-watch';
export { BatchWaves } from './batch-waves';
export { RebuildTurns } from './rebuild-turns';
export { Watchdog, type WatchdogSettings } from './watchdog';
export { optionsChanged, ShardActor, type ShardActorDeps, type ShardSettings } from './shard-actor';
