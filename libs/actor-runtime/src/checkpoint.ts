/** How far a shard is folded. It is the fencing token of commits, so it names the batch too (DESIGN section 5). */
export interface Checkpoint {
  /** The stream's creation time, as the server tells it. */
  createdAt: string;
  seq: number;
  /** Time of the record at `seq`, epoch ms. */
  atMs: number;
  batchId: string;
}

export function formatCheckpoint(checkpoint: Checkpoint): string {
  return [checkpoint.createdAt, checkpoint.seq, checkpoint.atMs, checkpoint.batchId].join('|');
}

/** undefined for '' (nothing folded yet) and for anything that is no checkpoint. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const [createdAt, seq, atMs, batchId, ...rest] = text.split('|');
  if (!createdAt || !seq || !atMs || !batchId || rest.length > 0) return undefined;
  return { createdAt, seq: Number(seq), atMs: Number(atMs), batchId };
}
