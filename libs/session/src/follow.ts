import type { RecordOf, SessionOptions, SubscriptionChange, SubscriptionRequest } from '@flexpush/contracts';
import type { Reply, Work } from './effects';
import { startInactivity } from './inactivity';
import { confirm, isSubscribed, pushUnread, type Subscribed } from './push';
import { pageFrom, refused, reply } from './reply';
import type { Participant, Subscription } from './session';

/** A CometD client without a device: events reach it only while it is connected. */
const NO_DEVICE: SubscriptionRequest = {
  deviceId: '-',
  deviceType: 'comet',
  notifyRequestor: false,
  resend: false,
  debug: false,
};

export function startSubscription(request: SubscriptionRequest | undefined, address?: string): Subscription {
  const subscription: Subscription = { ...(request ?? NO_DEVICE), lastN: 0, unread: 1, status: 'open' };
  if (address !== undefined) subscription.address = address;
  return subscription;
}

/** Why pushes to such a device are not accepted, if so. */
export function deviceProblem(
  options: SessionOptions,
  { deviceType }: Pick<SubscriptionRequest, 'deviceType'>,
): 'push-disabled' | 'type-not-enabled' | undefined {
  if (!options.pushEnabled) return 'push-disabled';
  return options.deviceTypesEnabled.includes(deviceType) ? undefined : 'type-not-enabled';
}

/**
 * The participant's CometD client is connected (CONTRACT 2.5): the reply has what it missed, events go to it from here
 * on, and pushes to its device end, as after any refresh. A registration that exists goes on whatever the options say
 * now (CONTRACT 6 #9); a new one needs them, but not `flex-push-on-join` (#11).
 */
export function follow(work: Work, participant: Participant, record: RecordOf<'request.follow'>): Reply {
  if (!participant.subscription && !work.options.pushEnabled)
    return refused(work.session, { reason: 'new push registrations are switched off (flex-push-enabled)' });
  participant.subscription ??= startSubscription(undefined);
  if (!isSubscribed(participant)) return refused(work.session, { reason: 'not subscribed' });
  const { subscription } = participant;
  if (record.subscription) override(work, subscription, record.subscription);
  confirm(work, participant);
  const page = pageFrom(work.session, participant, record.transcriptPosition);
  subscription.address = record.address;
  subscription.unread = page.nextPosition;
  participant.inactivity = startInactivity(work, participant);
  return reply(work.session, 'ok', page);
}

/**
 * What the client names anew overrides its registration, what it does not name stays: a reliable one is not made a plain
 * one by a new device (CONTRACT 2.6). A first device needs its id and its type, a new one a type that is enabled.
 */
function override({ options }: Work, subscription: Subscription, change: SubscriptionChange): void {
  const { deviceId, deviceType = subscription.deviceType } = change;
  const isFirst = subscription.deviceType === 'comet';
  if (isFirst && (deviceId === undefined || change.deviceType === undefined)) return;
  const isNewDevice = deviceId !== undefined || change.deviceType !== undefined;
  if (isNewDevice && deviceProblem(options, { deviceType }) !== undefined) return;
  Object.assign(subscription, change);
}

/**
 * The CometD client has gone; it has read up to `lastPosition`, or, where nobody knows, what was sent to it. What it has
 * not read is pushed to its device, and so is what comes.
 */
export function goAway(
  work: Work,
  participant: Subscribed,
  { lastPosition }: { lastPosition: number | undefined },
): void {
  const { subscription } = participant;
  const { nextPosition } = work.session;
  subscription.address = undefined;
  subscription.unread = lastPosition === undefined ? nextPosition : Math.min(lastPosition + 1, nextPosition);
  if (participant.status === 'in') participant.inactivity = startInactivity(work, participant);
  pushUnread(work, participant);
}

/** A node found the connection, or the device, gone. Of an earlier one that is no news. */
export function foldGone(work: Work, participant: Participant, record: RecordOf<'push.gone'>): boolean {
  if (!isSubscribed(participant)) return false;
  const { subscription } = participant;
  if (subscription.address === record.deviceId) {
    goAway(work, participant, { lastPosition: lastReadBefore(subscription, record.position) });
    return true;
  }
  if (subscription.deviceId !== record.deviceId || subscription.deviceType === 'comet') return false;
  const { deviceType } = subscription;
  confirm(work, participant);
  // How it wants to be told stays, for another device of the same customer; and the counter, so that ids stay unique.
  const { deviceId, deviceType: type } = NO_DEVICE;
  Object.assign(subscription, { deviceId, deviceType: type });
  if (participant.status === 'in') participant.inactivity = startInactivity(work, participant);
  const { sessionId } = work.session;
  work.effects.push({
    kind: 'tell',
    fact: 'push.device-gone',
    fields: { sessionId, userId: participant.userId, deviceType },
  });
  return true;
}

/**
 * What a client surely had that vanished with its chat-api, which alone knew how far it had read. Reliable delivery takes
 * only what a reply said for read, and so announces perhaps too much; plain notifications go on with what was not taken.
 */
function lastReadBefore(subscription: Subscription, goneAt: number | undefined): number | undefined {
  const sent = goneAt === undefined ? undefined : Math.max(goneAt - 1, 0);
  return subscription.resend ? Math.min(subscription.unread - 1, sent ?? Infinity) : sent;
}
