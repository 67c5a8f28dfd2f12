import { ConfigError, readConfig } from '@flexpush/process';
import { configSchema } from './config';

describe('configuration', () => {
  it('stands on its defaults', () => {
    expect(readConfig(configSchema, {})).toMatchObject({
      FLEXPUSH_TIMER_VISIBILITY_MS: 5_000,
      FLEXPUSH_TIMER_LOOK_INTERVAL_MS: 400,
    });
  });

  it('names every broken relation with its reason', () => {
    const env = { FLEXPUSH_TIMER_LOOK_INTERVAL_MS: '600', FLEXPUSH_TIMER_DEAD_AFTER_MS: '1000' };
    let problems: readonly string[] = [];
    try {
      readConfig(configSchema, env);
    } catch (error) {
      problems = (error as ConfigError).problems;
    }
    expect(problems).toEqual([
      expect.stringContaining('must be seen before'),
      expect.stringContaining('would move shards to and fro'),
    ]);
  });
});
