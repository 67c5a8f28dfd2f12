import { parseRedisUrl } from '@flexpush/contracts';
import { z } from 'zod';

/** What every service is configured with. Names carry units; defaults stand only here. */
export const serviceConfigShape = {
  FLEXPUSH_NODE_ID: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1-64 letters, digits, "_" or "-"')
    .optional(),
  FLEXPUSH_NATS_URL: z.string().min(1).default('nats://127.0.0.1:4222'),
  FLEXPUSH_HTTP_HOST: z.string().min(1).default('127.0.0.1'),
  /** 0 takes a free port. */
  FLEXPUSH_HTTP_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  FLEXPUSH_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  /** Ends the service when its stdin closes, so that a killed launcher leaves nothing behind. */
  FLEXPUSH_EXIT_WITH_PARENT: z.enum(['0', '1']).default('0'),
  /** How long one step of the shutdown may take. */
  FLEXPUSH_STOP_STEP_TIMEOUT_MS: z.coerce.number().int().min(100).max(600_000).default(10_000),
};

/** For the services that use Redis. */
export const redisConfigShape = {
  FLEXPUSH_REDIS_URL: z
    .string()
    .default('redis://127.0.0.1:6379')
    .superRefine((url, context) => {
      try {
        parseRedisUrl(url);
      } catch (error) {
        context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
      }
    }),
};

/** Every problem of a configuration at once. */
export class ConfigError extends Error {
  readonly code = 'CONFIG';
  readonly retryable = false;
  constructor(readonly problems: readonly string[]) {
    super(
      `the configuration has ${problems.length} problem(s):\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    );
  }
}

/** Environment -> frozen typed object. Throws `ConfigError` naming every problem, never a value. */
export function readConfig<S extends z.ZodType>(
  schema: S,
  env: Record<string, string | undefined> = process.env,
): Readonly<z.infer<S>> {
  const parsed = schema.safeParse(env);
  if (parsed.success) return Object.freeze(parsed.data) as Readonly<z.infer<S>>;
  throw new ConfigError(
    parsed.error.issues.map((issue) => `${issue.path.join('.') || 'relation'}: ${issue.message}`),
  );
}
