import { parseCometSubscription, parseSubscription, parseSubscriptionChange } from './user-data';

const full = {
  GCTI_Chat_PushSubscribe: 'true',
  GCTI_GMS_NodeGroup: 'gms-cluster-a',
  GCTI_GMS_PushDeviceId: 'dev-7f31c2',
  GCTI_GMS_PushDeviceType: 'customhttp',
  GCTI_GMS_NotifyRequestor: 'true',
  GCTI_GMS_PushIncludePayload: 'true',
  GCTI_GMS_PushResend: 'true',
  GCTI_GMS_PushProvider: 'second',
  GCTI_GMS_PushDebug: 'true',
  GCTI_GMS_ClientChannel: 'support-web',
};
const parsed = {
  deviceId: 'dev-7f31c2',
  deviceType: 'customhttp',
  nodeGroup: 'gms-cluster-a',
  notifyRequestor: true,
  includePayload: true,
  resend: true,
  provider: 'second',
  debug: true,
};

describe('parseSubscription', () => {
  it.each<{ name: string; given: Record<string, string | undefined>; expected: object }>([
    { name: 'all ten keys', given: {}, expected: {} },
    {
      name: 'only what is needed',
      given: {
        GCTI_GMS_NodeGroup: undefined,
        GCTI_GMS_NotifyRequestor: undefined,
        GCTI_GMS_PushIncludePayload: undefined,
        GCTI_GMS_PushResend: undefined,
        GCTI_GMS_PushProvider: undefined,
        GCTI_GMS_PushDebug: undefined,
        GCTI_GMS_ClientChannel: undefined,
      },
      expected: {
        nodeGroup: undefined,
        notifyRequestor: false,
        includePayload: undefined,
        resend: false,
        provider: undefined,
        debug: false,
      },
    },
    { name: 'blanks and capitals', given: { GCTI_Chat_PushSubscribe: ' TRUE ' }, expected: {} },
    {
      name: 'a device id with blanks around',
      given: { GCTI_GMS_PushDeviceId: ' d ' },
      expected: { deviceId: 'd' },
    },
    {
      name: 'a device type in capitals',
      given: { GCTI_GMS_PushDeviceType: 'FCM' },
      expected: { deviceType: 'fcm' },
    },
    {
      name: 'an explicit false',
      given: { GCTI_GMS_PushIncludePayload: 'false' },
      expected: { includePayload: false },
    },
    {
      name: 'a payload flag that is neither',
      given: { GCTI_GMS_PushIncludePayload: 'maybe' },
      expected: { includePayload: undefined },
    },
    { name: 'a flag that is not true', given: { GCTI_GMS_PushResend: '1' }, expected: { resend: false } },
    {
      name: 'a long group',
      given: { GCTI_GMS_NodeGroup: 'g'.repeat(65) },
      expected: { nodeGroup: 'g'.repeat(64) },
    },
  ])('understands $name', ({ given, expected }) => {
    const userData = Object.fromEntries(
      Object.entries({ ...full, ...given }).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
      ),
    );
    expect(parseSubscription(userData)).toEqual({
      kind: 'subscription',
      subscription: { ...parsed, ...expected },
    });
  });

  it.each([
    { key: 'GCTI_Chat_PushSubscribe', value: 'false', problem: 'not-requested' },
    { key: 'GCTI_Chat_PushSubscribe', value: 'yes', problem: 'not-requested' },
    { key: 'GCTI_Chat_PushSubscribe', value: undefined, problem: 'not-requested' },
    { key: 'GCTI_GMS_PushDeviceId', value: undefined, problem: 'missing-device-id' },
    { key: 'GCTI_GMS_PushDeviceId', value: '  ', problem: 'missing-device-id' },
    { key: 'GCTI_GMS_PushDeviceId', value: 'd'.repeat(513), problem: 'device-id-too-long' },
    { key: 'GCTI_GMS_PushDeviceType', value: undefined, problem: 'missing-device-type' },
    { key: 'GCTI_GMS_PushDeviceType', value: 'pager', problem: 'unknown-device-type' },
    { key: 'GCTI_GMS_PushDeviceType', value: 'constructor', problem: 'unknown-device-type' },
    { key: 'GCTI_GMS_PushDeviceType', value: '__proto__', problem: 'unknown-device-type' },
  ])('says why there is no push: $key $value', ({ key, value, problem }) => {
    const userData: Record<string, string> = { ...full, [key]: value ?? '' };
    if (value === undefined) delete userData[key];
    expect(parseSubscription(userData)).toEqual({ kind: 'none', problem });
  });
});

describe('a CometD client', () => {
  const device = { push_notification_deviceid: 'tok', push_notification_type: 'fcm' };

  it('asks for push by its own keys, which win, and by those of REST', () => {
    const userData = {
      ...full,
      ...device,
      push_notification_debug: 'false',
      push_notification_provider: ' ',
    };
    expect(parseCometSubscription(userData)).toEqual({
      kind: 'subscription',
      subscription: { ...parsed, deviceId: 'tok', deviceType: 'fcm', debug: false },
    });
    expect(parseCometSubscription({ push_notification_language: 'de-DE' })).toMatchObject({ kind: 'none' });
  });

  it.each<{ name: string; userData: Record<string, string>; expected: object | undefined }>([
    { name: 'nothing', userData: { other: 'x', push_notification_type: ' ' }, expected: undefined },
    { name: 'a device', userData: device, expected: { deviceId: 'tok', deviceType: 'fcm' } },
    {
      name: 'a language',
      userData: { push_notification_language: 'de-DE' },
      expected: { language: 'de-DE' },
    },
    {
      name: 'flags, of which one says neither',
      userData: {
        GCTI_GMS_PushResend: 'false',
        GCTI_GMS_NotifyRequestor: 'TRUE',
        push_notification_debug: 'maybe',
      },
      expected: { resend: false, notifyRequestor: true },
    },
    {
      name: 'a device of an unknown type',
      userData: { ...device, push_notification_type: 'pager', push_notification_language: 'de-DE' },
      expected: undefined,
    },
    {
      name: 'a device id that is too long',
      userData: { ...device, push_notification_deviceid: 'd'.repeat(513) },
      expected: undefined,
    },
    { name: 'every key', userData: full, expected: parsed },
  ])('that comes back changes what it names only: $name', ({ userData, expected }) => {
    expect(parseSubscriptionChange(userData)).toEqual(expected);
  });
});
