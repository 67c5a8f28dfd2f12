import type { ShardLog } from './ports';

/** How far a shard has been read, and which record stands there. */
export interface PlaceInLog {
  shard: number;
  /** Creation time of the stream. */
  createdAt: string;
  seq: number;
  /** Time of the record at `seq`, epoch ms; undefined when that record was not read here. */
  atMs: number | undefined;
}

/**
 * The shards whose place is not in the log that is there now: it was recreated, or it lost its end and has perhaps grown
 * again (DESIGN section 5). They would be read on from a place that means nothing, and new records would be passed over.
 *
 * One sequence counts for all shards and a log loses nothing but its end, so the record at the highest place tells of all.
 * Only if that is another one, the lowest place that is lost is searched for: some dozen questions for thousands of shards.
 */
export async function differingShards(
  log: Pick<ShardLog, 'state' | 'timeOf'>,
  places: readonly PlaceInLog[],
): Promise<number[]> {
  const state = await log.state();
  const ofThisLog = places.filter(({ createdAt }) => createdAt === state.createdAt);
  const known = ofThisLog
    .filter(({ seq, atMs }) => atMs !== undefined && seq >= state.firstSeq && seq <= state.lastSeq)
    .sort((a, b) => a.seq - b.seq);
  const lostFromSeq = Math.min(state.lastSeq + 1, await firstLostSeq(log, known));
  return places
    .filter(({ createdAt, seq }) => createdAt !== state.createdAt || seq >= lostFromSeq)
    .map(({ shard }) => shard);
}

/** The lowest of the places, in the order of their sequence, whose record is not there any more. */
async function firstLostSeq(
  log: Pick<ShardLog, 'state' | 'timeOf'>,
  known: readonly PlaceInLog[],
): Promise<number> {
  const highest = known.at(-1);
  if (!highest || (await isThere(log, highest))) return Number.POSITIVE_INFINITY;
  let lost = known.length - 1;
  for (let there = -1; lost - there > 1;) {
    const middle = (there + lost) >> 1;
    if (await isThere(log, known[middle] as PlaceInLog)) there = middle;
    else lost = middle;
  }
  return (known[lost] as PlaceInLog).seq;
}

async function isThere(log: Pick<ShardLog, 'state' | 'timeOf'>, place: PlaceInLog): Promise<boolean> {
  const atMs = await log.timeOf(place.seq);
  if (atMs !== undefined) return atMs === place.atMs;
  // It may have left by its age since the state was read, and that is no loss.
  return place.seq < (await log.state()).firstSeq;
}
