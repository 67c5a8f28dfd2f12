import { z } from 'zod';
import { nodeIdSchema } from './ids';

/** gms-node -> everyone, every heartbeat interval and on each change of state. */
export const gmsHeartbeatSchema = z.object({
  v: z.literal(1),
  nodeId: nodeIdSchema,
  /** Changes with every start of the process. */
  incarnation: z.string().min(1).max(64),
  group: z.string().min(1).max(64),
  types: z.array(z.string().max(32)).max(16),
  queued: z.number().int().min(0),
  inFlight: z.number().int().min(0),
  /** Relative weight in placement, at least 1. */
  capacity: z.number().int().min(1),
  state: z.enum(['ready', 'draining', 'gone']),
});
export type GmsHeartbeat = z.infer<typeof gmsHeartbeatSchema>;

export const gmsNodeSchema = gmsHeartbeatSchema
  .omit({ v: true })
  .extend({ status: z.enum(['alive', 'suspect']) });
export type GmsNode = z.infer<typeof gmsNodeSchema>;

/** What the registry says of the GMS nodes. Dead nodes are not in it. */
export const gmsViewSchema = z.object({
  v: z.literal(1),
  registryId: z.string(),
  atMs: z.number(),
  /** False until the registry has listened for a whole dead time-out: such a view may add nodes, but forgets none. */
  settled: z.boolean(),
  nodes: z.array(gmsNodeSchema),
});
export type GmsView = z.infer<typeof gmsViewSchema>;

/** session-actor and resend-timer replicas, each on its own subject. */
export const peerHeartbeatSchema = z.object({
  v: z.literal(1),
  nodeId: nodeIdSchema,
  incarnation: z.string().min(1).max(64),
  /** `joining`: it listens for the others and runs nothing yet. */
  state: z.enum(['joining', 'up', 'leaving', 'gone']),
  /** Shards that read no further because their unsettled notifications stand at the bound: slow, but not stuck. */
  full: z.array(z.number().int().min(0)).max(4_096).optional(),
  /** Shards that it has caught up with just now: who handed them over goes on to the next. */
  caughtUp: z.array(z.number().int().min(0)).max(4_096).optional(),
});
export type PeerHeartbeat = z.infer<typeof peerHeartbeatSchema>;

/** A node that made no progress with a shard and lost it: it is not given that shard again for a while. */
export const leftOutSchema = z.object({
  owner: z.string(),
  incarnation: z.string(),
  /** Of the lease that it lost, so that the same event is told from a later one. */
  term: z.number().int(),
  /** How often it has happened to this process; the time doubles with each. */
  times: z.number().int().min(1),
});
export type LeftOut = z.infer<typeof leftOutSchema>;

/** Nodes left out for one shard; the longest known go first. */
export const LEFT_OUT_MAX = 16;

export const leaseSchema = z.object({
  owner: z.string(),
  incarnation: z.string(),
  leftOut: z.array(leftOutSchema).max(LEFT_OUT_MAX).optional(),
});
export type Lease = z.infer<typeof leaseSchema>;
/** A lease as it lies in the bucket. */
export const storedLeaseSchema = leaseSchema.extend({ term: z.number().int().min(0).optional() });
