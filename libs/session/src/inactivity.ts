import type { Work } from './effects';
import { isSubscribed, ping } from './push';
import type { Inactivity, Participant } from './session';
import { removeParticipant } from './transcript';

/** A fire this late comes after an outage, in which people could not have called (DESIGN section 8). */
const LATE_MS = 5_000;

/** A push client's ladder starts when it joins (CONTRACT 4.2a). */
export function startInactivity(work: Work): Inactivity {
  return { lastRequestAtMs: work.atMs, step: 'quiet', dueAtMs: work.atMs + work.options.pushTimeoutMs };
}

/**
 * Any request of the participant resets the ladder. The timer is left as it is, because its fire arms it anew; only when
 * the time-out was shortened meanwhile is it brought forward, or the change would come into effect a whole old one later.
 */
export function noteRequest(work: Work, participant: Participant): void {
  if (!isSubscribed(participant)) return;
  const { inactivity } = participant.subscription;
  inactivity.lastRequestAtMs = work.atMs;
  inactivity.step = 'quiet';
  inactivity.dueAtMs = Math.min(inactivity.dueAtMs, work.atMs + work.options.pushTimeoutMs);
}

/** The ladder's timer fired: flex-push-timeout -> ping -> flex-push-timeout -> flex-disconnect-timeout -> removal. */
export function climb(work: Work, participant: Participant): void {
  if (!isSubscribed(participant) || participant.subscription.status !== 'open') return;
  const { inactivity } = participant.subscription;
  const { pushTimeoutMs, disconnectTimeoutMs } = work.options;
  const wasLate = work.atMs - inactivity.dueAtMs > LATE_MS;
  switch (inactivity.step) {
    case 'quiet': {
      const quietUntilMs = inactivity.lastRequestAtMs + pushTimeoutMs;
      if (quietUntilMs > work.atMs) inactivity.dueAtMs = quietUntilMs;
      else if (wasLate) inactivity.dueAtMs = work.atMs + pushTimeoutMs;
      else {
        ping(work, participant);
        inactivity.step = 'pinged';
        inactivity.dueAtMs = work.atMs + pushTimeoutMs;
      }
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
      else removeParticipant(work, participant, { own: false });
      return;
    default:
      inactivity.step satisfies never;
  }
}
