export { freePort, startNats, startRedis, startStack, waitHttpReady } from '@flexpush/stack';
export { damaged, hostileBytes, hostileText, hostileValue, watchUncaught } from './hostile';
export type { NatsServer, RedisServer, ServiceProcess, Stack, StackOptions } from '@flexpush/stack';
export { ManualClock, type Clock } from './manual-clock';
export { Receiver, startReceiver, type RecordedPost } from './receiver';
export {
  startTestNats,
  startTestRedis,
  temporaryFolder,
  type TestNats,
  type TestRedis,
} from './test-servers';
