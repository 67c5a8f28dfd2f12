import { BOUNDS } from '@flexpush/contracts';
import type { Reply } from './effects';
import type { Participant, Session } from './session';

export function reply(session: Session, outcome: Reply['outcome'], more: Partial<Reply> = {}): Reply {
  const monitored = session.participants.some(({ silent, status }) => silent && status === 'in');
  return { outcome, chatEnded: session.status === 'ended', monitored, ...more };
}

/** `code` is one of the contract's (`errorCodes`), and `reason` what it says as advice. */
export function refused(session: Session, why: { reason: string; code?: number }): Reply {
  return reply(session, 'refused', why);
}

/**
 * The part of the transcript from a position on, and the position to ask for next. A long one comes in several refreshes;
 * who is out reads up to its own leave, for the others may have gone on without it.
 */
export function pageFrom(
  session: Session,
  { lastPosition }: Participant,
  transcriptPosition: number | undefined,
): Partial<Reply> & { nextPosition: number } {
  const end = lastPosition === undefined ? session.nextPosition : lastPosition + 1;
  const first = Math.min(Math.max(transcriptPosition ?? 1, 1), end);
  const last = Math.min(end, first + BOUNDS.eventsPerReply) - 1;
  return { page: { first, last }, nextPosition: last + 1 };
}
