import { BOUNDS } from '@flexpush/contracts';
import { serviceConfigShape } from '@flexpush/process';
import { z } from 'zod';

const integer = (range: { min: number; max: number }) =>
  z.coerce.number().int().min(range.min).max(range.max);

/** What gms-node is configured with. Names carry units; defaults stand only here. */
export const configSchema = z
  .object({
    ...serviceConfigShape,
    /** The node group that subscriptions name with `GCTI_GMS_NodeGroup`. */
    FLEXPUSH_GMS_GROUP: z.string().min(1).max(64).default('default'),
    /** Relative weight in placement. */
    FLEXPUSH_GMS_CAPACITY: integer({ min: 1, max: 1_000 }).default(1),
    FLEXPUSH_HEARTBEAT_INTERVAL_MS: integer({ min: 20, max: 60_000 }).default(1_000),
    /** After this long without a heartbeat the others take this node for dead. It must be the same everywhere. */
    FLEXPUSH_DEAD_TIMEOUT_MS: integer({ min: 100, max: 600_000 }).default(3_000),
    /** Notifications that wait on this node; beyond it dispatches are answered `busy`. */
    FLEXPUSH_GMS_QUEUE_MAX: integer({ min: BOUNDS.jobsPerDispatch, max: 1_000_000 }).default(8_192),
    /** Connections to one destination, and POSTs in flight to it. */
    FLEXPUSH_GMS_CONNECTIONS_MAX: integer({ min: 1, max: 1_024 }).default(128),
    /** Destinations (scheme, host and port) that have a connection pool at once. */
    FLEXPUSH_GMS_DESTINATIONS_MAX: integer({ min: 1, max: 1_024 }).default(512),
    FLEXPUSH_GMS_CONNECT_TIMEOUT_MS: integer({ min: 50, max: 60_000 }).default(3_000),
    /** For the head of the receiver's answer, and between two parts of its body. */
    FLEXPUSH_GMS_ANSWER_TIMEOUT_MS: integer({ min: 50, max: 120_000 }).default(10_000),
    /** For one POST as a whole, against answers that drip for ever. */
    FLEXPUSH_GMS_EXCHANGE_TIMEOUT_MS: integer({ min: 50, max: 600_000 }).default(30_000),
    /** Consecutive connection failures and time-outs after which a destination is not tried for a while. */
    FLEXPUSH_GMS_BREAKER_FAILURES_MAX: integer({ min: 1, max: 1_000 }).default(5),
    /** When a destination that is not tried gets one probe. */
    FLEXPUSH_GMS_BREAKER_PROBE_AFTER_MS: integer({ min: 10, max: 600_000 }).default(1_000),
    /** Results that are remembered for repeated notification ids. */
    FLEXPUSH_GMS_REMEMBERED_MAX: integer({ min: 1_000, max: 10_000_000 }).default(200_000),
  })
  .refine((config) => config.FLEXPUSH_HEARTBEAT_INTERVAL_MS * 3 <= config.FLEXPUSH_DEAD_TIMEOUT_MS, {
    path: ['FLEXPUSH_HEARTBEAT_INTERVAL_MS'],
    message:
      'must be at most a third of FLEXPUSH_DEAD_TIMEOUT_MS, or two lost heartbeats declare a living node dead',
  })
  .refine((config) => config.FLEXPUSH_GMS_ANSWER_TIMEOUT_MS <= config.FLEXPUSH_GMS_EXCHANGE_TIMEOUT_MS, {
    path: ['FLEXPUSH_GMS_ANSWER_TIMEOUT_MS'],
    message: 'must be at most FLEXPUSH_GMS_EXCHANGE_TIMEOUT_MS, which covers the whole POST',
  });
export type GmsNodeConfig = z.infer<typeof configSchema>;
