import { readConfig } from '@flexpush/process';
import { configSchema } from './config';

function problems(env: Record<string, string>): readonly string[] {
  try {
    readConfig(configSchema, env);
    return [];
  } catch (error) {
    return (error as { problems: readonly string[] }).problems;
  }
}

describe('configuration', () => {
  it('needs nothing', () => {
    expect(readConfig(configSchema, {})).toMatchObject({ FLEXPUSH_SHARDS: 16, FLEXPUSH_ALIAS: '101' });
  });

  it('tells all problems at once, and no value', () => {
    const told = problems({
      FLEXPUSH_SHARDS: '0',
      FLEXPUSH_ALIAS: 'sec-ret',
      FLEXPUSH_NODE_ID: 'a.b',
      FLEXPUSH_HTTP_PORT: 'web',
      FLEXPUSH_RECORDS_PER_BATCH: '1.5',
    });
    expect(told.map((problem) => problem.split(':')[0])).toEqual(
      expect.arrayContaining([
        'FLEXPUSH_SHARDS',
        'FLEXPUSH_ALIAS',
        'FLEXPUSH_NODE_ID',
        'FLEXPUSH_HTTP_PORT',
        'FLEXPUSH_RECORDS_PER_BATCH',
      ]),
    );
    expect(told.join()).not.toContain('sec-ret');
  });

  it('refuses a dead time-out that one lost beat would reach', () => {
    const env = { FLEXPUSH_HEARTBEAT_INTERVAL_MS: '1000', FLEXPUSH_DEAD_AFTER_MS: '2999' };
    expect(problems(env)).toEqual([expect.stringContaining('must not exceed FLEXPUSH_DEAD_AFTER_MS')]);
    expect(problems({ ...env, FLEXPUSH_DEAD_AFTER_MS: '3000' })).toEqual([]);
  });
});
