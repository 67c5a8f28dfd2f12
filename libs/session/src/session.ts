import type { ParticipantType, SubscriptionRequest } from '@flexpush/contracts';

/** Version of the stored state; a node refuses a shard whose sessions are newer than it can read. */
export const SESSION_VERSION = 1;

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

/** Where a push client stands on the inactivity ladder (CONTRACT 4.2a). The timer is lazy: requests only note their time. */
export interface Inactivity {
  lastRequestAtMs: number;
  /** `quiet` -> ping -> `pinged` -> `leaving` -> removed. Any request goes back to `quiet`. */
  step: 'quiet' | 'pinged' | 'leaving';
  dueAtMs: number;
}

/** A participant's push registration. */
export interface Subscription extends SubscriptionRequest {
  /** The opaque key that pushes show as `message.secureKey`. */
  obfuscatedKey: string;
  /** Counter of notifications; the notification id is `sessionId:userId:n`. */
  lastN: number;
  /** First position that this participant has not retrieved. */
  unread: number;
  /** `removed`: the participant is out; what is still pushed says position -1. */
  status: 'open' | 'removed';
  schedule?: Schedule;
  inactivity: Inactivity;
}

export interface Participant {
  userId: string;
  participantId: number;
  nickname: string;
  type: ParticipantType;
  status: 'in' | 'out';
  typing: boolean;
  /** Only participants that came by REST have one: the secret itself, because pushes may ask for it, and its SHA-256. */
  secureKey?: string;
  keyHash?: string;
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
}

/** One chat. An ended one stays for a grace time, so that late refreshes get the rest of the transcript. */
export type Session = SessionCommon &
  ({ status: 'open' } | { status: 'ended'; endedAtMs: number; purgeAtMs: number });

/** A copy whose participants and subscriptions may be changed without touching the original; the rest may be replaced. */
export function copySession(session: Session): Session {
  return {
    ...session,
    participants: session.participants.map((participant) => {
      const { subscription } = participant;
      if (!subscription) return { ...participant };
      return {
        ...participant,
        subscription: { ...subscription, inactivity: { ...subscription.inactivity } },
      };
    }),
  };
}

export function findParticipant(session: Session, userId: string): Participant | undefined {
  return session.participants.find((participant) => participant.userId === userId);
}
