import { subscriptionKey, type PushJob, type SubscriptionRequest } from '@flexpush/contracts';
import type { FoldContext, PositionedEvent, Work } from './effects';
import type { Participant, Subscription } from './session';

/** Kinds of chat events, as option `filtering_chat_events` names them. */
const eventKinds: Record<string, string> = {
  TypingStarted: 'typing',
  TypingStopped: 'typing',
  CustomNotice: 'notice',
  PushUrl: 'url',
  Message: 'message',
  ParticipantJoined: 'join',
  ParticipantLeft: 'leave',
};

type Subscribed = Participant & { subscription: Subscription };

export function isSubscribed(participant: Participant): participant is Subscribed {
  return participant.subscription !== undefined;
}

/** Does this event cause a push to this participant? Its own activity only when it asked for that (CONTRACT 6 #34, #35). */
export function causesPush(
  work: Work,
  participant: Subscribed,
  event: PositionedEvent,
  isOwn: boolean,
): boolean {
  if (participant.subscription.status !== 'open') return false;
  if (isOwn && !participant.subscription.notifyRequestor) return false;
  return !work.options.filteredEvents.includes(eventKinds[event.type] ?? '');
}

/** Pushes an event: a trigger in reliable mode, else the event itself. */
export function pushEvent(work: Work, participant: Subscribed, event: PositionedEvent): void {
  if (participant.subscription.resend) startSchedule(work, participant);
  else pushPlain(work, participant, event);
}

function common(work: Work, participant: Subscribed) {
  const { subscription } = participant;
  const { session } = work;
  return {
    id: `${subscriptionKey(session.sessionId, participant.userId)}:${subscription.lastN}`,
    n: subscription.lastN,
    sessionId: session.sessionId as PushJob['sessionId'],
    userId: participant.userId as PushJob['userId'],
    service: session.service,
    deviceType: subscription.deviceType,
    deviceId: subscription.deviceId,
    nodeGroup: subscription.nodeGroup,
    provider: subscription.provider,
    debug: subscription.debug,
    obfuscatedKey: subscription.obfuscatedKey,
    chatEnded: session.status === 'ended',
    atMs: work.atMs,
  };
}

/** Content goes out when the user data flag or the service option says so; an explicit user data `false` wins (CONTRACT 6 #18). */
export function wantsPayload({ options }: FoldContext, subscription: SubscriptionRequest): boolean {
  return subscription.includePayload ?? options.includePayload;
}

function pushPlain(work: Work, participant: Subscribed, event?: PositionedEvent): void {
  participant.subscription.lastN++;
  const payload = event && wantsPayload(work, participant.subscription) ? { event } : {};
  work.effects.push({ kind: 'notify', job: { ...common(work, participant), kind: 'plain', ...payload } });
}

function pushTrigger(work: Work, participant: Subscribed, attempt: number): void {
  const { subscription } = participant;
  subscription.lastN++;
  const content = work.options.pushContent;
  const job: PushJob = {
    ...common(work, participant),
    kind: 'trigger',
    attempt,
    position: subscription.status === 'removed' ? -1 : subscription.unread,
    content,
  };
  if (!wantsPayload(work, subscription)) job.bare = true;
  if (content.includes('secure-key') && participant.secureKey) job.secureKey = participant.secureKey;
  work.effects.push({ kind: 'notify', job });
}

/** A fresh trigger at once, attempt 0, and one schedule from now; an earlier one is replaced (CONTRACT 6 #7, I5). */
export function startSchedule(work: Work, participant: Subscribed): void {
  pushTrigger(work, participant, 0);
  const { subscription } = participant;
  const { resendAttemptMax, resendDelayMs } = work.options;
  subscription.schedule =
    resendAttemptMax > 0
      ? { n: subscription.lastN, attempt: 0, status: 'armed', dueAtMs: work.atMs + resendDelayMs }
      : { n: subscription.lastN, attempt: 0, status: 'exhausted' };
}

/**
 * The resend timer fired. Attempt k is due k delays after attempt 0; one that fires late by more than half a delay moves
 * the base, so that schedules do not burn out in a burst after an outage (DESIGN section 8).
 */
export function resend(work: Work, participant: Subscribed): void {
  const { subscription } = participant;
  const { schedule } = subscription;
  if (schedule?.status !== 'armed') return;
  const { resendAttemptMax, resendDelayMs } = work.options;
  const attempt = schedule.attempt + 1;
  if (attempt > resendAttemptMax) {
    subscription.schedule = { n: schedule.n, attempt: schedule.attempt, status: 'exhausted' };
    return;
  }
  pushTrigger(work, participant, attempt);
  const isLate = work.atMs - schedule.dueAtMs > resendDelayMs / 2;
  const dueAtMs = (isLate ? work.atMs : schedule.dueAtMs) + resendDelayMs;
  subscription.schedule =
    attempt < resendAttemptMax
      ? { n: subscription.lastN, attempt, status: 'armed', dueAtMs }
      : { n: subscription.lastN, attempt, status: 'exhausted' };
}

/** The participant has refreshed, or its removal is acknowledged: the only ends of a schedule besides the limit (I4). */
export function confirm(work: Work, participant: Subscribed): void {
  const { subscription } = participant;
  if (!subscription.schedule) return;
  work.effects.push({
    kind: 'withdraw',
    subscription: subscriptionKey(work.session.sessionId, participant.userId),
    n: subscription.lastN,
  });
  delete subscription.schedule;
}

/** The ping of the inactivity ladder: an ordinary push with the current position (CONTRACT 6 #12). */
export function ping(work: Work, participant: Subscribed): void {
  if (participant.subscription.resend) startSchedule(work, participant);
  else pushPlain(work, participant);
}
