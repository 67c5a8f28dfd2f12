import { BOUNDS, type ChatEvent } from '@flexpush/contracts';
import type { Work } from './effects';
import { causesPush, confirm, isSubscribed, pushEvent, startSchedule } from './push';
import type { Participant } from './session';

/** Later than any push schedule with usual options, and long enough for late refreshes (CONTRACT 6 #39). */
export const PURGE_DELAY_MS = 600_000;

/**
 * Appends one event at the next position and pushes it to whom it concerns (I1). `own` tells whether the author did it
 * itself; what was done to it counts as somebody else's activity.
 */
export function say(
  work: Work,
  author: Participant,
  event: Omit<ChatEvent, 'from' | 'index' | 'utcTime'>,
  cause: { own: boolean } = { own: true },
): void {
  const { session } = work;
  const from = { nickname: author.nickname, participantId: author.participantId, type: author.type };
  const positioned = { from, index: session.nextPosition++, ...event, utcTime: work.atMs };
  work.effects.push({ kind: 'append', event: positioned });
  for (const participant of session.participants) {
    if (!isSubscribed(participant)) continue;
    const isOwn = cause.own && participant === author;
    if (causesPush(work, participant, positioned, isOwn)) pushEvent(work, participant, positioned);
  }
}

/** May the session still grow? Leaving and ending always may. */
export function hasRoom(work: Work): boolean {
  return work.session.nextPosition <= BOUNDS.eventsPerSession;
}

/**
 * Takes a participant out. `own` is true when it left by itself: then it is pushed only with NotifyRequestor. A reliable
 * subscription gets a last trigger with position -1, which goes on by the schedule until acknowledged (CONTRACT 6 #14).
 */
export function removeParticipant(work: Work, participant: Participant, options: { own: boolean }): void {
  participant.status = 'out';
  participant.typing = false;
  // Nobody is left to talk to: the chat is over.
  if (work.session.status === 'open' && work.session.participants.every(({ status }) => status === 'out'))
    endSession(work);
  sayLeft(work, participant, options);
}

/** Everybody is taken out, agents first, so that customers read who left before their own leave. */
export function closeSession(work: Work): void {
  const present = work.session.participants.filter(({ status }) => status === 'in');
  endSession(work);
  const agentsFirst = [
    ...present.filter(({ type }) => type !== 'Client'),
    ...present.filter(({ type }) => type === 'Client'),
  ];
  for (const participant of agentsFirst) {
    participant.status = 'out';
    participant.typing = false;
    sayLeft(work, participant, { own: false });
  }
}

function endSession(work: Work): void {
  work.session = {
    ...work.session,
    status: 'ended',
    endedAtMs: work.atMs,
    purgeAtMs: work.atMs + PURGE_DELAY_MS,
  };
}

function sayLeft(work: Work, participant: Participant, cause: { own: boolean }): void {
  participant.lastPosition = work.session.nextPosition;
  say(work, participant, { type: 'ParticipantLeft' }, cause);
  if (!isSubscribed(participant) || participant.subscription.status !== 'open') return;
  const { subscription } = participant;
  subscription.status = 'removed';
  if (!subscription.resend) return;
  // Who leaves by itself and did not ask for its own activity needs no telling: leaving was its acknowledgement.
  if (cause.own && !subscription.notifyRequestor) confirm(work, participant);
  else startSchedule(work, participant);
}
