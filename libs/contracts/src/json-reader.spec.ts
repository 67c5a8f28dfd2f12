import fc from 'fast-check';
import { z } from 'zod';
import { callRepliesSchema } from './chat-response';
import { jsonReader } from './json-reader';
import { dispatchSchema, pushResultsSchema } from './push';
import {
  callRepliesReader,
  dispatchReader,
  frequentRecordTypes,
  pushResultsReader,
  readRecord,
} from './readers';
import { internalRecordSchema, publicRecordSchema } from './records';

const event = {
  from: { nickname: 'Kate', participantId: 2, type: 'Agent' },
  index: 3,
  type: 'Message',
  utcTime: 1_764_000_000_000,
  text: 'h\u00e9llo \ud83d\ude00',
  userData: { a: 'b' },
};
const common = {
  n: 7,
  sessionId: 'chat-1',
  userId: 'user-1',
  service: 'support',
  deviceType: 'customhttp',
  deviceId: 'dev-7',
  debug: false,
  obfuscatedKey: 'k',
  chatEnded: false,
  atMs: 1.5,
};
const trigger = {
  ...common,
  id: 'chat-1:user-1:7',
  kind: 'trigger',
  attempt: 0,
  position: -1,
  content: ['user-id'],
};
const plain = { ...common, id: 'chat-1:user-1:8', kind: 'plain', provider: 'p', event };
const dispatch = { v: 1, actorId: 'a', alias: '1', shards: [{ shard: 3, term: 5, jobs: [trigger, plain] }] };
const results = {
  v: 1,
  nodeId: 'g',
  results: [
    { id: 'i', shard: 3, outcome: 'delivered' },
    { id: 'j', shard: 3, outcome: 'failed', reason: 'x' },
  ],
};
const replies = {
  v: 1,
  replies: [
    {
      id: 'r',
      alias: '1',
      reply: {
        outcome: 'ok',
        chatEnded: false,
        monitored: false,
        nextPosition: 4,
        userData: { a: 'b' },
        notices: [event],
      },
      messages: [event, { ...event, eventAttributes: { GCTI_SYSTEM: { 'quit-reason-code': 1 } } }],
      more: false,
    },
  ],
};
const own = { v: 1, id: 'record-1', sessionId: 'chat-1', userId: 'user-1' };
const asked = { ...own, keyHash: 'a'.repeat(64), replyTo: 'api-1' };
const publicRecords = [
  { ...own, type: 'message.send', text: 'h\u00e9llo \ud83d\ude00', messageType: 'text' },
  { ...own, type: 'typing.start' },
  { ...own, type: 'typing.stop', text: '' },
  { ...own, type: 'notice.custom', text: 'x' },
];
const internalRecords = [
  { ...asked, type: 'request.refresh', transcriptPosition: 0, preview: '' },
  { ...asked, type: 'request.send', text: 'x' },
  { ...asked, type: 'request.startTyping' },
  { ...asked, type: 'request.stopTyping', text: 'x' },
  { v: 1, type: 'timers.fired', timers: [['resend:chat-1:user-1', 1_764_000_000_000.5]] },
  { v: 1, type: 'push.settled', results: [['chat-1:user-1:7', 'delivered']] },
  { v: 1, type: 'probe' },
];

const cases: { name: string; read: (raw: unknown) => unknown; schema: z.ZodType; samples: unknown[] }[] = [
  {
    name: 'dispatches',
    read: (raw) => dispatchReader.safeParse(raw),
    schema: dispatchSchema,
    samples: [dispatch],
  },
  {
    name: 'results',
    read: (raw) => pushResultsReader.safeParse(raw),
    schema: pushResultsSchema,
    samples: [results],
  },
  {
    name: 'replies',
    read: (raw) => callRepliesReader.safeParse(raw),
    schema: callRepliesSchema,
    samples: [replies],
  },
  {
    name: 'public records',
    read: (raw) => readRecord(raw, true),
    schema: publicRecordSchema,
    samples: publicRecords,
  },
  {
    name: 'internal records',
    read: (raw) => readRecord(raw, false),
    schema: internalRecordSchema,
    samples: internalRecords,
  },
];

/** Paths to every value inside, the whole included. */
function pathsIn(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  const inside = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return [path, ...inside.flatMap(([key, one]) => pathsIn(one, [...path, key]))];
}

type Change =
  { kind: 'set'; value: unknown } | { kind: 'remove' } | { kind: 'add'; key: string; value: unknown };

/** A copy in which one place is other than it was. */
function changed(value: unknown, path: readonly (string | number)[], change: Change): unknown {
  const copy = JSON.parse(JSON.stringify({ value })) as { value: unknown };
  let at: Record<string | number, unknown> = copy as never;
  for (const key of ['value', ...path].slice(0, -1)) at = at[key] as never;
  const last = ['value', ...path].at(-1) as string;
  const old = at[last];
  if (change.kind === 'set') at[last] = change.value;
  else if (change.kind === 'remove') delete at[last];
  else if (typeof old === 'object' && old !== null)
    Object.defineProperty(old, change.key, {
      value: change.value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  return JSON.parse(JSON.stringify(copy.value ?? null).replaceAll('1e+308', '1e999'));
}

const scalar = fc.oneof(
  // Two characters of three units.
  fc.constant('x\ud83d\ude00'),
  // JSON can say more than a number can be.
  fc.constant(1e308),
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    'x',
    0,
    -1,
    1,
    0.5,
    2 ** 53,
    -(2 ** 53),
    '\ud83d\ude00'.repeat(40),
    [],
    {},
  ),
  fc.constantFrom<unknown>(
    'x'.repeat(256),
    'x'.repeat(257),
    'x'.repeat(40_000),
    'a b',
    '__proto__',
    'customhttp',
    'trigger',
  ),
  fc.string({ unit: 'binary', maxLength: 70 }),
  fc.double(),
);
const change: fc.Arbitrary<Change> = fc.oneof(
  scalar.map((value) => ({ kind: 'set' as const, value })),
  fc.constant({ kind: 'remove' as const }),
  fc
    .tuple(fc.constantFrom('more', '__proto__', 'toString', 'secureKey', 'text'), scalar)
    .map(([key, value]) => ({ kind: 'add' as const, key, value })),
);

describe.each(cases)('$name', ({ read, schema, samples }) => {
  it('are read as zod reads them, with its words for what is wrong', () => {
    const seen = { good: 0, bad: 0 };
    const places = samples.flatMap((sample) => pathsIn(sample).map((path) => ({ sample, path })));
    fc.assert(
      fc.property(fc.constantFrom(...places), change, ({ sample, path }, what) => {
        const raw = changed(sample, path, what);
        const byZod = schema.safeParse(raw);
        seen[byZod.success ? 'good' : 'bad']++;
        const got = read(raw) as typeof byZod;
        expect({ ...got, error: got.error?.issues }).toEqual({ ...byZod, error: byZod.error?.issues });
      }),
      { numRuns: 4_000 },
    );
    expect(Math.min(seen.good, seen.bad)).toBeGreaterThan(100);
  });

  it('as they usually are, are not even copied', () => {
    for (const sample of samples) {
      const got = read(sample) as { data?: unknown };
      const { type } = sample as { type?: string };
      expect(got.data === sample).toBe(type === undefined || frequentRecordTypes.has(type));
    }
  });
});

/** What a compiled check would pass over in silence. */
function beyondJsonSchema(schema: z.core.$ZodType): string[] {
  const known = [
    'union',
    'object',
    'literal',
    'string',
    'optional',
    'record',
    'enum',
    'boolean',
    'number',
    'array',
    'tuple',
  ];
  const checks = ['min_length', 'max_length', 'string_format', 'number_format', 'greater_than', 'less_than'];
  const { def } = schema._zod as unknown as { def: Record<string, unknown> & { type: string } };
  const own = ((def['checks'] ?? []) as z.core.$ZodCheck[]).map((check) => check._zod.def.check);
  const inner = ['element', 'innerType', 'valueType', 'keyType'].flatMap((name) => def[name] ?? []);
  const listed = ['options', 'items'].flatMap((name) => def[name] ?? []);
  const all = [...inner, ...listed, ...Object.values(def['shape'] ?? {})] as z.core.$ZodType[];
  return [
    ...(known.includes(def.type) ? [] : [def.type]),
    ...own.filter((check) => !checks.includes(check)),
    ...all.flatMap(beyondJsonSchema),
  ];
}

it('none of the schemas says more than JSON Schema can', () => {
  const frequent = [...publicRecordSchema.options, ...internalRecordSchema.options].filter(({ shape }) =>
    frequentRecordTypes.has(shape.type.value),
  );
  expect(frequent).toHaveLength(frequentRecordTypes.size);
  for (const schema of [dispatchSchema, pushResultsSchema, callRepliesSchema, ...frequent])
    expect(beyondJsonSchema(schema)).toEqual([]);
  expect(beyondJsonSchema(publicRecordSchema)).toContain('custom');
});

it('a refinement would be passed over, which is why none may be there', () => {
  const schema = z.object({ even: z.number().refine((n) => n % 2 === 0) });
  expect(beyondJsonSchema(schema)).toEqual(['custom']);
  expect(jsonReader(schema).safeParse({ even: 1 }).success).toBe(true);
});
