/** Every Redis key. All keys of a shard share its hash tag, so one script may touch them on a Redis Cluster too. */
function tag(shard: number): string {
  return `{s${shard}}`;
}

export const keys = {
  /** string: how far the shard is folded. */
  checkpoint: (shard: number) => `${tag(shard)}:checkpoint`,
  /** string: the shard's folded options, JSON. */
  options: (shard: number) => `${tag(shard)}:options`,
  /** zset: timers by due time. */
  timers: (shard: number) => `${tag(shard)}:timers`,
  /** hash: committed, unsettled notifications. */
  outbox: (shard: number) => `${tag(shard)}:outbox`,
  /** zset: sessions by when they were created or last written beside the log. */
  snapshots: (shard: number) => `${tag(shard)}:snapshots`,
  /** string: exists while the owner catches up; timers are not claimed. `<term>:<step>` tells how far it has come without commits. */
  hold: (shard: number) => `${tag(shard)}:hold`,
  /** string: written to see whether this shard's Redis takes writes; expires. */
  writeProbe: (shard: number) => `${tag(shard)}:write-probe`,
  /** string: a session's state, JSON. */
  session: (shard: number, sessionId: string) => `${tag(shard)}:session:${sessionId}`,
  /** hash: a session's transcript, position -> event JSON. */
  transcript: (shard: number, sessionId: string) => `${tag(shard)}:transcript:${sessionId}`,
} as const;
