import { BOUNDS } from './bounds';
import {
  internalRecordSchema,
  publicRecordSchema,
  subscriptionRequestSchema,
  userDataSchema,
} from './records';

const envelope = { v: 1, id: 'r-1', sessionId: 'chat-1' };
const request = { ...envelope, userId: 'mira', keyHash: 'a1'.repeat(32) };

const publicRecords: Record<string, Record<string, unknown>> = {
  'participant.join': { ...envelope, userId: 'jonas', nickname: 'Jonas', participantType: 'Agent' },
  'participant.leave': { ...envelope, userId: 'jonas' },
  'message.send': { ...envelope, userId: 'jonas', text: 'Hello' },
  'typing.start': { ...envelope, userId: 'jonas' },
  'typing.stop': { ...envelope, userId: 'jonas' },
  'notice.custom': { ...envelope, userId: 'jonas', text: 'looked-up' },
  'url.push': { ...envelope, userId: 'jonas', url: 'https://example.org' },
  'file.upload': {
    ...envelope,
    userId: 'jonas',
    file: { fileId: 'f-1', name: 'offer.pdf', sizeBytes: 0, userData: { 'file-description': 'x' } },
  },
  'file.delete': { ...envelope, userId: 'jonas', fileId: 'f-1' },
  'session.end': { ...envelope },
};

const internalRecords: Record<string, Record<string, unknown>> = {
  'session.create': {
    ...envelope,
    service: 'support-web',
    userId: 'mira',
    secureKey: '5be07d19c2f8a4360e77',
    keyHash: 'a1'.repeat(32),
    obfuscatedKey: 'b3BhcXVl',
    nickname: 'Mira',
    userData: { GCTI_LanguageCode: 'de-DE' },
  },
  'request.refresh': { ...request, transcriptPosition: 0 },
  'request.send': { ...request, text: 'Hello' },
  'request.startTyping': request,
  'request.stopTyping': request,
  'request.disconnect': request,
  'request.pushUrl': { ...request, url: 'https://example.org' },
  'request.updateNickname': { ...request, nickname: 'Mira K.' },
  'request.customNotice': { ...request, text: '' },
  'request.updateData': { ...request, userData: { Order: '17' } },
  'request.readReceipt': { ...request, transcriptPosition: 0 },
  'request.fileLimits': request,
  'request.fileUpload': { ...request, file: { fileId: 'f-1', name: 'bill.pdf', sizeBytes: 1 } },
  'request.fileDownload': { ...request, fileId: 'f-1' },
  'request.fileDelete': { ...request, fileId: 'f-1' },
  'request.follow': { ...request, address: 'chat-api-1/client_1' },
  'request.away': { ...request, address: 'chat-api-1/client_1', transcriptPosition: 3 },
  'push.gone': { ...envelope, userId: 'mira', deviceId: 'tok en:1', position: 3 },
  'timers.fired': { v: 1, timers: [['resend:chat-1:mira', 1_790_000_015_000]] },
  'push.settled': { v: 1, results: [['chat-1:mira:1', 'delivered']] },
  'options.changed': { v: 1, revision: 0, values: { 'settings/flex-push-enabled': 'true' } },
  probe: { v: 1 },
};

const all = [
  ...Object.entries(publicRecords).map(([type, fields]) => ({ schema: publicRecordSchema, type, fields })),
  ...Object.entries(internalRecords).map(([type, fields]) => ({
    schema: internalRecordSchema,
    type,
    fields,
  })),
];

describe('record schemas', () => {
  it('are all covered here', () => {
    const types = [...publicRecordSchema.options, ...internalRecordSchema.options].map(
      (option) => option.shape.type.value,
    );
    expect(all.map(({ type }) => type).sort()).toEqual(types.sort());
  });

  it.each(all)('$type is taken as it is', ({ schema, type, fields }) => {
    expect(schema.parse({ type, ...fields })).toEqual({ type, ...fields });
  });

  it.each(all)('$type is refused with a key that nobody knows', ({ schema, type, fields }) => {
    expect(schema.safeParse({ type, ...fields, surprise: 1 }).success).toBe(false);
  });

  it.each(
    all.flatMap(({ schema, type, fields }) =>
      Object.keys(fields).map((field) => ({ schema, type, fields, field })),
    ),
  )('$type is refused with a wrong type in $field', ({ schema, type, fields, field }) => {
    const mayBeEmpty = [
      'notice.custom text',
      'request.customNotice text',
      'session.create obfuscatedKey',
    ].includes(`${type} ${field}`);
    for (const wrong of [null, true, { a: 1 }, -1.5, ''])
      expect(isTaken(schema, { type, ...fields, [field]: wrong })).toBe(mayBeEmpty && wrong === '');
  });

  const optional = [
    ...['refresh', 'away'].map((name) => `request.${name} transcriptPosition`),
    'push.gone position',
  ];
  it.each(
    all.flatMap(({ schema, type, fields }) =>
      Object.keys(fields)
        .filter((field) => !optional.includes(`${type} ${field}`))
        .map((field) => ({ schema, type, fields, field })),
    ),
  )('$type is refused without $field', ({ schema, type, fields, field }) => {
    const { [field]: _left, ...rest } = fields;
    expect(isTaken(schema, { type, ...rest })).toBe(false);
  });

  it.each(Object.entries(internalRecords).map(([type, fields]) => ({ type, fields })))(
    '$type cannot be published by the public',
    ({ type, fields }) => {
      expect(publicRecordSchema.safeParse({ type, ...fields }).success).toBe(false);
    },
  );

  it.each([
    { name: 'another version', type: 'message.send', change: { v: 2 } },
    { name: 'an empty id', type: 'message.send', change: { id: '' } },
    { name: 'a session id that is no token', type: 'message.send', change: { sessionId: 'a.b' } },
    { name: 'a text too long', type: 'message.send', change: { text: 'x'.repeat(BOUNDS.textChars + 1) } },
    { name: 'a preview too long', type: 'typing.start', change: { text: 'x'.repeat(BOUNDS.textChars + 1) } },
    {
      name: 'a url too long',
      type: 'url.push',
      change: { url: `https://a.test/${'x'.repeat(BOUNDS.urlChars)}` },
    },
    {
      name: 'a nickname too long',
      type: 'participant.join',
      change: { nickname: 'x'.repeat(BOUNDS.nicknameChars + 1) },
    },
    { name: 'a customer', type: 'participant.join', change: { participantType: 'Client' } },
  ])('refuses $name', ({ type, change }) => {
    expect(publicRecordSchema.safeParse({ type, ...publicRecords[type], ...change }).success).toBe(false);
  });

  it.each([
    { name: 'a key hash in capitals', type: 'request.refresh', change: { keyHash: 'A1'.repeat(32) } },
    { name: 'a secure key beside the hash', type: 'request.refresh', change: { secureKey: 'secret-key' } },
    { name: 'a position below 0', type: 'request.refresh', change: { transcriptPosition: -1 } },
    { name: 'a position that is no integer', type: 'request.refresh', change: { transcriptPosition: 1.5 } },
    {
      name: 'a score that is no number',
      type: 'timers.fired',
      change: { timers: [['ping:a:b', Number.NaN]] },
    },
    { name: 'no timers', type: 'timers.fired', change: { timers: [] } },
    {
      name: 'too many timers',
      type: 'timers.fired',
      change: { timers: Array.from({ length: BOUNDS.timersPerRecord + 1 }, () => ['ping:a:b', 1]) },
    },
    { name: 'an unknown outcome', type: 'push.settled', change: { results: [['a:b:1', 'returned']] } },
    {
      name: 'too many results',
      type: 'push.settled',
      change: { results: Array.from({ length: BOUNDS.resultsPerRecord + 1 }, () => ['a:b:1', 'failed']) },
    },
  ])('refuses $name', ({ type, change }) => {
    expect(internalRecordSchema.safeParse({ type, ...internalRecords[type], ...change }).success).toBe(false);
  });

  it.each([null, undefined, 'text', 7, [], {}, { type: 'message.send' }, { type: 'constructor' }])(
    '%j is no record',
    (value) => {
      expect(publicRecordSchema.safeParse(value).success).toBe(false);
      expect(internalRecordSchema.safeParse(value).success).toBe(false);
    },
  );
});

describe('a URL that agents push', () => {
  const pushed = (url: string) =>
    isTaken(publicRecordSchema, { type: 'url.push', ...publicRecords['url.push'], url });

  it.each([
    'https://example.org',
    'HTTP://example.org:8080/a?b=c&d#e',
    'https://www.example.org/ä?b=c&d',
    'https://[::1]/',
    `https://example.org/${'x'.repeat(BOUNDS.urlChars - 'https://example.org/'.length)}`,
  ])('may be %s', (url) => {
    expect(pushed(url)).toBe(true);
  });

  it.each([
    'javascript:alert(1)',
    ' https://example.org',
    'java\tscript:alert(1)',
    'https://exa\nmple.org',
    'data:text/html,x',
    'file:///etc/passwd',
    'ftp://example.org/a',
    'www.example.org',
    '//example.org/a',
    '/orders/17',
    'https:example.org',
    'https://',
    'https://example.org:port/',
    'javascript:https://example.org',
    'javascript:x\nhttps://example.org',
  ])('may not be %j', (url) => {
    expect(pushed(url)).toBe(false);
  });

  it('is called an absolute http or https URL, once', () => {
    const record = { type: 'url.push', ...publicRecords['url.push'], url: 'javascript:alert(1)' };
    expect(publicRecordSchema.safeParse(record).error?.issues.map(({ message }) => message)).toEqual([
      'must be an absolute http or https URL',
    ]);
  });

  it('may still be what customers write, where the contract says no more than a URL', () => {
    const record = { type: 'request.pushUrl', ...internalRecords['request.pushUrl'], url: 'www.example.org' };
    expect(isTaken(internalRecordSchema, record)).toBe(true);
  });
});

describe('user data', () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, 'value']));

  it.each([
    { name: 'nothing', data: {}, taken: true },
    { name: 'as many keys as allowed', data: many(BOUNDS.userDataKeys), taken: true },
    { name: 'one key more', data: many(BOUNDS.userDataKeys + 1), taken: false },
    { name: 'an empty key', data: { '': 'x' }, taken: false },
    { name: 'a long key', data: { ['k'.repeat(BOUNDS.userDataKeyChars + 1)]: 'x' }, taken: false },
    { name: 'a long value', data: { k: 'x'.repeat(BOUNDS.userDataValueChars + 1) }, taken: false },
    { name: 'a value that is no text', data: { k: 1 }, taken: false },
  ])('$name is taken: $taken', ({ data, taken }) => {
    expect(userDataSchema.safeParse(data).success).toBe(taken);
  });
});

describe('a subscription request', () => {
  const subscription = {
    deviceId: 'dev',
    deviceType: 'customhttp',
    notifyRequestor: false,
    resend: true,
    debug: false,
  };

  it.each([
    { name: 'the least', change: {}, taken: true },
    { name: 'an unknown type', change: { deviceType: 'pager' }, taken: false },
    { name: 'no device id', change: { deviceId: '' }, taken: false },
    { name: 'a long device id', change: { deviceId: 'd'.repeat(BOUNDS.deviceIdChars + 1) }, taken: false },
    { name: 'a flag as text', change: { resend: 'true' }, taken: false },
    { name: 'a language', change: { language: 'de-DE' }, taken: true },
    { name: 'an unknown key', change: { colour: 'red' }, taken: false },
  ])('$name is taken: $taken', ({ change, taken }) => {
    expect(subscriptionRequestSchema.safeParse({ ...subscription, ...change }).success).toBe(taken);
  });
});

function isTaken(schema: typeof publicRecordSchema | typeof internalRecordSchema, value: unknown): boolean {
  return schema.safeParse(value).success;
}
