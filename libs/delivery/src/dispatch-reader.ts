import {
  BOUNDS,
  describeProblems,
  dispatchReader,
  nodeIdSchema,
  pushJobSchema,
  type Dispatch,
} from '@flexpush/contracts';
import { z } from 'zod';

export type ReadDispatch =
  | {
      kind: 'dispatch';
      dispatch: Dispatch;
      /** Jobs that could not be read, but whose id could: their owner must hear of them. */
      unreadable: { shard: number; id: string; reason: string }[];
      /** Jobs without even an id. */
      nameless: number;
    }
  | { kind: 'malformed'; reason: string };

const looseDispatchSchema = z.object({
  v: z.literal(1),
  actorId: nodeIdSchema,
  alias: z.string(),
  shards: z.array(
    z.object({
      shard: z.number().int().min(0),
      term: z.number().int().min(0),
      jobs: z.array(z.unknown()),
    }),
  ),
});
const identifiedSchema = z.object({ id: z.string().min(3).max(256) });

/**
 * Reads a dispatch. One unreadable job must not hold up the others of its dispatch, or their owner would send the same
 * dispatch for ever: it is taken out and named, and the rest goes on.
 */
export function readDispatch(json: unknown): ReadDispatch {
  const whole = dispatchReader.safeParse(json);
  const read: ReadDispatch = whole.success
    ? { kind: 'dispatch', dispatch: whole.data, unreadable: [], nameless: 0 }
    : readJobByJob(json);
  if (read.kind === 'malformed') return read;
  const jobs = read.dispatch.shards.reduce((sum, shard) => sum + shard.jobs.length, 0);
  return jobs > BOUNDS.jobsPerDispatch
    ? {
        kind: 'malformed',
        reason: `${jobs} jobs are more than the ${BOUNDS.jobsPerDispatch} of one dispatch`,
      }
    : read;
}

function readJobByJob(json: unknown): ReadDispatch {
  const loose = looseDispatchSchema.safeParse(json);
  if (!loose.success) return { kind: 'malformed', reason: describeProblems(loose.error) };
  const unreadable: { shard: number; id: string; reason: string }[] = [];
  let nameless = 0;
  const shards: Dispatch['shards'] = [];
  for (const { shard, term, jobs } of loose.data.shards) {
    const good: Dispatch['shards'][number]['jobs'] = [];
    for (const job of jobs) {
      const parsed = pushJobSchema.safeParse(job);
      const identified = identifiedSchema.safeParse(job);
      if (parsed.success) good.push(parsed.data);
      else if (identified.success)
        unreadable.push({ shard, id: identified.data.id, reason: describeProblems(parsed.error) });
      else nameless += 1;
    }
    shards.push({ shard, term, jobs: good });
  }
  return { kind: 'dispatch', dispatch: { ...loose.data, shards }, unreadable, nameless };
}
