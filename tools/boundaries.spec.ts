import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..');

/** Lints texts as the content of existing files, in a process of its own: the configuration is a module, which Jest cannot load. */
const lintTexts = `
  import { ESLint } from 'eslint';
  const eslint = new ESLint();
  const rules = [];
  for (const { file, text } of JSON.parse(process.argv[1])) {
    const [result] = await eslint.lintText(text + '\\n', { filePath: file });
    rules.push((result?.messages ?? []).map(({ ruleId }) => ruleId));
  }
  console.log(JSON.stringify(rules));
`;

interface Case {
  name: string;
  file: string;
  text: string;
  rule: string;
}

/** Each boundary is tried once with code that must fail. */
const cases: Case[] = [
  {
    name: 'contracts import no other lib',
    file: 'libs/contracts/src/ids.ts',
    text: "export * from '@flexpush/session';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'core imports no adapter',
    file: 'libs/session/src/session.ts',
    text: "export * from '@flexpush/nats-bus';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'an adapter imports no framework',
    file: 'libs/delivery/src/index.ts',
    text: "export * from '@nestjs/common';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'an adapter imports no core',
    file: 'libs/redis-store/src/keys.ts',
    text: "export * from '@flexpush/session';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'the runtime imports no adapter',
    file: 'libs/actor-runtime/src/ports.ts',
    text: "export * from '@flexpush/redis-store';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'an app imports no other app',
    file: 'apps/gms-node/src/main.ts',
    text: "export * from '@flexpush/chat-api';",
    rule: '@nx/enforce-module-boundaries',
  },
  {
    name: 'only nats-bus sees the NATS client',
    file: 'apps/chat-api/src/main.ts',
    text: "export * from 'nats';",
    rule: 'no-restricted-imports',
  },
  {
    name: 'only redis-store sees the Redis client',
    file: 'apps/session-actor/src/main.ts',
    text: "export * from 'ioredis';",
    rule: 'no-restricted-imports',
  },
  {
    name: 'testkit is for specs',
    file: 'apps/gms-node/src/main.ts',
    text: "export * from '@flexpush/testkit';",
    rule: 'no-restricted-imports',
  },
  {
    name: 'core does no I/O',
    file: 'libs/session/src/session.ts',
    text: "export * from 'node:fs';",
    rule: 'no-restricted-imports',
  },
  {
    name: 'core reads no clock',
    file: 'libs/session/src/session.ts',
    text: 'export const at = Date.now();',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'core makes no date of now',
    file: 'libs/membership/src/rendezvous.ts',
    text: 'export const at = new Date();',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'core throws no dice',
    file: 'libs/session/src/session.ts',
    text: 'export const dice = Math.random();',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'core is synchronous',
    file: 'libs/session/src/session.ts',
    text: 'export async function wait(): Promise<void> {}',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'core sets no timer',
    file: 'libs/session/src/session.ts',
    text: 'setTimeout(() => undefined, 1);',
    rule: 'no-restricted-globals',
  },
  {
    name: 'the environment is read in config.ts only',
    file: 'apps/gms-node/src/main.ts',
    text: 'export const home = process.env;',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'no error is swallowed',
    file: 'apps/gms-node/src/main.ts',
    text: 'try { JSON.parse(""); } catch {}',
    rule: 'no-restricted-syntax',
  },
  {
    name: 'no promise floats',
    file: 'apps/gms-node/src/main.ts',
    text: 'Promise.resolve(1);',
    rule: '@typescript-eslint/no-floating-promises',
  },
];
const allowed = { file: 'libs/nats-bus/src/bus.ts', text: "export { connect } from 'nats';" };

describe('the lint boundaries', () => {
  let refusals: (string | null)[][];
  beforeAll(() => {
    // In CI the parser takes a file's content from the disk and not from us, unless it is told that this is no single run.
    const env = { ...process.env, NX_DAEMON: 'false', TSESTREE_SINGLE_RUN: 'false' };
    // The rule about libs reads the project graph, and passes everything while there is none.
    execFileSync(join(root, 'node_modules', '.bin', 'nx'), ['show', 'projects'], { cwd: root, env });
    const output = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', lintTexts, JSON.stringify([...cases, allowed])],
      {
        cwd: root,
        env,
        encoding: 'utf8',
      },
    );
    refusals = JSON.parse(output.trim().split('\n').at(-1) ?? '[]') as (string | null)[][];
  }, 120_000);

  it.each(cases.map((one, i) => ({ ...one, i })))('$name', ({ i, rule }) => {
    expect(refusals[i]).toContain(rule);
  });

  it('let the same kind of code pass where it belongs', () => {
    expect(refusals.at(-1)).toEqual([]);
  });
});
