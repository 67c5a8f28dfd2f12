/** How far a shard is folded. It is the fencing token of commits, so it names the batch too (DESIGN section 5). */
export interface Checkpoint {
  /** The stream's creation time, as the server tells it. */
  createdAt: string;
  seq: number;
  /** Time of the record at `seq`, epoch ms. */
  atMs: number;
  /** The fold's time, epoch ms: unlike the records' it never runs backwards, not even from one owner to the next. */
  foldTimeMs: number;
  batchId: string;
}

export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { createdAt, seq, atMs, foldTimeMs, batchId } = checkpoint;
  return [createdAt, seq, atMs, foldTimeMs, batchId].join('|');
}

const NUMBER_PATTERN = /^\d{1,16}(\.\d{1,9})?$/;

/** undefined for '' (nothing folded yet) and for anything that is no checkpoint. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const [createdAt, seq, atMs, foldTimeMs, batchId, ...rest] = text.split('|');
  if (!createdAt || !seq || !atMs || !foldTimeMs || !batchId || rest.length > 0) return undefined;
  if (Number.isNaN(Date.parse(createdAt))) return undefined;
  if (![seq, atMs, foldTimeMs].every((number) => NUMBER_PATTERN.test(number))) return undefined;
  return { createdAt, seq: Number(seq), atMs: Number(atMs), foldTimeMs: Number(foldTimeMs), batchId };
}
