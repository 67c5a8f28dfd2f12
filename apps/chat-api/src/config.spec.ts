import { ConfigError, readConfig } from '@flexpush/process';
import { configSchema } from './config';

const SECRET = 'a secret of forty characters, for tests.';

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(configSchema, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('the configuration', () => {
  it('needs only the secret', () => {
    expect(readConfig(configSchema, { FLEXPUSH_KEY_SECRET: SECRET })).toMatchObject({
      FLEXPUSH_APP_NAME: 'genesys',
      FLEXPUSH_REQUEST_BYTES_MAX: 32_768,
      FLEXPUSH_REPLY_RETRY_MS: 1_500,
      FLEXPUSH_REQUEST_TIMEOUT_MS: 10_000,
    });
  });

  it.each([
    { name: 'no secret', env: {}, problem: 'FLEXPUSH_KEY_SECRET' },
    { name: 'a short secret', env: { FLEXPUSH_KEY_SECRET: 'short' }, problem: 'FLEXPUSH_KEY_SECRET' },
    {
      name: 'a retry that never comes',
      env: {
        FLEXPUSH_KEY_SECRET: SECRET,
        FLEXPUSH_REPLY_RETRY_MS: '5000',
        FLEXPUSH_REQUEST_TIMEOUT_MS: '5000',
      },
      problem: 'FLEXPUSH_REPLY_RETRY_MS',
    },
    {
      name: 'an app name with a slash',
      env: { FLEXPUSH_KEY_SECRET: SECRET, FLEXPUSH_APP_NAME: 'a/b' },
      problem: 'FLEXPUSH_APP_NAME',
    },
  ])('refuses $name, without showing a value', ({ env, problem }) => {
    const problems = problemsOf(env as Record<string, string>);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).not.toContain(SECRET);
  });

  it('reports all problems at once', () => {
    expect(problemsOf({ FLEXPUSH_KEY_SECRET: 'short', FLEXPUSH_REQUEST_BYTES_MAX: '1' })).toHaveLength(2);
  });
});
