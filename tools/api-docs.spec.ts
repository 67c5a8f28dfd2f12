import { subjects, type ChatEvent, type TriggerJob } from '@flexpush/contracts';
import Ajv2020 from 'ajv/dist/2020';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { plainBody, triggerBody } from '../libs/delivery/src/customhttp-body';
import { asyncApiDocument, channels, customhttpBodies } from './asyncapi';

/** Arguments of every kind that the functions of `subjects` take, as markers that stand out in the result. */
const MARKERS: Record<string, (string | number)[]> = {
  event: ['SESSION'],
  logPublic: [987_654],
  logInternal: [987_654],
  logShard: [987_654],
  deadLetter: [987_654],
  snapshot: [987_654, 'SESSION'],
  snapshotSessions: [987_654],
  snapshotPart: [987_654, 'SESSION', 'PLACE', 123_456],
  snapshotParts: [987_654, 'SESSION'],
  snapshotOptions: [987_654],
  reply: ['CALLER'],
  comet: ['CALLER'],
  notice: ['SESSION'],
  gmsPush: ['NODE'],
  gmsWithdraw: ['NODE'],
  pushResult: ['ACTOR'],
  actorProbe: ['ACTOR'],
};

const all = Object.entries(subjects).map(([name, subject]) => ({
  name,
  subject:
    typeof subject === 'string'
      ? subject
      : (subject as (...parts: (string | number)[]) => string)(...(MARKERS[name] ?? [])),
}));
const isWildcard = ({ subject }: { subject: string }) => /[*>]/.test(subject);

/** Whether the filter of a subscription takes the address of a channel. */
function covers(filter: string, address: string): boolean {
  const wanted = filter.split('.');
  const parts = address.split('.');
  const isOpen = wanted.at(-1) === '>';
  if (isOpen ? parts.length < wanted.length : parts.length !== wanted.length) return false;
  return wanted.every(
    (part, i) => part === '>' || part === '*' || part === parts[i] || parts[i]?.startsWith('{'),
  );
}

describe('docs/openapi.json and docs/asyncapi.json', () => {
  it('are valid, and are what tools/api-docs.mjs writes from the code', () => {
    const output = execFileSync(
      process.execPath,
      ['--conditions', '@flexpush/source', join('tools', 'api-docs.mjs'), '--check'],
      { cwd: join(__dirname, '..'), encoding: 'utf8' },
    );
    expect(output.trim().split('\n')).toEqual([
      'docs/openapi.json is up to date',
      'docs/asyncapi.json is up to date',
    ]);
  });
});

describe('the AsyncAPI document', () => {
  it('has each subject of the code as a channel, and no other', () => {
    const published = all.filter((one) => !isWildcard(one)).map(({ name }) => name);
    expect(Object.keys(channels).sort()).toEqual(published.sort());
  });

  it.each(all.filter((one) => !isWildcard(one)))(
    'gives $name the address of its subject',
    ({ name, subject }) => {
      expect(covers(channels[name]?.address.replace(/\{\w+\}/g, '*') ?? '', subject)).toBe(true);
    },
  );

  it.each(all.filter(isWildcard))('has a channel for what $name hears', ({ subject }) => {
    expect(Object.values(channels).some(({ address }) => covers(subject, address))).toBe(true);
  });

  it('refers to what is there only', () => {
    const document = asyncApiDocument();
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, ref]) => ref as string,
    );
    expect(refs.length).toBeGreaterThan(0);
    for (const ref of refs) {
      const found = ref
        .split('/')
        .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
      expect([ref, found === undefined]).toEqual([ref, false]);
    }
  });
});

describe('the bodies of customhttp', () => {
  const ajv = new Ajv2020({ strict: false });
  const event: ChatEvent = {
    from: { nickname: 'Jonas', participantId: 2, type: 'Agent' },
    index: 3,
    type: 'Message',
    text: 'Hi',
    messageType: 'text',
    utcTime: 1_790_000_015_000,
  };
  const job = {
    id: 's:u:1',
    n: 1,
    kind: 'trigger',
    sessionId: 's',
    userId: 'u',
    service: 'support',
    deviceType: 'customhttp',
    deviceId: 'device',
    debug: false,
    obfuscatedKey: 'opaque',
    chatEnded: false,
    atMs: 1_790_000_015_000,
    attempt: 0,
    position: 3,
    content: ['session-id', 'user-id', 'app-dbid', 'secure-key'],
    secureKey: 'secret',
  } as unknown as TriggerJob;

  it.each([
    { name: 'reliable', kind: 'reliable', body: triggerBody(job, '101') },
    {
      name: 'reliable after a removal',
      kind: 'reliable',
      body: triggerBody({ ...job, position: -1 }, '101'),
    },
    {
      name: 'plain',
      kind: 'plain',
      body: plainBody({ ...job, event }, { alias: '101', message: undefined }),
    },
    {
      name: 'plain without a position',
      kind: 'plain',
      body: plainBody(
        { ...job, event: { ...event, index: undefined } },
        { alias: '101', message: undefined },
      ),
    },
    { name: 'bare', kind: 'bare', body: plainBody(job, { alias: '101', message: undefined }) },
    { name: 'bare with a text', kind: 'bare', body: plainBody(job, { alias: '101', message: 'News' }) },
  ])('$name is what the document says, and nothing else', ({ kind, body }) => {
    for (const [other, schema] of Object.entries(customhttpBodies)) {
      // A reliable push is a plain one in shape: receivers tell it by its text.
      if (kind === 'reliable' && other === 'plain') continue;
      expect([other, ajv.validate(schema, JSON.parse(body))]).toEqual([other, other === kind]);
    }
  });
});
