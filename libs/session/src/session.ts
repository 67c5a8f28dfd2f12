import type { ChatFile, ParticipantType, SubscriptionRequest } from '@flexpush/contracts';

/** Version of the stored state; a node refuses a shard whose sessions are newer than it can read. */
export const SESSION_VERSION = 3;

/** The schedule of a reliable subscription's unconfirmed trigger: at most one per subscription (I5). */
export type Schedule = {
  /** The notification it belongs to. */
  n: number;
  /** 0 for the first trigger, +1 for each resend. */
  attempt: number;
} & (
  | { status: 'armed'; dueAtMs: number }
  /** The attempt limit is reached; only new activity or the ping starts it again (I4). */
  | { status: 'exhausted' }
);

/** Where a customer stands on the inactivity ladder (CONTRACT 4.2a). The timer is lazy: requests only note their time. */
export interface Inactivity {
  lastRequestAtMs: number;
  /** Push client: `quiet` -> ping -> `pinged` -> `leaving` -> removed; polling client: `quiet` -> removed. Any request goes back to `quiet`. */
  step: 'quiet' | 'pinged' | 'leaving';
  dueAtMs: number;
}

/** Where a chat stands on the way to its close for inactivity (CONTRACT 4.2b, c); lazy like `Inactivity`. */
export interface Idle {
  lastActivityAtMs: number;
  step: 'quiet' | 'alerted' | 'alerted-twice';
  dueAtMs: number;
}

/** A participant's push registration. A CometD client without a device has one of type `comet`: nothing is pushed while it is away. */
export interface Subscription extends SubscriptionRequest {
  /** Where the CometD client is connected; then events go there, and to the device only if an option says so. */
  address?: string;
  /** Counter of notifications; the notification id is `sessionId:userId:n`. */
  lastN: number;
  /** First position that this participant has not retrieved. */
  unread: number;
  /** `removed`: the participant is out; what is still pushed says position -1. */
  status: 'open' | 'removed';
  schedule?: Schedule;
}

/** A file that was uploaded to the chat and is not deleted. */
export interface StoredFile extends Pick<ChatFile, 'fileId' | 'name' | 'sizeBytes'> {
  userId: string;
  downloads: number;
}

export interface Participant {
  userId: string;
  participantId: number;
  nickname: string;
  type: ParticipantType;
  status: 'in' | 'out';
  typing: boolean;
  style?: 'BOT';
  /** A silent monitor: customers see nothing of it but `monitored`. */
  silent?: true;
  /** Only participants that came by REST have one: the secret itself, because pushes may ask for it, and its SHA-256. */
  secureKey?: string;
  keyHash?: string;
  /** The opaque key that stands for the participant in pushes and CometD (`message.secureKey`). */
  obfuscatedKey?: string;
  /** Of those who have a key; the others act by NATS, where there are no requests to miss. */
  inactivity?: Inactivity;
  /** Last position that it says it has read. */
  readPosition?: number;
  /** Files and bytes that it has uploaded; what was deleted counts too. */
  uploaded?: { files: number; bytes: number };
  /** Position of its own leave: what others said later is not for it. Absent while it is in. */
  lastPosition?: number;
  subscription?: Subscription;
}

/** Record ids of the last five to ten minutes as fixed-width hashes, in two generations (DESIGN section 4). */
export interface RecentIds {
  readonly sinceMs: number;
  readonly now: string;
  readonly before: string;
}

interface SessionCommon {
  v: typeof SESSION_VERSION;
  sessionId: string;
  service: string;
  createdAtMs: number;
  /** Position of the next event; the first is 1. */
  nextPosition: number;
  nextParticipantId: number;
  participants: Participant[];
  userData: Record<string, string>;
  recent: RecentIds;
  idle?: Idle;
  files?: StoredFile[];
}

/**
 * One chat. An ended one stays for a grace time, so that late refreshes get the rest of the transcript. Values that go are
 * set to undefined and never deleted: an object that has lost a property is a dictionary to V8, large and slow to copy.
 */
export type Session = SessionCommon &
  ({ status: 'open' } | { status: 'ended'; endedAtMs: number; purgeAtMs: number });

/** A copy whose participants, subscriptions and inactivity may be changed without touching the original; the rest may be replaced. */
export function copySession(session: Session): Session {
  const copy = { ...session };
  copy.participants = session.participants.map(copyParticipant);
  if (copy.idle) copy.idle = { ...copy.idle };
  return copy;
}

function copyParticipant(participant: Participant): Participant {
  const copy = { ...participant };
  if (copy.subscription) copy.subscription = { ...copy.subscription };
  if (copy.inactivity) copy.inactivity = { ...copy.inactivity };
  return copy;
}

export function findParticipant(session: Session, userId: string): Participant | undefined {
  return session.participants.find((participant) => participant.userId === userId);
}
