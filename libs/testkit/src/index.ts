export { CometClient, type CometTransport } from './comet-client';
export { createTestAuthority, type TestAuthority, type TestCertificate } from './certificates';
export { damaged, hostileBytes, hostileText, hostileValue, watchUncaught } from './hostile';
export { freePort, redisCommand, startNats, startRedis, startStack, waitHttpReady } from '@flexpush/stack';
export type {
  NatsGroup,
  NatsServer,
  RedisGroup,
  RedisServer,
  ServiceProcess,
  Stack,
  StackOptions,
} from '@flexpush/stack';
export { ApnsEndpoint, FcmEndpoint, type EndpointPush } from './push-endpoints';
export { ManualClock, type Clock } from './manual-clock';
export { Receiver, startReceiver, type RecordedPost } from './receiver';
export {
  startTestNats,
  startTestNatsCluster,
  startTestRedis,
  startTestRedisGroup,
  temporaryFolder,
  type TestGroup,
  type TestNats,
  type TestRedis,
} from './test-servers';
