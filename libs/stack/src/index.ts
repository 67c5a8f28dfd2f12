export type { Environment } from './config';
export { StackError, type StackErrorCode } from './errors';
export { findExecutable } from './executable';
export { ManagedProcess, type ExitListener, type ProcessExit, type ProcessSpec } from './managed-process';
export { freeNatsMembers, NatsGroup, prepareNatsGroup } from './nats-group';
export { DEFAULT_SHARDS, NatsServer, renderNatsConf, startNats, type NatsServerOptions } from './nats-server';
export { defaultStackDir, repositoryRoot } from './paths';
export { freePort, isPortFree } from './port';
export { isHttpReady, waitHttpReady } from './probe';
export { redisCommand, type RedisReply } from './redis-command';
export {
  freeRedisMembers,
  prepareRedisGroup,
  RedisGroup,
  redisMasters,
  type RedisTopology,
} from './redis-group';
export { RedisServer, renderRedisConf, startRedis, type RedisServerOptions } from './redis-server';
export {
  commonEnvNames,
  entryOfKind,
  kindEnvNames,
  kindNodeArgs,
  serviceKinds,
  ServiceProcess,
  startService,
  type ServiceKind,
  type ServiceOptions,
} from './service-process';
export { isStackError, prepareStack, Stack, startStack } from './stack';
export { readRun, type RunFile, type ServerRun } from './stack-files';
export {
  type AskedPorts,
  natsServerCounts,
  type NatsServerCount,
  redisTopologies,
  type StackEvent,
  type StackOptions,
} from './stack-options';
