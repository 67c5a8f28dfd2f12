import { temporaryFolder } from '@flexpush/testkit';
import { Command } from 'commander';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { plainMessage } from '../plain-error';
import { printedBy } from '../story/printed';
import { registerPlan } from './plan-command';

const folder = temporaryFolder('plan');
afterAll(() => rmSync(folder, { recursive: true }));

const LOAD = ['--sessions', '20000', '--events-per-s', '500', '--resend-ratio', '0.1'];
const LARGE = ['--sessions', '1000000', '--events-per-s', '20000', '--resend-ratio', '0.2'];

async function plan(...args: string[]): Promise<string> {
  const program = new Command().exitOverride();
  registerPlan(program);
  for (const command of program.commands)
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  return printedBy(() => program.parseAsync(['node', 'flexpush', 'plan', ...args]));
}

async function refusal(...args: string[]): Promise<string> {
  return plainMessage(
    await plan(...args).then(
      () => new Error('accepted'),
      (error: unknown) => error,
    ),
  );
}

it('tells nodes, NATS, Redis, ceilings and settings, without colours in a pipe and in a hundred columns', async () => {
  const text = await plan(...LOAD);
  for (const part of [
    /^chat-api +2 /m,
    /^session-actor +2 .* records\/s .*cpu \d+m, memory \d+Mi$/m,
    /^gms-node +2 .* POSTs\/s /m,
    /^NATS$/m,
    /in 24 h, in 3 copies/,
    /1 stream needed, 1 built/,
    /1 master, 1 replica, 3 Sentinels/,
    /this release has one/,
    /FLEXPUSH_LOG_BYTES_MAX=\d+/,
    /NATS x 3, log x 3/,
  ])
    expect(text).toMatch(part);
  expect(text).not.toContain('\u001b');
  expect(text).not.toMatch(/NaN|undefined|Infinity/);
});

it.each([
  { name: 'the usual', args: LOAD },
  { name: 'a large one', args: LARGE },
  { name: 'none at all', args: ['--sessions', '0', '--events-per-s', '0', '--resend-ratio', '0'] },
  {
    name: 'one replica',
    args: [...LOAD, '--replicas', '1', '--shards', '64', '--subscriptions-share', '0.5'],
  },
  {
    name: 'the largest of one cluster',
    args: ['--sessions', '9000000', '--events-per-s', '150000', '--resend-ratio', '0', '--receiver-ms', '2'],
  },
])('a load fits into a hundred columns, with its sketch: $name', async ({ args }) => {
  const text = await plan(...args);
  expect(text).not.toMatch(/NaN|undefined|Infinity/);
  const wide = text.split('\n').filter((line) => line.length > 100);
  expect(wide).toEqual([]);
});

it('says what one cluster does not carry, and what would be needed', async () => {
  const text = await plan(...LARGE);
  expect(text).toContain('One cluster of this release does not carry this');
  expect(text).toMatch(/It would need \d+ streams, each with a range of the shards/);
  expect(text).toMatch(/Redis Cluster of \d+ masters/);
  expect(await plan(...LOAD)).not.toContain('does not carry');
});

it('with --json it is one object on one line', async () => {
  const text = await plan(...LOAD, '--json');
  expect(text.trimEnd().split('\n')).toHaveLength(1);
  const result = JSON.parse(text) as Record<string, unknown>;
  expect(result).toMatchObject({
    demand: { sessions: 20_000, eventsPerS: 500, resendRatio: 0.1, refreshesPerEvent: 1, replicas: 3 },
    services: expect.arrayContaining([
      expect.objectContaining({
        kind: 'gms-node',
        nodes: 2,
        resources: { cpuMilli: expect.any(Number), memoryMi: expect.any(Number) },
      }),
    ]),
    nats: { servers: 3, replicas: 3, streamsNeeded: 1 },
    redis: { masters: 1, replicasEach: 1 },
    isCarried: true,
    settings: { FLEXPUSH_STREAM_REPLICAS: '3' },
  });
  expect(result).not.toHaveProperty('costs');
  const withCosts = JSON.parse(await plan(...LOAD, '--json', '--costs')) as { costs: object[] };
  expect(withCosts.costs).toContainEqual(
    expect.objectContaining({ name: 'stepUs.gms-node.push', from: 'bench deliver' }),
  );
});

it('tells its figures and where they are from, with a plan and alone', async () => {
  for (const text of [await plan('--costs'), await plan(...LOAD, '--costs')])
    expect(text).toMatch(/^stepUs\.gms-node\.push +\d+ +bench deliver +20\d\d-/m);
  expect(JSON.parse(await plan('--costs', '--json'))).toMatchObject({ chosen: { shardsMax: 1_024 } });
});

it('takes one refresh for each push unless it is told otherwise', async () => {
  const refreshes = async (...args: string[]) => {
    const { demand } = JSON.parse(await plan(...LOAD, '--json', ...args)) as {
      demand: { refreshesPerEvent: number };
    };
    return demand.refreshesPerEvent;
  };
  expect(await refreshes('--subscriptions-share', '0.25')).toBe(0.25);
  expect(await refreshes('--subscriptions-share', '0.25', '--refreshes-per-event', '2')).toBe(2);
});

describe('the picture', () => {
  it('is well-formed, names every kind with its count, and keeps its texts inside', async () => {
    const file = join(folder, 'cluster.svg');
    const text = await plan(...LARGE, '--picture', file);
    expect(text).toContain(`wrote ${file}\n`);
    const svg = readFileSync(file, 'utf8');
    expect(unclosed(svg)).toEqual([]);
    const told = JSON.parse(await plan(...LARGE, '--json')) as {
      services: { kind: string; nodes: number }[];
      nats: { servers: number };
    };
    expect(told.services).toHaveLength(5);
    for (const { kind, nodes } of [...told.services, { kind: 'NATS', nodes: told.nats.servers }])
      expect(svg).toContain(`>${kind} × ${nodes}</text>`);
    expect(svg).toMatch(/\d+ masters, \d+ replicas/);
    expect(svg).toMatch(/would need \d+ streams/);
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).not.toMatch(/NaN|undefined|<script|href/);
    // 13 px of the widest usual font are some 7.4 px for a character; a box is 250 wide.
    const centred = [...svg.matchAll(/text-anchor="middle">([^<]*)</g)].map(([, inside = '']) => inside);
    expect(centred.filter((inside) => inside.length * 7.4 > 250)).toEqual([]);
  });

  it('has another text than the numbers of a larger cluster', async () => {
    const [small, large] = [join(folder, 'small.svg'), join(folder, 'large.svg')];
    await plan(...LOAD, '--picture', small, '--json');
    await plan(...LARGE, '--picture', large, '--json');
    expect(readFileSync(small, 'utf8')).not.toBe(readFileSync(large, 'utf8'));
  });

  it('is refused with a reason where it cannot be written', async () => {
    expect(await refusal(...LOAD, '--picture', join(folder, 'cluster.png'))).toContain('ends in .svg');
    const nowhere = join(folder, 'missing', 'cluster.svg');
    expect(await refusal(...LOAD, '--picture', nowhere)).toContain('does its folder exist');
    expect(existsSync(nowhere)).toBe(false);
  });
});

/** Tags that are opened and not closed, or closed and not opened. */
function unclosed(svg: string): string[] {
  const open: string[] = [];
  for (const [, slash, name = '', rest = ''] of svg.matchAll(/<(\/?)([a-z]+)([^>]*)>/gi)) {
    if (rest.endsWith('/')) continue;
    if (slash === '') open.push(name);
    else if (open.pop() !== name) return [`</${name}>`];
  }
  return open;
}

describe('bad input', () => {
  it.each([
    ['--sessions', '-1', 'a whole number from 0 to 100000000'],
    ['--sessions', '1.5', 'a whole number from 0 to 100000000'],
    ['--sessions', '200000000', 'a whole number from 0 to 100000000'],
    ['--events-per-s', 'many', 'a number from 0 to 1000000'],
    ['--events-per-s', '1e3', 'a number from 0 to 1000000'],
    ['--resend-ratio', '1001', 'a number from 0 to 1000'],
    ['--subscriptions-share', '1.1', 'a number from 0 to 1'],
    ['--refreshes-per-event', '', 'a number from 0 to 1000'],
    ['--poll-s', '60', 'a number from 1 to 45'],
    ['--event-bytes', '70000', 'a whole number from 100 to 65536'],
    ['--events-per-chat', '0', 'a number from 1 to 10000'],
    ['--retention-hours', '0.5', 'a number from 1 to 720'],
    ['--replicas', '2', '1, 3 or 5'],
    ['--target-utilisation', '1', 'a number from 0.1 to 0.9'],
    ['--receiver-ms', '0', 'a number from 1 to 30000'],
    ['--shards', '5000', 'a whole number from 1 to 4096'],
  ])('%s %s is refused with its range', async (flag, value, says) => {
    const message = await refusal(...LOAD, flag, value);
    expect(message).toContain(flag);
    expect(message).toContain(says);
  });

  it('what is missing is told all at once', async () => {
    expect(await refusal('--sessions', '5')).toContain('--events-per-s <r>, --resend-ratio <x>');
    expect(await refusal()).toContain('--sessions <n>, --events-per-s <r>, --resend-ratio <x>');
  });

  it('events without chats', async () => {
    expect(await refusal('--sessions', '0', '--events-per-s', '5', '--resend-ratio', '0')).toContain(
      '--sessions must be above 0',
    );
  });

  it('too few shards, and more than one cluster carries: both with a way out that works', async () => {
    const few = await refusal(...LARGE, '--shards', '16');
    const shards = /--shards (\d+)/.exec(few)?.[1] ?? '';
    expect(await plan(...LARGE, '--shards', shards)).toContain(`${shards} shards`);
    const huge = await refusal('--sessions', '100000000', '--events-per-s', '1000000', '--resend-ratio', '1');
    const part = /--sessions \d+ --events-per-s \d+/.exec(huge)?.[0].split(' ') ?? [];
    expect(await plan(...part, '--resend-ratio', '1')).toContain('FLEXPUSH_SHARDS=');
  });
});
