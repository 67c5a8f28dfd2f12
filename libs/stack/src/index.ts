export type { Environment } from './config';
export { StackError, type StackErrorCode } from './errors';
export { findExecutable } from './executable';
export { ManagedProcess, type ExitListener, type ProcessExit, type ProcessSpec } from './managed-process';
export { DEFAULT_SHARDS, NatsServer, renderNatsConf, startNats, type NatsServerOptions } from './nats-server';
export { defaultStackDir, repositoryRoot } from './paths';
export { freePort, isPortFree } from './port';
export { isHttpReady, waitHttpReady } from './probe';
export { RedisServer, renderRedisConf, startRedis, type RedisServerOptions } from './redis-server';
export {
  commonEnvNames,
  entryOfKind,
  kindEnvNames,
  serviceKinds,
  ServiceProcess,
  startService,
  type ServiceKind,
  type ServiceOptions,
} from './service-process';
export { isStackError, prepareStack, Stack, startStack } from './stack';
export { readRun, type RunFile } from './stack-files';
export type { AskedPorts, StackEvent, StackOptions } from './stack-options';
