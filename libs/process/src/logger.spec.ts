import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..', '..', '..');

it('shows of an error its name, message, code and stack, and nothing that a library hangs onto it (I10)', () => {
  const script = `
    const { createLogger } = require('./libs/process/src/logger.ts');
    const error = Object.assign(new Error('OOM command not allowed'), { name: 'ReplyError', code: 'OOM', command: { name: 'evalsha', args: ['SECRET-KEY-123'] } });
    createLogger({ service: 'test', nodeId: 'test-1', level: 'info' }).warn({ err: error }, 'commit.retried');
  `;
  const sources = [
    '--conditions',
    '@flexpush/source',
    '--require',
    join(root, 'tools', 'register-sources.cjs'),
  ];
  const { stdout } = spawnSync(process.execPath, [...sources, '-e', script], { cwd: root, encoding: 'utf8' });
  const line = JSON.parse(stdout) as { err: Record<string, unknown> };
  expect(line.err).toEqual({
    type: 'ReplyError',
    message: 'OOM command not allowed',
    code: 'OOM',
    stack: expect.any(String) as string,
  });
  expect(stdout).not.toContain('SECRET-KEY-123');
});
