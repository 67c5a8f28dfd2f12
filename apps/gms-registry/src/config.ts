import { serviceConfigShape } from '@flexpush/process';
import { z } from 'zod';

/** How many heartbeats a living node may lose in a row; a single lost one is ordinary under load. */
const LOST_HEARTBEATS_MIN = 3;

export const configSchema = z
  .object({
    ...serviceConfigShape,
    /** How often GMS nodes beat; must agree with theirs. */
    FLEXPUSH_HEARTBEAT_INTERVAL_MS: z.coerce.number().int().min(20).max(60_000).default(1_000),
    FLEXPUSH_DEAD_AFTER_MS: z.coerce.number().int().min(60).max(600_000).default(3_000),
    /** How often the view is published when nothing changes. */
    FLEXPUSH_VIEW_INTERVAL_MS: z.coerce.number().int().min(20).max(60_000).default(1_000),
  })
  .superRefine((config, context) => {
    const deadAfterMs = config.FLEXPUSH_DEAD_AFTER_MS;
    if (deadAfterMs < LOST_HEARTBEATS_MIN * config.FLEXPUSH_HEARTBEAT_INTERVAL_MS)
      context.addIssue({
        code: 'custom',
        path: ['FLEXPUSH_DEAD_AFTER_MS'],
        message: `must be at least ${LOST_HEARTBEATS_MIN} x FLEXPUSH_HEARTBEAT_INTERVAL_MS, else one or two lost heartbeats would declare a living node dead and its pushes would be sent twice`,
      });
    if (deadAfterMs < LOST_HEARTBEATS_MIN * config.FLEXPUSH_VIEW_INTERVAL_MS)
      context.addIssue({
        code: 'custom',
        path: ['FLEXPUSH_VIEW_INTERVAL_MS'],
        message: `${LOST_HEARTBEATS_MIN} x this must not exceed FLEXPUSH_DEAD_AFTER_MS, because a registry sees by its own views coming back that it is not deaf, and must see it before it calls a node dead`,
      });
  });

export type RegistryConfig = z.infer<typeof configSchema>;
