import { BOUNDS } from './bounds';
import type { SubscriptionRequest } from './records';

/** The user data keys of the page (all ten; CONTRACT section 5). Other `GCTI_*` keys are kept as user data. */
export const userDataKeys = {
  pushSubscribe: 'GCTI_Chat_PushSubscribe',
  nodeGroup: 'GCTI_GMS_NodeGroup',
  deviceId: 'GCTI_GMS_PushDeviceId',
  deviceType: 'GCTI_GMS_PushDeviceType',
  notifyRequestor: 'GCTI_GMS_NotifyRequestor',
  includePayload: 'GCTI_GMS_PushIncludePayload',
  resend: 'GCTI_GMS_PushResend',
  provider: 'GCTI_GMS_PushProvider',
  debug: 'GCTI_GMS_PushDebug',
  clientChannel: 'GCTI_GMS_ClientChannel',
} as const;

/** Keys of the reply's `userData` that say what became of the subscription. */
export const replyKeys = {
  pushStatus: 'flexpush-push',
  pushReason: 'flexpush-push-reason',
} as const;

/** Why a chat starts without push. */
export type SubscriptionProblem =
  | 'not-requested'
  | 'missing-device-id'
  | 'missing-device-type'
  | 'unknown-device-type'
  | 'device-id-too-long'
  | 'on-join-disabled'
  | 'push-disabled';

/** A map, because an object would also know `constructor` and the like. */
const deviceTypes = new Map<string, SubscriptionRequest['deviceType']>([
  ['customhttp', 'customhttp'],
  ['fcm', 'fcm'],
  ['ios', 'ios'],
  ['comet', 'comet'],
]);

/** What the user data asks for. `flex-push-enabled` and `flex-push-on-join` are judged by the fold, not here. */
export function parseSubscription(
  userData: Record<string, string>,
):
  | { kind: 'subscription'; subscription: SubscriptionRequest }
  | { kind: 'none'; problem: SubscriptionProblem } {
  const isTrue = (key: string) => userData[key]?.trim().toLowerCase() === 'true';
  const optional = (key: string) => userData[key]?.trim() || undefined;
  if (!isTrue(userDataKeys.pushSubscribe)) return { kind: 'none', problem: 'not-requested' };
  const deviceId = optional(userDataKeys.deviceId);
  if (!deviceId) return { kind: 'none', problem: 'missing-device-id' };
  if (deviceId.length > BOUNDS.deviceIdChars) return { kind: 'none', problem: 'device-id-too-long' };
  const typeText = optional(userDataKeys.deviceType);
  if (!typeText) return { kind: 'none', problem: 'missing-device-type' };
  const deviceType = deviceTypes.get(typeText.toLowerCase());
  if (!deviceType) return { kind: 'none', problem: 'unknown-device-type' };
  const includePayload = optional(userDataKeys.includePayload)?.toLowerCase();
  return {
    kind: 'subscription',
    subscription: {
      deviceId,
      deviceType,
      nodeGroup: optional(userDataKeys.nodeGroup)?.slice(0, 64),
      notifyRequestor: isTrue(userDataKeys.notifyRequestor),
      includePayload: includePayload === 'true' ? true : includePayload === 'false' ? false : undefined,
      resend: isTrue(userDataKeys.resend),
      provider: optional(userDataKeys.provider)?.slice(0, 64),
      debug: isTrue(userDataKeys.debug),
    },
  };
}
