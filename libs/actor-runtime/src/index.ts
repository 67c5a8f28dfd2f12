export * from './checkpoint';
export { Dispatcher, type DispatcherSettings } from './dispatcher';
export { Ownership, type OwnershipSettings } from './ownership';
export * from './ports';
export { optionsChanged, ShardActor, type ShardActorDeps, type ShardSettings } from './shard-actor';
