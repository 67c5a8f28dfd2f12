import { ConfigError, readConfig } from '@flexpush/process';
import { configSchema } from './config';

it('has defaults that agree with each other', () => {
  expect(readConfig(configSchema, {})).toMatchObject({
    FLEXPUSH_GMS_GROUP: 'default',
    FLEXPUSH_HEARTBEAT_INTERVAL_MS: 1_000,
    FLEXPUSH_DEAD_TIMEOUT_MS: 3_000,
  });
});

it.each([
  { name: 'heartbeats too rare for the dead time-out', env: { FLEXPUSH_HEARTBEAT_INTERVAL_MS: '1001' } },
  {
    name: 'an exchange shorter than its answer',
    env: { FLEXPUSH_GMS_EXCHANGE_TIMEOUT_MS: '9999' },
  },
  { name: 'a queue smaller than one dispatch', env: { FLEXPUSH_GMS_QUEUE_MAX: '10' } },
])('refuses $name', ({ env }) => {
  expect(() => readConfig(configSchema, env)).toThrow(ConfigError);
});
