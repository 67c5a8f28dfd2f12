import { TOKEN_PATTERN } from './ids';

/** Names of streams and KV buckets. */
export const LOG_STREAM = 'FLEXPUSH_LOG';
export const DEAD_LETTER_STREAM = 'FLEXPUSH_DEAD_LETTER';
/** Sessions and options that are older than the log reaches back (DESIGN section 6). */
export const SNAPSHOT_STREAM = 'FLEXPUSH_SNAPSHOT';
/** KV: `shards` holds the shard count, fixed at first start. */
export const CLUSTER_BUCKET = 'flexpush-cluster';
/** KV: `shard.<n>` holds { owner, incarnation, term }, changed by compare-and-set on the entry's revision. */
export const LEASE_BUCKET = 'flexpush-lease';
/** KV: `<section>/<option>` encoded by `optionKey`. */
export const OPTION_BUCKET = 'flexpush-option';
/** Object store: the content of the files of chats, by file id. */
export const FILE_BUCKET = 'flexpush-file';
/** KV: `<shard>.<sequence>.<index>.<time>` notes a record that was refused, so that a replay skips it too. */
export const SKIP_BUCKET = 'flexpush-skip';

function token(value: string): string {
  if (!TOKEN_PATTERN.test(value))
    throw new Error(`not a subject token: ${JSON.stringify(value.slice(0, 80))}`);
  return value;
}

/** All subjects, in one place. Every variable part is checked to be one token. */
export const subjects = {
  /** Agents, bots and CRM programs publish here; the server maps it to the shard's `pub` subject. */
  event: (sessionId: string) => `flexpush.event.${token(sessionId)}`,
  eventWildcard: 'flexpush.event.*',
  /** The public part of a shard's log. */
  logPublic: (shard: number) => `flexpush.log.${shard}.pub`,
  /** The internal part of a shard's log; NATS permissions can close it to publishers. */
  logInternal: (shard: number) => `flexpush.log.${shard}.int`,
  logShard: (shard: number) => `flexpush.log.${shard}.*`,
  logWildcard: 'flexpush.log.*.*',
  deadLetter: (shard: number) => `flexpush.deadletter.${shard}`,
  deadLetterWildcard: 'flexpush.deadletter.*',
  /** The newest snapshot of a session: its description, and its content where that is small. */
  snapshot: (shard: number, sessionId: string) => `flexpush.snapshot.${shard}.session.${token(sessionId)}`,
  snapshotSessions: (shard: number) => `flexpush.snapshot.${shard}.session.*`,
  /** The content of a large snapshot, in parts; `place` tells which snapshot they belong to. */
  snapshotPart: (shard: number, sessionId: string, place: string, part: number) =>
    `flexpush.snapshot.${shard}.part.${token(sessionId)}.${token(place)}.${part}`,
  snapshotParts: (shard: number, sessionId: string) =>
    `flexpush.snapshot.${shard}.part.${token(sessionId)}.>`,
  /** The options that a shard's log begins with. */
  snapshotOptions: (shard: number) => `flexpush.snapshot.${shard}.options`,
  snapshotWildcard: 'flexpush.snapshot.>',
  /** Replies to the process that waits for them, many per message. */
  reply: (callerId: string) => `flexpush.reply.${token(callerId)}`,
  /** Request: one event for a CometD client of this chat-api. */
  comet: (callerId: string) => `flexpush.comet.${token(callerId)}`,
  /** What agents may like to know of a chat and what is no event: read receipts. At most once. */
  notice: (sessionId: string) => `flexpush.notice.${token(sessionId)}`,
  gmsHeartbeat: 'flexpush.gms.heartbeat',
  /** Request: jobs for one GMS node, many per message. */
  gmsPush: (nodeId: string) => `flexpush.gms.${token(nodeId)}.push`,
  gmsWithdraw: (nodeId: string) => `flexpush.gms.${token(nodeId)}.withdraw`,
  /** A new owner tells every GMS node its term before its first dispatch. */
  gmsTerm: 'flexpush.gms.term',
  /** Results of jobs, batched per session-actor. */
  pushResult: (actorId: string) => `flexpush.actor.${token(actorId)}.result`,
  actorHeartbeat: 'flexpush.actor.heartbeat',
  actorProbe: (actorId: string) => `flexpush.actor.${token(actorId)}.probe`,
  /** Request: the registry's present view. */
  registryView: 'flexpush.registry.view',
  /** Published on change and each second. */
  registryViewChanged: 'flexpush.registry.view.changed',
  timerHeartbeat: 'flexpush.timer.heartbeat',
} as const;
