import { ConfigError, readConfig } from '@flexpush/process';
import { configSchema } from './config';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(configSchema, env);
    return [];
  } catch (error) {
    return (error as ConfigError).problems;
  }
}

describe('configuration', () => {
  it('stands on its defaults', () => {
    expect(problemsOf({})).toEqual([]);
  });

  it('refuses a dead time-out below three heartbeats or three views, with the reason', () => {
    expect(problemsOf({ FLEXPUSH_DEAD_AFTER_MS: '2999' })).toEqual([
      expect.stringContaining('would declare a living node dead'),
      expect.stringContaining('it is not deaf'),
    ]);
  });

  it('names all problems at once', () => {
    expect(
      problemsOf({ FLEXPUSH_HEARTBEAT_INTERVAL_MS: 'soon', FLEXPUSH_VIEW_INTERVAL_MS: '0' }),
    ).toHaveLength(2);
  });
});
