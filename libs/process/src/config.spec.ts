import { z } from 'zod';
import { ConfigError, readConfig, redisConfigShape, serviceConfigShape } from './config';

const schema = z.object({
  ...serviceConfigShape,
  ...redisConfigShape,
  SECRET: z.string().min(32, 'must have at least 32 characters'),
});

describe('readConfig', () => {
  it('names every problem at once, and no value', () => {
    const env = {
      FLEXPUSH_HTTP_PORT: '99999',
      FLEXPUSH_NODE_ID: 'a.b',
      FLEXPUSH_LOG_LEVEL: 'loud',
      SECRET: 'hunter2',
    };
    let error: unknown;
    try {
      readConfig(schema, env);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    const { problems, message } = error as ConfigError;
    expect(problems.map((problem) => problem.split(':')[0])).toEqual([
      'FLEXPUSH_NODE_ID',
      'FLEXPUSH_HTTP_PORT',
      'FLEXPUSH_LOG_LEVEL',
      'SECRET',
    ]);
    expect(message).not.toContain('hunter2');
  });

  it('gives defaults, typed and frozen', () => {
    const config = readConfig(schema, { SECRET: 'x'.repeat(32), FLEXPUSH_HTTP_PORT: '8081' });
    expect(config).toMatchObject({
      FLEXPUSH_HTTP_PORT: 8081,
      FLEXPUSH_LOG_LEVEL: 'info',
      FLEXPUSH_EXIT_WITH_PARENT: '0',
    });
    expect(Object.isFrozen(config)).toBe(true);
  });
});
