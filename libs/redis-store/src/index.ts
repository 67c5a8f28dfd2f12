export * from './keys';
export * from './redis';
export * from './state-store';
export * from './timer-store';
