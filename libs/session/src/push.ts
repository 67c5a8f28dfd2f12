import {
  BOUNDS,
  subscriptionKey,
  type ChatEvent,
  type PushJob,
  type SubscriptionRequest,
} from '@flexpush/contracts';
import type { FoldContext, PositionedEvent, Work } from './effects';
import type { Participant, Subscription } from './session';

/** Kinds of chat events, as option `filtering_chat_events` names them. */
const eventKinds: Record<string, string> = {
  TypingStarted: 'typing',
  TypingStopped: 'typing',
  CustomNotice: 'notice',
  PushUrl: 'url',
  FileUploaded: 'file',
  FileDeleted: 'file',
  Message: 'message',
  ParticipantJoined: 'join',
  ParticipantLeft: 'leave',
  NicknameUpdated: 'nickname',
  IdleAlert: 'idle',
  IdleClose: 'idle',
};

export type Subscribed = Participant & { subscription: Subscription };

export function isSubscribed(participant: Participant): participant is Subscribed {
  return participant.subscription !== undefined;
}

/** Can it be reached by pushes at all? Else it is a polling client (CONTRACT 4.2a). */
export function isPushClient({ subscription }: Participant): boolean {
  return (
    subscription?.status === 'open' &&
    (subscription.address !== undefined || subscription.deviceType !== 'comet')
  );
}

/** Do pushes go to a device at present? Not to that of a connected CometD client, unless the option says so (CONTRACT 2.5). */
export function reachesDevice({ options }: FoldContext, { subscription }: Subscribed): boolean {
  return (
    subscription.deviceType !== 'comet' && (subscription.address === undefined || options.pushToActiveClient)
  );
}

/** Own activity is pushed only when that was asked for (CONTRACT 6 #34), filtered kinds never (#35). */
function causesPush(
  work: Work,
  { subscription }: Subscribed,
  { event, isOwn }: { event: ChatEvent; isOwn: boolean },
): boolean {
  if (isOwn && !subscription.notifyRequestor) return false;
  return !work.options.filteredEvents.includes(eventKinds[event.type] ?? '');
}

/**
 * Pushes an event to a participant: to its connected CometD client all of them, to its device a trigger in reliable mode,
 * else the event itself. `full` has what only customhttp shows.
 */
export function pushEvent(
  work: Work,
  participant: Subscribed,
  { shown, full, isOwn }: { shown: PositionedEvent; full: PositionedEvent; isOwn: boolean },
): void {
  const { subscription } = participant;
  if (subscription.status !== 'open') return;
  if (subscription.address !== undefined) pushToClient(work, participant, shown);
  if (!reachesDevice(work, participant) || !causesPush(work, participant, { event: shown, isOwn })) return;
  if (subscription.resend) startSchedule(work, participant);
  else pushPlain(work, participant, full);
}

/** The CometD client has gone: what it has not read yet is pushed to its device now (CONTRACT 2.5). */
export function pushUnread(work: Work, participant: Subscribed): void {
  const { subscription } = participant;
  if (!reachesDevice(work, participant)) return;
  // Who is out reads up to its own leave.
  const end = Math.min(work.session.nextPosition, (participant.lastPosition ?? Infinity) + 1);
  if (subscription.unread >= end) return;
  if (subscription.resend) {
    startSchedule(work, participant);
    return;
  }
  const { plainNotificationsPerSubscription } = BOUNDS;
  const first = Math.max(subscription.unread, end - plainNotificationsPerSubscription);
  const unread = work.transcript?.(first);
  if (!unread) pushPlain(work, participant);
  for (const event of unread ?? []) {
    if (event.index === undefined || event.index >= end) continue;
    const isOwn = event.from.participantId === participant.participantId;
    if (causesPush(work, participant, { event, isOwn })) pushPlain(work, participant, event);
  }
}

/** To be spread behind other values: an object that begins with a spread costs V8 a microsecond for each value behind it. */
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
    language: subscription.language,
    obfuscatedKey: participant.obfuscatedKey ?? '',
    chatEnded: session.status === 'ended',
    atMs: work.atMs,
  };
}

/** Content goes out when the user data flag or the service option says so; an explicit user data `false` wins (CONTRACT 6 #18). */
export function wantsPayload({ options }: FoldContext, subscription: SubscriptionRequest): boolean {
  return subscription.includePayload ?? options.includePayload;
}

function pushPlain(work: Work, participant: Subscribed, event?: ChatEvent): void {
  participant.subscription.lastN++;
  const content = event && contentOf(work, participant.subscription, event);
  const payload = content ? { event: content } : {};
  work.effects.push({ kind: 'notify', job: { kind: 'plain', ...payload, ...common(work, participant) } });
}

/** What of an event may leave: to FCM and APNs who did what, never what was said (CONTRACT 6 #25). */
function contentOf(work: Work, subscription: SubscriptionRequest, event: ChatEvent): ChatEvent | undefined {
  if (subscription.deviceType === 'customhttp') return wantsPayload(work, subscription) ? event : undefined;
  const { from, index, type, utcTime } = event;
  return { from, index, type, utcTime };
}

/** To the CometD client, with what the event says, or without an event as a ping. */
function pushToClient(work: Work, participant: Subscribed, event?: PositionedEvent): void {
  const { subscription } = participant;
  subscription.lastN++;
  const job: PushJob = {
    kind: 'plain',
    ...(event ? { event } : {}),
    ...common(work, participant),
    deviceType: 'comet',
    deviceId: subscription.address ?? '',
  };
  work.effects.push({ kind: 'notify', job });
}

function pushTrigger(work: Work, participant: Subscribed, attempt: number): void {
  const { subscription } = participant;
  subscription.lastN++;
  const content = work.options.pushContent;
  const job: PushJob = {
    kind: 'trigger',
    attempt,
    position: subscription.status === 'removed' ? -1 : subscription.unread,
    content,
    ...common(work, participant),
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
  subscription.schedule = undefined;
}

/** The ping of the inactivity ladder: an ordinary push with the current position (CONTRACT 6 #12). */
export function ping(work: Work, participant: Subscribed): void {
  if (participant.subscription.address !== undefined) pushToClient(work, participant);
  else if (participant.subscription.resend) startSchedule(work, participant);
  else pushPlain(work, participant);
}
