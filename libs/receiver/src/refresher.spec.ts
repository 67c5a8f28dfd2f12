import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TriggerPush } from './push';
import { createRefresher, type RefresherOptions } from './refresher';

const trigger: TriggerPush = {
  kind: 'trigger',
  deviceId: 'd',
  position: 3,
  attempt: 0,
  chatEnded: false,
  sessionId: '00021bBKRTX9M01C',
  userId: '00A1653C92D4000F',
  secureKey: '5be07d19c2f8a4360e77',
  alias: '204',
};

interface Asked {
  path: string | undefined;
  headers: IncomingMessage['headers'];
  form: Record<string, string>;
}

let server: Server;
let url: string;
let asked: Asked[];
let answer: (asked: Asked) => { status: number; body: unknown; headers?: Record<string, string> } | 'nothing';

beforeEach(async () => {
  asked = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
      const one = { path: request.url, headers: request.headers, form };
      asked.push(one);
      const given = answer(one);
      if (given === 'nothing') return;
      response.writeHead(given.status, given.headers);
      response.end(typeof given.body === 'string' ? given.body : JSON.stringify(given.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const refresh = (push: TriggerPush = trigger, more: Partial<RefresherOptions> = {}) =>
  createRefresher({ baseUrl: `${url}/genesys/`, service: 'support-web', ...more }).refresh(push);

const events = (from: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({ index: from + n, type: 'Message', text: `m${from + n}` }));
const reply = (messages: unknown[], nextPosition: number, more: object = {}) => ({
  status: 200,
  body: { messages, nextPosition, statusCode: 0, chatEnded: false, alias: '204', ...more },
});

it('asks the Chat API from the position of the push, with its credentials', async () => {
  answer = () => reply([...events(3, 2), { odd: true }], 5);
  expect(await refresh(trigger, { headers: { 'x-api-key': 'abc' } })).toEqual({
    kind: 'events',
    events: events(3, 2),
    nextPosition: 5,
    chatEnded: false,
    isComplete: true,
    alias: '204',
  });
  expect(asked).toEqual([
    {
      path: '/genesys/2/chat/support-web/00021bBKRTX9M01C/refresh',
      headers: expect.objectContaining({
        'x-api-key': 'abc',
        'content-type': 'application/x-www-form-urlencoded',
      }) as unknown,
      form: {
        userId: '00A1653C92D4000F',
        secureKey: '5be07d19c2f8a4360e77',
        alias: '204',
        transcriptPosition: '3',
      },
    },
  ]);
});

it('reads on while replies are full, with the newest alias, and stops at its bound', async () => {
  answer = ({ form }) => {
    const from = Number(form['transcriptPosition']);
    return reply(events(from, from < 1_003 ? 500 : 7), from < 1_003 ? from + 500 : from + 7, {
      alias: '205',
    });
  };
  const found = await refresh();
  expect(found).toMatchObject({ kind: 'events', nextPosition: 1_010, isComplete: true, alias: '205' });
  expect(found.kind === 'events' && found.events.map(({ index }) => index)).toEqual(
    Array.from({ length: 1_007 }, (_, n) => n + 3),
  );
  expect(asked.map(({ form }) => form['alias'])).toEqual(['204', '205', '205']);
  answer = ({ form }) =>
    reply(events(Number(form['transcriptPosition']), 500), Number(form['transcriptPosition']) + 500);
  asked = [];
  expect(await refresh()).toMatchObject({ kind: 'events', nextPosition: 10_003, isComplete: false });
  expect(asked).toHaveLength(20);
});

it('an ended chat still gives its rest', async () => {
  answer = () => reply(events(3, 1), 4, { chatEnded: true });
  expect(await refresh()).toMatchObject({ kind: 'events', chatEnded: true });
});

it('a removed participant acknowledges by asking, whatever the answer', async () => {
  answer = () => ({
    status: 200,
    body: { statusCode: 2, chatEnded: true, errors: [{ code: 249, advice: 'x' }] },
  });
  expect(await refresh({ ...trigger, position: -1 })).toEqual({ kind: 'removed' });
  expect(asked).toHaveLength(1);
});

it.each<{ name: string; given: ReturnType<typeof answer>; found: object }>([
  {
    name: 'a refusal',
    given: { status: 200, body: { statusCode: 2, errors: [{ code: 249, advice: 'no' }, 7] } },
    found: {
      kind: 'refused',
      errors: [
        { code: 249, advice: 'no' },
        { code: 0, advice: '' },
      ],
    },
  },
  {
    name: 'a request that is wrong',
    given: { status: 400, body: { errors: [{ code: 161, advice: 'nickname is required' }] } },
    found: { kind: 'refused', errors: [{ code: 161, advice: 'nickname is required' }] },
  },
  {
    name: 'a server that is busy',
    given: { status: 503, body: {} },
    found: { kind: 'retry', reason: 'http-503' },
  },
  {
    name: 'statusCode 1',
    given: { status: 200, body: { statusCode: 1 } },
    found: { kind: 'retry', reason: 'not-now' },
  },
  {
    name: 'no JSON',
    given: { status: 200, body: '<html>' },
    found: { kind: 'retry', reason: 'SyntaxError' },
  },
  {
    name: 'a redirect, which is not followed',
    given: { status: 302, body: '{}', headers: { location: '/elsewhere' } },
    found: { kind: 'retry', reason: 'http-302' },
  },
  { name: 'silence', given: 'nothing', found: { kind: 'retry', reason: 'TimeoutError' } },
])('tells $name', async ({ given, found }) => {
  answer = () => given;
  expect(await refresh(trigger, { timeoutMs: given === 'nothing' ? 50 : 5_000 })).toEqual(found);
  expect(asked).toHaveLength(1);
});

it('without a server it is to be tried again', async () => {
  server.close();
  expect(await refresh()).toMatchObject({ kind: 'retry' });
});

it('takes credentials that pushes do not carry from the receiver, and says which are missing', async () => {
  answer = () => reply([], 3);
  const { secureKey: _key, alias: _alias, ...without } = trigger;
  expect(await refresh(without)).toEqual({ kind: 'no-credentials', missing: ['secureKey'] });
  const credentials = ({ deviceId }: TriggerPush) =>
    Promise.resolve(deviceId === 'd' ? { secureKey: 'from the receiver' } : undefined);
  expect(await refresh(without, { credentials })).toMatchObject({ kind: 'events' });
  expect(asked.map(({ form }) => form['secureKey'])).toEqual(['from the receiver']);
  expect(await refresh({ ...without, deviceId: 'x' }, { credentials })).toMatchObject({
    kind: 'no-credentials',
  });
  const broken = () => Promise.reject(new Error('the store is away'));
  expect(await refresh(without, { credentials: broken })).toMatchObject({ kind: 'no-credentials' });
});
