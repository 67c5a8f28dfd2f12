import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';

/** Rules for every file. Core repeats them, because ESLint replaces a rule's options instead of merging them. */
const general = [
  {
    selector: "MemberExpression[object.name='process'][property.name='env']",
    message: 'Read the environment only in config.ts.',
  },
  {
    selector: 'CatchClause > BlockStatement[body.length=0]',
    message: 'Handle the error, or say why it is safe.',
  },
];
const noRegistryModules = [
  { name: 'nats', message: 'Only libs/nats-bus (and the registry transport) sees the NATS client.' },
  { name: 'ioredis', message: 'Only libs/redis-store sees the Redis client.' },
];

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.nx/**', '.flexpush/**', '**/*.cjs'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: { project: ['./tsconfig.spec.json'], tsconfigRootDir: import.meta.dirname },
    },
    plugins: { '@nx': nx },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': ['error', ...general],
      'no-restricted-imports': ['error', { paths: noRegistryModules }],
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: true,
          banTransitiveDependencies: true,
          checkDynamicDependenciesExceptions: ['.*'],
          depConstraints: [
            {
              sourceTag: 'layer:contracts',
              onlyDependOnLibsWithTags: [],
              allowedExternalImports: ['zod', 'ajv', 'fast-check'],
            },
            {
              sourceTag: 'layer:core',
              onlyDependOnLibsWithTags: ['layer:contracts'],
              allowedExternalImports: ['fast-check'],
            },
            {
              sourceTag: 'layer:runtime',
              onlyDependOnLibsWithTags: ['layer:contracts', 'layer:core', 'layer:testkit'],
              bannedExternalImports: ['@nestjs/*', 'nats', 'ioredis'],
            },
            {
              sourceTag: 'layer:adapter',
              onlyDependOnLibsWithTags: ['layer:contracts', 'layer:testkit'],
              bannedExternalImports: ['@nestjs/*'],
            },
            {
              // For others to install: it must not need anything of this repository.
              sourceTag: 'layer:publishable',
              onlyDependOnLibsWithTags: [],
              allowedExternalImports: ['standardwebhooks'],
            },
            { sourceTag: 'layer:process', onlyDependOnLibsWithTags: ['layer:contracts'] },
            {
              sourceTag: 'layer:tool',
              onlyDependOnLibsWithTags: ['layer:contracts'],
              bannedExternalImports: ['@nestjs/*'],
            },
            {
              // Runs the runtime and the loops of the services; only the command and specs use it.
              sourceTag: 'layer:simulator',
              onlyDependOnLibsWithTags: ['layer:contracts', 'layer:core', 'layer:runtime', 'layer:adapter'],
              bannedExternalImports: ['@nestjs/*', 'nats', 'ioredis'],
            },
            { sourceTag: 'layer:testkit', onlyDependOnLibsWithTags: ['layer:contracts', 'layer:tool'] },
            {
              sourceTag: 'layer:app',
              onlyDependOnLibsWithTags: [
                'layer:contracts',
                'layer:core',
                'layer:runtime',
                'layer:adapter',
                'layer:simulator',
                'layer:process',
                'layer:publishable',
                'layer:tool',
                'layer:testkit',
              ],
            },
          ],
        },
      ],
    },
  },
  {
    files: ['**/config.ts', '**/*.spec.ts'],
    rules: { 'no-restricted-syntax': ['error', general[1]] },
  },
  {
    files: ['libs/nats-bus/**/*.ts', 'libs/redis-store/**/*.ts', 'apps/gms-registry/**/*.ts', '**/*.spec.ts'],
    rules: { 'no-restricted-imports': 'off' },
  },
  {
    // Core is pure: no I/O, no clock, no randomness, no async.
    files: ['libs/session/src/**/*.ts', 'libs/membership/src/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths: noRegistryModules, patterns: ['node:*'] }],
      'no-restricted-globals': [
        'error',
        ...[
          'setTimeout',
          'setInterval',
          'setImmediate',
          'fetch',
          'process',
          'crypto',
          'performance',
          'Buffer',
        ].map((name) => ({
          name,
          message: 'Core has no I/O, clock or randomness.',
        })),
      ],
      'no-restricted-syntax': [
        'error',
        ...general,
        {
          selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
          message: 'Time comes in with the record.',
        },
        { selector: "NewExpression[callee.name='Date']", message: 'Time comes in with the record.' },
        {
          selector: "MemberExpression[object.name='Math'][property.name='random']",
          message: 'Randomness comes in with the record.',
        },
        { selector: ':function[async=true]', message: 'Core is synchronous.' },
      ],
    },
  },
  {
    // Testkit only from specs.
    files: ['apps/*/src/**/*.ts', 'libs/*/src/**/*.ts'],
    ignores: [
      '**/*.spec.ts',
      'apps/cli/src/story/**',
      'libs/testkit/**',
      'libs/nats-bus/**',
      'libs/redis-store/**',
      'libs/session/**',
      'libs/membership/**',
      'apps/gms-registry/**',
    ],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [...noRegistryModules, { name: '@flexpush/testkit', message: 'Testkit is for specs only.' }],
        },
      ],
    },
  },
);
