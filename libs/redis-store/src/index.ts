export * from './keys';
export * from './redis';
export * from './redis-facts';
export * from './shard-facts';
export * from './state-store';
export * from './timer-store';
