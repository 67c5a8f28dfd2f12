import { ensureStreams, connectBus } from '@flexpush/nats-bus';
import { startTestNats, temporaryFolder, type TestNats } from '@flexpush/testkit';
import { Command } from 'commander';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registerOptions } from './options-command';

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
  let printed = '';
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = ((text: string) => {
    printed += text;
    return true;
  }) as typeof process.stdout.write;
  try {
    await program.parseAsync(['node', 'flexpush', 'options', ...args, '--nats', nats.url]);
  } finally {
    process.stdout.write = write;
  }
  return printed;
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
  await options('set', 'push', 'customhttp.ca', '--file', file);
  await options('set', 'push', 'fcm.title', 'Support chat');
  expect(await options('get', 'push', 'customhttp.ca')).toContain(certificate.trim());
  const list = await options('list');
  expect(list).toContain('Support chat');
  expect(list).not.toContain('MIIB'.repeat(30));
});

it('wants either a value or a file', async () => {
  await expect(options('set', 'push', 'fcm.title')).rejects.toThrow('either a value or --file');
  await expect(options('set', 'push', 'fcm.title', 'a', '--file', 'b')).rejects.toThrow(
    'either a value or --file',
  );
});
