export * from './clock';
export * from './config';
export { LogBound } from './log-bound';
export * from './logger';
export { MessageIntake } from './message-intake';
export * from './operations';
export * from './service';
