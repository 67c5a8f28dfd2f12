import {
  checkOption,
  describeRange,
  findOption,
  foldValues,
  optionCatalogue,
  optionKey,
  parseOptionKey,
  readOption,
  sessionOptions,
} from './options';

const URLS = {
  good: [
    ['http://127.0.0.1:8080/push', 'http://127.0.0.1:8080/push'],
    [' https://example.org ', 'https://example.org'],
  ],
  bad: [
    '',
    'ftp://example.org',
    'example.org',
    '/push',
    'javascript:alert(1)',
    `http://a/${'x'.repeat(2_048)}`,
  ],
};
const BOOLEANS = {
  good: [
    ['true', 'true'],
    ['FALSE', 'false'],
    [' True ', 'true'],
  ],
  bad: ['', 'yes', '1', 'truee'],
};
const TEXTS = {
  good: [
    ['New message', 'New message'],
    ['', ''],
    ['x'.repeat(4_096), 'x'.repeat(4_096)],
  ],
  bad: ['x'.repeat(4_097)],
};

function integers(min: number, max: number) {
  return {
    good: [
      [String(min), String(min)],
      [String(max), String(max)],
      [' 7 ', '7'],
      ['007', '7'],
    ],
    bad: [
      String(min - 1),
      String(max + 1),
      '',
      '1.5',
      '1e3',
      '+5',
      '0x10',
      'ten',
      '99999999999999999999',
      'NaN',
    ],
  };
}

/** The options of the page and of each type: section, default, and values that are and are not taken. */
const table: Record<string, { section: string; default?: string; good: string[][]; bad: string[] }> = {
  'flex-push-enabled': { section: 'settings', default: 'true', ...BOOLEANS },
  'flex-push-on-join': { section: 'settings', default: 'false', ...BOOLEANS },
  'flex-push-content': {
    section: 'settings',
    default: 'session-id, user-id',
    good: [
      ['', ''],
      ['secure-key', 'secure-key'],
      [' app-dbid,secure-key , session-id,user-id, ', 'app-dbid, secure-key, session-id, user-id'],
      ['user-id, user-id', 'user-id'],
    ],
    bad: ['chat-id', 'session-id; user-id', 'SESSION-ID'],
  },
  'flex-push-resend-delay': { section: 'settings', default: '15', ...integers(1, 86_400) },
  'flex-push-resend-attempts': { section: 'settings', default: '10', ...integers(0, 1_000_000) },
  'flex-push-timeout': { section: 'settings', default: '300', ...integers(1, 1_728_000) },
  'flex-disconnect-timeout': { section: 'settings', default: '45', ...integers(1, 1_728_000) },
  'flex-push-confirm-on-send': { section: 'settings', default: 'false', ...BOOLEANS },
  push_notification_include_payload: { section: 'chat', default: 'false', ...BOOLEANS },
  filtering_chat_events: {
    section: 'chat',
    default: 'typing',
    good: [
      ['', ''],
      ['typing,notice', 'typing, notice'],
    ],
    bad: ['files', 'Typing'],
  },
  'customhttp.url': { section: 'push', ...URLS },
  'customhttp.message': { section: 'push', ...TEXTS },
  'debug.customhttp.url': { section: 'push', ...URLS },
  'debug.customhttp.message': { section: 'push', ...TEXTS },
  'delivery-mode': {
    section: 'push',
    default: 'parallel',
    good: [
      ['parallel', 'parallel'],
      [' sequential ', 'sequential'],
    ],
    bad: ['', 'serial', 'Parallel'],
  },
};
const rows = Object.entries(table).map(([name, row]) => ({ name, ...row }));

describe('the option catalogue', () => {
  it('has each option of a section once', () => {
    const places = optionCatalogue.flatMap(({ name, sections }) => sections.map((s) => optionKey(s, name)));
    expect(new Set(places).size).toBe(places.length);
  });

  it.each(rows)('$section/$name has its default', ({ name, section, default: expected }) => {
    expect(findOption(section, name)?.default).toBe(expected);
    expect(readOption({}, [section], name)).toBe(expected);
  });

  it.each(optionCatalogue.map((spec) => ({ ...spec, section: spec.sections[0]?.replace('*', 'one') ?? '' })))(
    '$section/$name has a range and a meaning, and takes its own default',
    ({ name, section, type, meaning, default: value }) => {
      expect(describeRange(type)).toBeTruthy();
      expect(meaning).toMatch(/\.$/);
      if (value === undefined) return;
      expect(checkOption(section, name, value)).toEqual(expect.objectContaining({ kind: 'ok', value }));
    },
  );
});

describe('checkOption', () => {
  it.each(
    rows.flatMap(({ name, section, good }) =>
      good.map(([raw = '', value = '']) => ({ name, section, raw, value, shown: raw.slice(0, 40) })),
    ),
  )('$section/$name takes "$shown"', ({ name, section, raw, value }) => {
    expect(checkOption(section, name, raw)).toEqual({ kind: 'ok', value, spec: findOption(section, name) });
  });

  it.each(
    rows.flatMap(({ name, section, bad }) =>
      bad.map((raw) => ({ name, section, raw, shown: raw.slice(0, 40) })),
    ),
  )('$section/$name refuses "$shown" with its range', ({ name, section, raw }) => {
    const spec = findOption(section, name);
    const check = checkOption(section, name, raw);
    expect(check.kind).toBe('refused');
    expect(check.kind === 'refused' && spec && check.reason).toContain(spec && describeRange(spec.type));
  });

  it('names the range in words', () => {
    expect(checkOption('settings', 'flex-push-resend-delay', '0')).toEqual({
      kind: 'refused',
      reason:
        'settings/flex-push-resend-delay: "0" is not valid; it must be an integer from 1 to 86400 (seconds)',
    });
  });

  it.each([
    { section: 'chat.support-web', name: 'push_notification_include_payload', value: 'true' },
    { section: 'chat.a.b', name: 'filtering_chat_events', value: 'typing' },
    { section: 'push', name: 'filtering_chat_events', value: 'typing, join' },
    { section: 'push.provider.second', name: 'customhttp.url', value: 'http://a/' },
  ])('$section/$name is taken', ({ section, name, value }) => {
    expect(checkOption(section, name, value).kind).toBe('ok');
  });

  it.each([
    { section: 'setting', name: 'flex-push-enabled', reason: 'it belongs to section settings' },
    { section: 'chat', name: 'flex-push-enabled', reason: 'it belongs to section settings' },
    {
      section: 'chat.',
      name: 'filtering_chat_events',
      reason: 'it belongs to section chat or chat.* or push',
    },
    {
      section: 'push.other',
      name: 'customhttp.url',
      reason: 'it belongs to section push or push.provider.*',
    },
    { section: 'settings', name: 'flex-push', reason: 'see "flexpush options list"' },
    { section: 'settings', name: 'constructor', reason: 'see "flexpush options list"' },
    // A key of the bucket is a NATS subject: signs and empty parts would be refused there, far from the user.
    { section: 'chat.a b', name: 'filtering_chat_events', reason: 'may have letters' },
    { section: 'chat.a/b', name: 'filtering_chat_events', reason: 'may have letters' },
    { section: 'chat.*', name: 'filtering_chat_events', reason: 'may have letters' },
    { section: 'chat..a', name: 'filtering_chat_events', reason: 'may have letters' },
    { section: 'chat.a.', name: 'filtering_chat_events', reason: 'may have letters' },
    { section: `chat.${'a'.repeat(124)}`, name: 'filtering_chat_events', reason: 'may have letters' },
  ])('refuses $section/$name', ({ section, name, reason }) => {
    const check = checkOption(section, name, 'true');
    expect(check).toEqual({ kind: 'refused', reason: expect.stringContaining(reason) });
  });
});

describe('option keys', () => {
  it('are written and read', () => {
    expect(parseOptionKey(optionKey('chat.a', 'filtering_chat_events'))).toEqual({
      section: 'chat.a',
      name: 'filtering_chat_events',
    });
  });

  it.each(['', 'settings', '/name', 'settings/'])('%j is not one', (key) => {
    expect(parseOptionKey(key)).toBeUndefined();
  });
});

describe('what the fold reads', () => {
  const defaults = {
    pushEnabled: true,
    pushOnJoin: false,
    pushContent: ['session-id', 'user-id'],
    resendDelayMs: 15_000,
    resendAttemptMax: 10,
    pushTimeoutMs: 300_000,
    disconnectTimeoutMs: 45_000,
    deviceTypesEnabled: ['comet'],
    confirmOnSend: false,
    removeOnBadKey: false,
    includePayload: false,
    pushToActiveClient: false,
    filteredEvents: ['typing'],
    chatEndpoint: undefined,
    idle: undefined,
    asyncIdle: { notices: 'major', alertMs: 86_400_000, alert2Ms: 0, closeMs: 3_600_000 },
    idleTexts: {
      alert: expect.any(String) as string,
      alert2: expect.any(String) as string,
      close: expect.any(String) as string,
    },
    files: {
      filesMax: 3,
      fileBytesMax: 2_097_152,
      totalBytesMax: 5_242_880,
      types: expect.arrayContaining(['pdf', 'png']) as string[],
      needAgent: true,
      downloadsMax: 10,
      deleteFile: 'odd',
    },
  };

  it('has the defaults of the page', () => {
    expect(sessionOptions({}, 'support-web')).toEqual(defaults);
  });

  it('is typed, in ms, and read for one service', () => {
    const values = {
      'settings/flex-push-enabled': 'false',
      'settings/flex-push-on-join': 'true',
      'settings/flex-push-content': '',
      'settings/flex-push-resend-delay': '1',
      'settings/flex-push-resend-attempts': '0',
      'settings/flex-push-timeout': '86400',
      'settings/flex-disconnect-timeout': '10',
      'chat/push_notification_include_payload': 'false',
      'chat.support-web/push_notification_include_payload': 'true',
      'chat.other/filtering_chat_events': 'message',
      'chat/filtering_chat_events': 'typing, notice',
      'chat.support-web/push_notification_to_active_client': 'true',
      'chat/default_chat_endpoint': 'Environment:web',
      'chat.support-web/_chat_endpoint': 'Environment:support',
      'push/pushEnabled': 'fcm,comet',
      'settings/async-idle-alert': '60',
      'settings/async-idle-notices': 'all',
      'inactivity-control/enabled': 'true',
      'inactivity-control/timeout-alert2': '30',
      'inactivity-control/message-close': 'Bye.',
      'client-file-transfer/upload-file-types': ' PDF : png:',
      'client-file-transfer/upload-need-agent': 'false',
    };
    expect(sessionOptions(values, 'support-web')).toEqual({
      ...defaults,
      pushEnabled: false,
      pushOnJoin: true,
      pushContent: [],
      resendDelayMs: 1_000,
      resendAttemptMax: 0,
      pushTimeoutMs: 86_400_000,
      disconnectTimeoutMs: 10_000,
      deviceTypesEnabled: ['fcm', 'comet'],
      includePayload: true,
      pushToActiveClient: true,
      filteredEvents: ['typing', 'notice'],
      chatEndpoint: 'Environment:support',
      idle: { notices: 'major', alertMs: 255_000, alert2Ms: 30_000, closeMs: 45_000 },
      asyncIdle: { notices: 'all', alertMs: 60_000, alert2Ms: 0, closeMs: 3_600_000 },
      idleTexts: { ...defaults.idleTexts, close: 'Bye.' },
      files: { ...defaults.files, types: ['pdf', 'png'], needAgent: false },
    });
  });

  it('counts an unreadable value as its default', () => {
    const values = Object.fromEntries(
      rows.map(({ section, name }) => [optionKey(section, name), 'unreadable']),
    );
    expect(sessionOptions(values, 'support-web')).toEqual(defaults);
  });

  it.each([
    { set: ['push'], holds: 'push' },
    { set: ['push', 'chat'], holds: 'chat' },
    { set: ['push', 'chat.other'], holds: 'push' },
    { set: ['push', 'chat', 'chat.support-web'], holds: 'chat.support-web' },
  ])('of the filters in $set that of $holds holds', ({ set, holds }) => {
    const filters: Record<string, string> = { push: 'url', chat: 'join', 'chat.support-web': 'leave' };
    const values = Object.fromEntries(
      set.map((section) => [optionKey(section, 'filtering_chat_events'), filters[section] ?? 'idle']),
    );
    expect(sessionOptions(values, 'support-web').filteredEvents).toEqual([filters[holds]]);
  });

  it('falls back from an unreadable value of the service to that of all chats', () => {
    const values = {
      'chat/push_notification_include_payload': 'true',
      'chat.support-web/push_notification_include_payload': 'perhaps',
    };
    expect(sessionOptions(values, 'support-web').includePayload).toBe(true);
  });

  it('keeps of all values those that are valid and the fold reads, in one order', () => {
    const kept = foldValues({
      'settings/flex-push-timeout': ' 60 ',
      'settings/flex-push-enabled': 'TRUE',
      'settings/flex-push-resend-delay': '0',
      'settings/unknown': '1',
      'push/customhttp.url': 'http://a/',
      nonsense: 'x',
    });
    expect(Object.entries(kept)).toEqual([
      ['settings/flex-push-enabled', 'true'],
      ['settings/flex-push-timeout', '60'],
    ]);
  });
});
