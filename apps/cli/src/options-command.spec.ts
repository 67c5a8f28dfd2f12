import { optionCatalogue } from '@flexpush/contracts';
import { ensureStreams, connectBus } from '@flexpush/nats-bus';
import { startTestNats, temporaryFolder, type TestNats } from '@flexpush/testkit';
import { Command } from 'commander';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registerOptions } from './options-command';
import { plainMessage } from './plain-error';
import { printedBy } from './story/printed';

const SIGNING_KEY = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const folder = temporaryFolder('options');
let nats: TestNats;

beforeAll(async () => {
  nats = await startTestNats();
  const bus = await connectBus({ url: nats.url, name: 'spec' });
  await ensureStreams(bus, { shardCount: 4, replicas: 1, logBytesMax: 1 << 24, logAgeMaxMs: 3_600_000 });
  await bus.close();
});
afterAll(async () => {
  await nats.stop();
  rmSync(folder, { recursive: true });
});

/** What the command prints. */
async function options(...args: string[]): Promise<string> {
  const program = new Command().exitOverride();
  registerOptions(program);
  return printedBy(() => program.parseAsync(['node', 'flexpush', 'options', ...args, '--nats', nats.url]));
}

it('a secret is set from a file and shown nowhere, also not when it is refused', async () => {
  const file = join(folder, 'key');
  writeFileSync(file, `${SIGNING_KEY}\n`);
  const shown = [
    await options('set', 'push', 'customhttp.signing-key', '--file', file),
    await options('get', 'push', 'customhttp.signing-key'),
    await options('get', 'push', 'customhttp.signing-key', '--json'),
    await options('list'),
    await options('list', '--json'),
  ];
  for (const text of shown) {
    expect(text).toContain('(set, hidden)');
    expect(text).not.toContain(SIGNING_KEY.slice(0, 12));
  }
  writeFileSync(file, `${SIGNING_KEY.slice(0, 12)}`);
  const refusal = await options('set', 'push', 'customhttp.signing-key', '--file', file).catch(String);
  expect(refusal).toContain('it must be whsec_ and 24 to 64 bytes in base64');
  expect(refusal).not.toContain(SIGNING_KEY.slice(0, 12));
});

it('shows a URL without its credentials', async () => {
  for (const [url, shown] of [
    ['https://push:hunter2@receiver.test/a?b=c@d', 'https://(hidden)@receiver.test/a?b=c@d'],
    ['https://receiver.test/a@b', 'https://receiver.test/a@b'],
  ] as const) {
    expect(await options('set', 'push', 'customhttp.url', url)).toBe(`push/customhttp.url = ${shown}\n`);
    expect(await options('get', 'push', 'customhttp.url')).toBe(`${shown}\n`);
  }
});

it('shows what is no secret, and long values only whole by get', async () => {
  const certificate = `-----BEGIN CERTIFICATE-----\n${'MIIB'.repeat(100)}\n-----END CERTIFICATE-----\n`;
  const file = join(folder, 'ca.pem');
  writeFileSync(file, certificate);
  const set = await options('set', 'push', 'customhttp.ca', '--file', file);
  const stored = Buffer.byteLength(certificate.trim());
  expect(set).toBe(`push/customhttp.ca = ${stored} bytes, beginning with "-----BEGIN CERTIFICATE-----"\n`);
  await options('set', 'push', 'fcm.title', 'Support chat');
  expect(await options('get', 'push', 'customhttp.ca')).toContain(certificate.trim());
  const list = await options('list');
  expect(list).toContain('Support chat');
  expect(list).not.toContain('MIIB'.repeat(30));
});

it.each([
  { name: 'a short line in whole', value: 'Support chat', says: 'Support chat' },
  { name: 'nothing', value: '', says: '' },
  {
    name: 'the beginning of a long line',
    value: 'ß'.repeat(100),
    says: `200 bytes, beginning with "${'ß'.repeat(80)}"`,
  },
])('set says what was set: $name', async ({ value, says }) => {
  expect(await options('set', 'push', 'fcm.title', value)).toBe(`push/fcm.title = ${says}\n`);
});

it('wants either a value or a file', async () => {
  await expect(options('set', 'push', 'fcm.title')).rejects.toThrow('either a value or --file');
  await expect(options('set', 'push', 'fcm.title', 'a', '--file', 'b')).rejects.toThrow(
    'either a value or --file',
  );
});

it('names a file that is not there, for a value and for an import', async () => {
  const missing = join(folder, 'none.pem');
  for (const args of [
    ['set', 'push', 'customhttp.ca', '--file', missing],
    ['import', missing],
  ])
    expect(plainMessage(await options(...args).catch((error: unknown) => error))).toBe(
      `there is no ${missing}; check the path`,
    );
});

it.each([
  {
    name: 'a number of seconds',
    at: ['settings', 'flex-push-resend-delay'],
    value: '30',
    says: 'settings/flex-push-resend-delay = 15 seconds (the default)',
  },
  {
    name: 'a number without a unit',
    at: ['settings', 'flex-push-resend-attempts'],
    value: '3',
    says: 'settings/flex-push-resend-attempts = 10 (the default)',
  },
  {
    name: 'a list',
    at: ['settings', 'flex-push-content'],
    value: 'app-dbid',
    says: 'settings/flex-push-content = session-id, user-id (the default)',
  },
  {
    name: 'a boolean',
    at: ['settings', 'flex-push-on-join'],
    value: 'true',
    says: 'settings/flex-push-on-join = false (the default)',
  },
  {
    name: 'one without a default',
    at: ['push', 'apple.sound'],
    value: 'default',
    says: 'push/apple.sound is not set, and has no default\nSound of notifications, such as default; none when not set.',
  },
])('unset says what holds now: $name', async ({ at, value, says }) => {
  await options('set', ...at, value);
  expect(await options('unset', ...at)).toBe(`${says}\n`);
});

it('unset and get say which section a value comes from, and never a secret', async () => {
  const at = ['chat.support', 'push_notification_include_payload'];
  await options('set', 'chat', 'push_notification_include_payload', 'false');
  await options('set', ...at, 'true');
  expect(await options('get', ...at)).toBe('true\n');
  expect(await options('unset', ...at)).toBe(`${at.join('/')} = false (from section chat)\n`);
  expect(await options('get', ...at)).toBe('false\n');
  expect(JSON.parse(await options('get', ...at, '--json'))).toMatchObject({ isSet: false, source: 'chat' });

  const file = join(folder, 'shop-key');
  writeFileSync(file, SIGNING_KEY);
  for (const section of ['push', 'push.provider.shop'])
    await options('set', section, 'customhttp.signing-key', '--file', file);
  expect(await options('unset', 'push.provider.shop', 'customhttp.signing-key')).toBe(
    'push.provider.shop/customhttp.signing-key = (set, hidden) (from section push)\n',
  );
  expect(JSON.parse(await options('unset', 'push', 'customhttp.signing-key', '--json'))).toEqual({
    section: 'push',
    name: 'customhttp.signing-key',
    value: null,
    source: null,
  });
});

describe('the list', () => {
  const { isTTY, columns } = process.stdout;
  afterEach(() => Object.assign(process.stdout, { isTTY, columns }));

  it.each([80, 100, 120, 200])('fits into a terminal of %i characters, names in whole', async (width) => {
    Object.assign(process.stdout, { isTTY: true, columns: width });
    const lines = (await options('list'))
      .replace(/\u001b\[\d+m/g, '')
      .trimEnd()
      .split('\n');
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(width);
    expect(lines.some((line) => line.endsWith('…'))).toBe(true);
    expect(lines[0]).toMatch(width === 200 ? /RANGE +MEANING$/ : /^SECTION +NAME +VALUE .*MEANING$/);
    for (const { name } of optionCatalogue) expect(lines.some((line) => line.includes(name))).toBe(true);
  });

  it('is whole in a pipe', async () => {
    const text = await options('list');
    for (const { meaning } of optionCatalogue) expect(text).toContain(meaning);
  });
});

it('show tells all of one option, wherever it is set', async () => {
  await options('set', 'push', 'apple.sound', 'bell');
  await options('set', 'push.provider.shop', 'apple.sound', 'till');
  const text = await options('show', 'apple.sound');
  expect(text.match(/section .*\n +value +\w+/g)).toEqual([
    expect.stringMatching(/push\n +value +bell/),
    expect.stringMatching(/push.provider.shop\n +value +till/),
  ]);
  expect(text).toContain('meaning  Sound of notifications, such as default; none when not set.\n');
  expect(JSON.parse(await options('show', 'apple.sound', '--json'))).toMatchObject({
    options: [{ value: 'bell' }, { value: 'till', isSet: true }],
  });
  await expect(options('show', 'apple.sund')).rejects.toThrow('there is no option "apple.sund"; see');
});
