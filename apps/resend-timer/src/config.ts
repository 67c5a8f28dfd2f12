import { redisConfigShape, serviceConfigShape } from '@flexpush/process';
import { z } from 'zod';

/**
 * No timer is armed to be due sooner than this after it was written (the smallest delay of any option is a second).
 * A look at least twice in that time therefore sees every timer before it is due.
 */
const TIMER_LEAD_MIN_MS = 1_000;
const LOST_HEARTBEATS_MIN = 3;

export const configSchema = z
  .object({
    ...serviceConfigShape,
    ...redisConfigShape,
    /** A claimed timer whose record got lost is claimed again after this. */
    FLEXPUSH_TIMER_VISIBILITY_MS: z.coerce.number().int().min(500).max(600_000).default(5_000),
    /** Every owned shard is looked at this often, due or not, because new timers come in unannounced. */
    FLEXPUSH_TIMER_LOOK_INTERVAL_MS: z.coerce.number().int().min(20).max(60_000).default(400),
    FLEXPUSH_TIMER_HEARTBEAT_INTERVAL_MS: z.coerce.number().int().min(20).max(60_000).default(500),
    FLEXPUSH_TIMER_DEAD_AFTER_MS: z.coerce.number().int().min(60).max(600_000).default(1_500),
  })
  .superRefine((config, context) => {
    if (config.FLEXPUSH_TIMER_LOOK_INTERVAL_MS * 2 > TIMER_LEAD_MIN_MS)
      context.addIssue({
        code: 'custom',
        path: ['FLEXPUSH_TIMER_LOOK_INTERVAL_MS'],
        message: `must be at most ${TIMER_LEAD_MIN_MS / 2}: a timer may be due ${TIMER_LEAD_MIN_MS} ms after it was written and must be seen before`,
      });
    if (
      config.FLEXPUSH_TIMER_DEAD_AFTER_MS <
      LOST_HEARTBEATS_MIN * config.FLEXPUSH_TIMER_HEARTBEAT_INTERVAL_MS
    )
      context.addIssue({
        code: 'custom',
        path: ['FLEXPUSH_TIMER_DEAD_AFTER_MS'],
        message: `must be at least ${LOST_HEARTBEATS_MIN} x FLEXPUSH_TIMER_HEARTBEAT_INTERVAL_MS, else one or two lost heartbeats would move shards to and fro`,
      });
  });

export type TimerConfig = z.infer<typeof configSchema>;
