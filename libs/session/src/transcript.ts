import { BOUNDS, type ChatEvent } from '@flexpush/contracts';
import type { PositionedEvent, Work } from './effects';
import { noteActivity } from './idle-watch';
import { confirm, isSubscribed, pushEvent, reachesDevice, startSchedule } from './push';
import type { Participant } from './session';

/** Later than any push schedule with usual options, and long enough for late refreshes (CONTRACT 6 #39). */
export const PURGE_DELAY_MS = 600_000;

/** `quit-reason-code` of a leave (CONTRACT 4.3). */
export const quitReasons = {
  byItself: 0,
  inactive: 3,
  byParticipant: 4,
  byServer: 5,
  badKey: 6,
  chatIdle: 7,
} as const;
export type QuitReason = (typeof quitReasons)[keyof typeof quitReasons];

/** These show in customhttp pushes only (CONTRACT 4.3). */
const isPushedOnly = (reason: QuitReason) =>
  reason === quitReasons.byItself || reason === quitReasons.inactive;

type Author = Pick<Participant, 'nickname' | 'participantId' | 'type' | 'style'>;

/** Who speaks when nobody does (sample R6 of the contract). */
export const SYSTEM: Author = { nickname: 'system', participantId: 0, type: 'External' };

/**
 * Appends one event at the next position and pushes it to whom it concerns (I1). `own` tells whether the author did it
 * itself; what was done to it counts as somebody else's activity.
 */
export function say(
  work: Work,
  author: Author,
  event: Omit<ChatEvent, 'from' | 'index' | 'utcTime' | 'eventAttributes'>,
  cause: { own: boolean; reason?: QuitReason } = { own: true },
): void {
  const { session } = work;
  const from = { nickname: author.nickname, participantId: author.participantId, type: author.type };
  const positioned = { from, index: session.nextPosition++, ...event, utcTime: work.atMs };
  const { reason } = cause;
  const style = event.type === 'ParticipantJoined' ? author.style : undefined;
  // Most events have none.
  const full = reason === undefined && !style ? positioned : withAttributes(positioned, { reason, style });
  const shown = reason !== undefined && isPushedOnly(reason) ? positioned : full;
  work.effects.push({ kind: 'append', event: shown });
  for (const participant of session.participants) {
    if (!isSubscribed(participant)) continue;
    pushEvent(work, participant, { shown, full, isOwn: cause.own && participant === author });
  }
  noteActivity(work, shown);
}

function withAttributes(
  event: PositionedEvent,
  { reason, style }: { reason: QuitReason | undefined; style: 'BOT' | undefined },
): PositionedEvent {
  const attributes = {
    ...(reason === undefined ? {} : { 'quit-reason-code': reason }),
    ...(style ? { 'party-info': { style } } : {}),
  };
  return { ...event, eventAttributes: { GCTI_SYSTEM: attributes } };
}

/** May the session still grow? Leaving and ending always may. */
export function hasRoom(work: Work): boolean {
  return work.session.nextPosition <= BOUNDS.eventsPerSession;
}

/**
 * Takes a participant out. `own` is true when it left by itself: then it is pushed only with NotifyRequestor. A reliable
 * subscription gets a last trigger with position -1, which goes on by the schedule until acknowledged (CONTRACT 6 #14).
 */
export function removeParticipant(
  work: Work,
  participant: Participant,
  cause: { own: boolean; reason: QuitReason },
): void {
  participant.status = 'out';
  participant.typing = false;
  // Nobody is left to talk to: the chat is over.
  if (
    work.session.status === 'open' &&
    work.session.participants.every(({ status, silent }) => status === 'out' || silent)
  )
    endSession(work);
  sayLeft(work, participant, cause);
}

/** Everybody is taken out, agents first, so that customers read who left before their own leave. */
export function closeSession(work: Work, reason: QuitReason): void {
  const present = work.session.participants.filter(({ status }) => status === 'in');
  endSession(work);
  const agentsFirst = [
    ...present.filter(({ type }) => type !== 'Client'),
    ...present.filter(({ type }) => type === 'Client'),
  ];
  for (const participant of agentsFirst) {
    participant.status = 'out';
    participant.typing = false;
    sayLeft(work, participant, { own: false, reason });
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

function sayLeft(work: Work, participant: Participant, cause: { own: boolean; reason: QuitReason }): void {
  // Nobody saw a silent monitor come.
  if (participant.silent) return;
  participant.lastPosition = work.session.nextPosition;
  say(work, participant, { type: 'ParticipantLeft' }, cause);
  if (!isSubscribed(participant) || participant.subscription.status !== 'open') return;
  const { subscription } = participant;
  subscription.status = 'removed';
  // A connected CometD client reads its own leave.
  if (!subscription.resend || !reachesDevice(work, participant)) return;
  // Who leaves by itself and did not ask for its own activity needs no telling: leaving was its acknowledgement.
  if (cause.own && !subscription.notifyRequestor) confirm(work, participant);
  else startSchedule(work, participant);
}
