export { check } from './check';
export type { ChatHistory, History } from './history';
export { narrate } from './narrate';
export { faultKinds, planOf, type Fault, type FaultKind, type Plan } from './plan';
export { shrink } from './shrink';
export { simulate, type Run } from './simulation';
export { switches, type Switch } from './switches';
export type { Terms, Violation } from './terms';
