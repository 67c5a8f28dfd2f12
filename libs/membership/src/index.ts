export * from './failure-detector';
export * from './followed-view';
export * from './gms-node-choice';
export * from './node-registry';
export * from './rendezvous';
