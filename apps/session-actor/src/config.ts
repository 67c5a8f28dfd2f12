import { redisConfigShape, serviceConfigShape } from '@flexpush/process';
import { z } from 'zod';

const ms = (defaultMs: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(defaultMs);
const count = (defaultCount: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(defaultCount);

export const configSchema = z
  .object({
    ...serviceConfigShape,
    ...redisConfigShape,
    /** Fixed at the first start of a cluster. */
    FLEXPUSH_SHARDS: count(16, 1, 4096),
    /** The Chat Server application DBID of this node, shown as REST `alias` and push `app-dbid`. */
    FLEXPUSH_ALIAS: z
      .string()
      .regex(/^\d{1,9}$/, 'must be a decimal number')
      .default('101'),
    FLEXPUSH_STREAM_REPLICAS: count(1, 1, 5),
    FLEXPUSH_LOG_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(2_147_483_648),
    FLEXPUSH_LOG_AGE_MAX_MS: ms(86_400_000, 60_000, 30 * 86_400_000),
    /** Of the file store; `ensureStreams` has the defaults. */
    FLEXPUSH_FILE_BYTES_MAX: z.coerce.number().int().min(1_048_576).optional(),
    FLEXPUSH_FILE_AGE_MAX_MS: z.coerce
      .number()
      .int()
      .min(60_000)
      .max(365 * 86_400_000)
      .optional(),
    FLEXPUSH_HEARTBEAT_INTERVAL_MS: ms(250, 50, 10_000),
    FLEXPUSH_DEAD_AFTER_MS: ms(1_500, 200, 60_000),
    FLEXPUSH_STUCK_AFTER_MS: ms(3_000, 500, 600_000),
    FLEXPUSH_RECORDS_PER_BATCH: count(256, 1, 2_000),
    FLEXPUSH_MESSAGES_QUEUED_MAX: count(512, 16, 100_000),
    FLEXPUSH_SESSIONS_CACHED_MAX: count(3_000, 10, 1_000_000),
    FLEXPUSH_UNSETTLED_PER_SHARD_MAX: count(2_000, 10, 100_000),
    /** Of all shards of the process. Those that a GMS node takes at most: more would only wait here. */
    FLEXPUSH_UNSETTLED_MAX: count(8_192, 10, 1_000_000),
    FLEXPUSH_SETTLE_DEADLINE_MS: ms(20_000, 1_000, 600_000),
    FLEXPUSH_SETTLE_LINGER_MS: ms(1_000, 0, 10_000),
    FLEXPUSH_REQUEST_TIMEOUT_MS: ms(10_000, 500, 120_000),
    FLEXPUSH_DISPATCH_TIMEOUT_MS: ms(2_000, 100, 60_000),
  })
  .refine((config) => config.FLEXPUSH_HEARTBEAT_INTERVAL_MS * 3 <= config.FLEXPUSH_DEAD_AFTER_MS, {
    message:
      'FLEXPUSH_HEARTBEAT_INTERVAL_MS * 3 must not exceed FLEXPUSH_DEAD_AFTER_MS: one lost beat must not kill a living node',
  });
export type SessionActorConfig = z.infer<typeof configSchema>;
