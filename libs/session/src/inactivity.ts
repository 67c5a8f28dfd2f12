import type { Work } from './effects';
import { isPushClient, isSubscribed, ping } from './push';
import type { Inactivity, Participant } from './session';
import { quitReasons, removeParticipant } from './transcript';

/** A fire this late comes after an outage, in which people could not have called (DESIGN section 8). */
export const LATE_MS = 5_000;

/** How long a participant may make no request before the first step (CONTRACT 4.2a). */
function patienceMs({ options }: Work, participant: Participant): number {
  return isPushClient(participant) ? options.pushTimeoutMs : options.disconnectTimeoutMs;
}

/** The ladder from its foot: when a customer joins, and when it becomes a push client or a polling one. */
export function startInactivity(work: Work, participant: Participant): Inactivity {
  return {
    lastRequestAtMs: work.atMs,
    step: 'quiet',
    dueAtMs: work.atMs + patienceMs(work, participant),
  };
}

/**
 * Any request of the participant resets the ladder. The timer is left as it is, because its fire arms it anew; only when
 * the time-out was shortened meanwhile is it brought forward, or the change would come into effect a whole old one later.
 */
export function noteRequest(work: Work, participant: Participant): void {
  const { inactivity } = participant;
  if (!inactivity) return;
  inactivity.lastRequestAtMs = work.atMs;
  inactivity.step = 'quiet';
  inactivity.dueAtMs = Math.min(inactivity.dueAtMs, work.atMs + patienceMs(work, participant));
}

/**
 * The ladder's timer fired: flex-push-timeout -> ping -> flex-push-timeout -> flex-disconnect-timeout -> removal, and
 * for a polling client flex-disconnect-timeout -> removal.
 */
export function climb(work: Work, participant: Participant): void {
  const { inactivity } = participant;
  if (!inactivity || participant.status === 'out') return;
  const { pushTimeoutMs, disconnectTimeoutMs } = work.options;
  const wasLate = work.atMs - inactivity.dueAtMs > LATE_MS;
  switch (inactivity.step) {
    case 'quiet': {
      const quietUntilMs = inactivity.lastRequestAtMs + patienceMs(work, participant);
      if (quietUntilMs > work.atMs) inactivity.dueAtMs = quietUntilMs;
      else if (wasLate) inactivity.dueAtMs = work.atMs + patienceMs(work, participant);
      else if (isSubscribed(participant) && isPushClient(participant)) {
        ping(work, participant);
        inactivity.step = 'pinged';
        inactivity.dueAtMs = work.atMs + pushTimeoutMs;
      } else removeParticipant(work, participant, { own: false, reason: quitReasons.inactive });
      return;
    }
    case 'pinged':
      if (wasLate) inactivity.dueAtMs = work.atMs + pushTimeoutMs;
      else {
        inactivity.step = 'leaving';
        inactivity.dueAtMs = work.atMs + disconnectTimeoutMs;
      }
      return;
    case 'leaving':
      if (wasLate) inactivity.dueAtMs = work.atMs + disconnectTimeoutMs;
      else removeParticipant(work, participant, { own: false, reason: quitReasons.inactive });
      return;
    default:
      inactivity.step satisfies never;
  }
}
