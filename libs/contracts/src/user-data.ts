import { BOUNDS } from './bounds';
import {
  deviceTypes as deviceTypeNames,
  type DeviceType,
  type SubscriptionChange,
  type SubscriptionRequest,
} from './records';

/** The user data keys that mean something here, all ten of the page among them (CONTRACT section 5). Other `GCTI_*` keys are kept as user data. */
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
  language: 'GCTI_LanguageCode',
  sessionPassword: 'GCTI_Chat_SessionPassword',
  asyncMode: 'GCTI_Chat_AsyncMode',
  asyncStatus: 'GCTI_Chat_AsyncStatus',
  asyncCheckAt: 'GCTI_Chat_AsyncCheckAt',
} as const;

/** The user data keys of push for CometD clients (CONTRACT 2.6). */
export const cometUserDataKeys = {
  deviceId: 'push_notification_deviceid',
  deviceType: 'push_notification_type',
  language: 'push_notification_language',
  debug: 'push_notification_debug',
  provider: 'push_notification_provider',
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
  | 'type-not-enabled'
  | 'on-join-disabled'
  | 'push-disabled';

/** A map, because an object would also know `constructor` and the like. */
const deviceTypes = new Map<string, DeviceType>(deviceTypeNames.map((name) => [name, name]));

type ParsedSubscription =
  | { kind: 'subscription'; subscription: SubscriptionRequest }
  | { kind: 'none'; problem: SubscriptionProblem };

const isTrue = (text: string | undefined) => text?.trim().toLowerCase() === 'true';

function parseDevice(device: {
  deviceId: string | undefined;
  deviceType: string | undefined;
}):
  | { kind: 'device'; deviceId: string; deviceType: DeviceType }
  | { kind: 'none'; problem: SubscriptionProblem } {
  const deviceId = device.deviceId?.trim();
  if (!deviceId) return { kind: 'none', problem: 'missing-device-id' };
  if (deviceId.length > BOUNDS.deviceIdChars) return { kind: 'none', problem: 'device-id-too-long' };
  const typeText = device.deviceType?.trim();
  if (!typeText) return { kind: 'none', problem: 'missing-device-type' };
  const deviceType = deviceTypes.get(typeText.toLowerCase());
  if (!deviceType) return { kind: 'none', problem: 'unknown-device-type' };
  return { kind: 'device', deviceId, deviceType };
}

/** Undefined where the text says neither. */
function flagOf(text: string | undefined): boolean | undefined {
  const word = text?.trim().toLowerCase();
  return word === 'true' ? true : word === 'false' ? false : undefined;
}

/** Those that say nothing of the device itself. */
function parseManner(userData: Record<string, string>) {
  const optional = (key: string) => userData[key]?.trim() || undefined;
  return {
    nodeGroup: optional(userDataKeys.nodeGroup)?.slice(0, 64),
    includePayload: flagOf(userData[userDataKeys.includePayload]),
    provider: optional(userDataKeys.provider)?.slice(0, 64),
    language: optional(userDataKeys.language)?.slice(0, BOUNDS.languageChars),
  };
}

/** What the user data of a chat by REST asks for. `flex-push-enabled` and `flex-push-on-join` are judged by the fold, not here. */
export function parseSubscription(userData: Record<string, string>): ParsedSubscription {
  if (!isTrue(userData[userDataKeys.pushSubscribe])) return { kind: 'none', problem: 'not-requested' };
  const device = parseDevice({
    deviceId: userData[userDataKeys.deviceId],
    deviceType: userData[userDataKeys.deviceType],
  });
  if (device.kind === 'none') return device;
  return {
    kind: 'subscription',
    subscription: {
      deviceId: device.deviceId,
      deviceType: device.deviceType,
      ...parseManner(userData),
      notifyRequestor: isTrue(userData[userDataKeys.notifyRequestor]),
      resend: isTrue(userData[userDataKeys.resend]),
      debug: isTrue(userData[userDataKeys.debug]),
    },
  };
}

/** The user data with the `push_notification_*` values under the `GCTI_*` keys that they stand for; the former win. */
function withCometKeys(userData: Record<string, string>): Record<string, string> {
  const named: Record<string, string> = { ...userData };
  for (const key of Object.keys(cometUserDataKeys) as (keyof typeof cometUserDataKeys)[]) {
    const value = userData[cometUserDataKeys[key]]?.trim();
    if (value) named[userDataKeys[key]] = value;
  }
  return named;
}

/**
 * What the user data of a CometD client asks for while it is away (CONTRACT 2.6): the `push_notification_*` keys, or
 * the `GCTI_*` ones that they stand for. A subscription of its own is not needed, so none may be asked for.
 */
export function parseCometSubscription(userData: Record<string, string>): ParsedSubscription {
  const named = withCometKeys(userData);
  if (!named[userDataKeys.deviceId]?.trim() && !named[userDataKeys.deviceType]?.trim())
    return { kind: 'none', problem: 'not-requested' };
  return parseSubscription({ ...named, [userDataKeys.pushSubscribe]: 'true' });
}

/**
 * What a CometD client that comes back names anew, and nothing else: later values override, the others stay
 * (CONTRACT 2.6). Undefined when it names nothing, or a device that no push could reach: then all stays.
 */
export function parseSubscriptionChange(userData: Record<string, string>): SubscriptionChange | undefined {
  const named = withCometKeys(userData);
  const deviceId = named[userDataKeys.deviceId]?.trim() || undefined;
  const typeText = named[userDataKeys.deviceType]?.trim() || undefined;
  const deviceType = typeText === undefined ? undefined : deviceTypes.get(typeText.toLowerCase());
  if (typeText !== undefined && deviceType === undefined) return undefined;
  if (deviceId !== undefined && deviceId.length > BOUNDS.deviceIdChars) return undefined;
  const change: SubscriptionChange = {
    deviceId,
    deviceType,
    ...parseManner(named),
    notifyRequestor: flagOf(named[userDataKeys.notifyRequestor]),
    resend: flagOf(named[userDataKeys.resend]),
    debug: flagOf(named[userDataKeys.debug]),
  };
  const said = Object.entries(change).filter(([, value]) => value !== undefined);
  return said.length === 0 ? undefined : Object.fromEntries(said);
}
