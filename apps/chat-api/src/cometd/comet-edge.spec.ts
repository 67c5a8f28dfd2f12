import { hostileText, hostileValue, ManualClock, watchUncaught } from '@flexpush/testkit';
import fc from 'fast-check';
import { connect as connectTcp } from 'node:net';
import { WebSocket } from 'ws';
import { COMETD_BOUNDS } from './bounds';
import { CHANNEL, PlayedSessions, startCometApp, SWITCHED_ON, type CometApp } from './comet-app.fixture';

const PATH = '/genesys/cometd';
const MAX_INTERVAL_MS = 10_000;
const BYTES_MAX = 32_768;

interface Reply {
  channel: string;
  id?: string;
  clientId?: string;
  successful?: boolean;
  error?: string;
  advice?: { reconnect?: string };
  data?: {
    statusCode: number;
    secureKey?: string;
    messages: { index?: number }[];
    errors?: { advice: string }[];
  };
}

let comet: CometApp;
const clock = new ManualClock();

beforeAll(async () => {
  comet = await startCometApp({ FLEXPUSH_COMETD_SESSIONS_MAX: '50' }, { clock });
});
afterAll(() => comet.close());
beforeEach(() => {
  comet.sessions = new PlayedSessions();
  comet.sessions.push = (push) => comet.cometd.accept(JSON.stringify(push));
  comet.values = SWITCHED_ON;
});
// Clients that a test leaves behind are gone for the next.
afterEach(() => clock.advance(60_000));

/** Over a real connection: an injected response ends in another order. */
async function post(messages: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(comet.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof messages === 'string' ? messages : JSON.stringify(messages),
  });
  return {
    status: response.status,
    setCookie: response.headers.get('set-cookie') ?? '',
    replies: (await response.json()) as Reply[],
  };
}

const shake = {
  channel: '/meta/handshake',
  version: '1.0',
  supportedConnectionTypes: ['long-polling'],
  id: '1',
};

/** A client by hand, so that a test decides when it connects. */
async function handshake(headers: Record<string, string> = {}) {
  const { replies, setCookie } = await post([shake], headers);
  const clientId = replies[0]?.clientId ?? '';
  const cookie = setCookie.split(';', 1)[0] ?? '';
  const send = (message: object) => post([{ clientId, ...message }], { cookie: headers['cookie'] ?? cookie });
  return {
    clientId,
    cookie,
    setCookie,
    send,
    connect: (fields: object = {}) =>
      send({ channel: '/meta/connect', connectionType: 'long-polling', ...fields }),
    operate: (data: unknown) => send({ channel: CHANNEL, id: 'op', data }),
  };
}

/** Requests a chat and takes the reply and the join. */
async function chatting() {
  const client = await handshake();
  await client.operate({ operation: 'requestChat', nickname: 'Mira' });
  const { replies } = await client.connect();
  const secureKey = replies.find(({ data }) => data?.secureKey)?.data?.secureKey ?? '';
  return { ...client, secureKey };
}

describe('The cookie', () => {
  it('is set by the handshake, with the cross-site attributes where the client came by https', async () => {
    const plain = await handshake();
    expect(plain.setCookie).toMatch(/^BAYEUX_BROWSER=[A-Za-z0-9_-]{27}; Path=\/; HttpOnly$/);
    const secure = await handshake({ 'x-forwarded-proto': 'https' });
    expect(secure.setCookie).toMatch(/; Path=\/; HttpOnly; SameSite=None; Secure; Partitioned$/);
    const again = await handshake({ cookie: plain.cookie });
    expect(again.setCookie).toBe('');
    expect((await again.connect({ advice: { timeout: 0 } })).replies[0]?.successful).toBe(true);
  });

  it.each([
    { name: 'no cookie', headers: {} },
    { name: 'another cookie', headers: { cookie: 'BAYEUX_BROWSER=abcdefghijklmnopqrstuvwxyz0' } },
  ])('is needed: with $name every call is that of an unknown client', async ({ headers }) => {
    const { clientId } = await handshake();
    const channels = ['/meta/connect', '/meta/subscribe', '/meta/disconnect', CHANNEL];
    const { replies } = await post(
      channels.map((channel) => ({ channel, clientId, data: { operation: 'requestChat', nickname: 'x' } })),
      headers as Record<string, string>,
    );
    expect(replies).toMatchObject(
      channels.map((channel) => ({
        channel,
        successful: false,
        error: '402::Unknown client',
        advice: { reconnect: 'handshake' },
      })),
    );
    expect(comet.sessions.records).toEqual([]);
  });
});

describe('A dropped connection', () => {
  it('makes the client gone after 10 s, with the position that it surely has', async () => {
    const { sessions } = comet;
    const client = await chatting();
    sessions.say('delivered');
    await client.connect();
    // It came back for more, so it has that; the next answer it may have or not.
    const held = client.connect();
    await clock.advance(0);
    sessions.say('sent');
    const { replies } = await held;
    expect(replies.flatMap(({ data }) => data?.messages ?? [])).toMatchObject([{ index: 3 }]);
    sessions.say('never sent');
    await clock.advance(MAX_INTERVAL_MS - 1);
    expect(sessions.of('request.away')).toEqual([]);
    await clock.advance(1);
    expect(sessions.of('request.away')).toMatchObject([
      { transcriptPosition: 2, address: sessions.created?.address },
    ]);
    expect((await client.connect()).replies).toMatchObject([
      { error: '402::Unknown client', advice: { reconnect: 'handshake' } },
    ]);
    sessions.address = sessions.created?.address;
    expect(sessions.say('to nobody')).toBe('gone');
  });

  it('is reported until the sessions answer', async () => {
    const { sessions } = comet;
    await chatting();
    let tries = 0;
    sessions.intercept = ({ type }) =>
      type === 'request.away' && ++tries < 4 ? { kind: 'timeout' } : undefined;
    await clock.advance(MAX_INTERVAL_MS + 60_000);
    expect(tries).toBe(4);
    expect(sessions.address).toBeUndefined();
  });

  it.each([
    { name: 'ext, as text', fields: { ext: { transcriptPosition: '4' } }, position: 4 },
    { name: 'ext, as a number', fields: { ext: { transcriptPosition: 4 } }, position: 4 },
    { name: 'top level', fields: { transcriptPosition: '4' }, position: 4 },
    { name: 'nowhere', fields: {}, position: 0 },
    { name: 'rubbish', fields: { ext: { transcriptPosition: 'x' }, transcriptPosition: -1 }, position: 0 },
  ])('on /meta/disconnect the position comes from $name', async ({ fields, position }) => {
    const client = await chatting();
    await client.send({ channel: '/meta/disconnect', ...fields });
    expect(comet.sessions.of('request.away')).toMatchObject([{ transcriptPosition: position }]);
  });
});

describe('A client that does not read', () => {
  it('is dropped when its queue is full, and what comes then is for its device', async () => {
    const { sessions } = comet;
    await chatting();
    const answers = Array.from({ length: COMETD_BOUNDS.queuedMessages + 1 }, (_, i) =>
      sessions.say(`text ${i}`),
    );
    expect(answers.at(0)).toBe('taken');
    expect(answers.filter((answer) => answer !== undefined).at(-1)).toBe('gone');
    await clock.advance(0);
    expect(sessions.of('request.away')).toMatchObject([{ transcriptPosition: 0 }]);
  });
});

describe('Whatever a client sends', () => {
  const isBayeux = (replies: unknown) =>
    Array.isArray(replies) &&
    replies.length > 0 &&
    replies.every(
      (reply: Reply) => typeof reply.channel === 'string' && typeof reply.successful === 'boolean',
    );

  it.each([
    { name: 'no JSON', body: 'nonsense', status: 400, error: '400::the messages are not JSON' },
    { name: 'nothing', body: '', status: 400, error: /^400::/ },
    { name: 'no message', body: '[]', status: 400, error: '400::there is no message' },
    { name: 'no object', body: '[null, 3]', status: 200, error: /^400::/ },
    { name: 'no channel', body: '{"id":"1"}', status: 400, error: '400::channel is missing or not valid' },
    {
      name: 'a wrong type',
      body: '{"channel":"/meta/connect","clientId":7}',
      status: 200,
      error: /^400::clientId/,
    },
    { name: 'too many', body: JSON.stringify(Array(65).fill(shake)), status: 400, error: /^400::at most 64/ },
    {
      name: 'too much',
      body: JSON.stringify({ ...shake, x: 'x'.repeat(BYTES_MAX) }),
      status: 413,
      error: /^413::/,
    },
  ])('$name is answered as Bayeux does', async ({ body, status, error }) => {
    const answer = await post(body);
    expect(answer.status).toBe(status);
    expect(isBayeux(answer.replies)).toBe(true);
    for (const reply of answer.replies) expect(reply).toMatchObject({ error: expect.stringMatching(error) });
  });

  it('another media type is answered as Bayeux does', async () => {
    const answer = await post('a=b', { 'content-type': 'application/x-www-form-urlencoded' });
    expect(answer).toMatchObject({
      status: 415,
      replies: [{ successful: false, error: '415::send application/json' }],
    });
  });

  it.each([
    {
      name: 'an unknown channel',
      message: { channel: '/chat', data: {} },
      error: '404:/chat:Unknown channel',
    },
    {
      name: 'an unknown meta channel',
      message: { channel: '/meta/x' },
      error: '404:/meta/x:Unknown channel',
    },
    {
      name: 'a foreign subscription',
      message: { channel: '/meta/subscribe', subscription: '/**' },
      error: '403:/**:only /service/chatV2/{service} may be subscribed to',
    },
    {
      name: 'no subscription',
      message: { channel: '/meta/subscribe' },
      error: '400::subscription is missing',
    },
  ])('$name is refused and spoils nothing', async ({ message, error }) => {
    const client = await handshake();
    expect((await client.send(message)).replies).toMatchObject([{ successful: false, error }]);
    expect((await client.connect({ advice: { timeout: 0 } })).replies[0]?.successful).toBe(true);
  });

  it.each([
    { name: 'no data', data: undefined },
    { name: 'an array', data: [1] },
    { name: 'no operation', data: { nickname: 'x' } },
    { name: 'an object for text', data: { operation: 'requestChat', nickname: {} } },
    { name: 'userData as text', data: { operation: 'requestChat', nickname: 'x', userData: 'x' } },
    {
      name: 'too many fields',
      data: {
        operation: 'requestChat',
        userData: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, 'x'])),
      },
    },
    {
      name: 'a position that is none',
      data: { operation: 'requestNotifications', secureKey: 'k', transcriptPosition: 'x' },
    },
  ])('an operation with $name gets a reply on its channel that says what is wrong', async ({ data }) => {
    const client = await handshake();
    expect((await client.operate(data)).replies).toMatchObject([
      { channel: CHANNEL, successful: true, id: 'op' },
    ]);
    const { replies } = await client.connect();
    expect(replies[0]).toMatchObject({
      channel: CHANNEL,
      id: 'op',
      data: { statusCode: 2, messages: [], errors: [{ advice: expect.any(String) }] },
    });
    expect(comet.sessions.records).toEqual([]);
  });

  it('a flood of operations is cut off, and the rest is answered', async () => {
    const client = await handshake();
    let release = () => undefined as void;
    const hold = new Promise<void>((resolve) => (release = resolve));
    comet.sessions.intercept = async () => {
      await hold;
      return { kind: 'timeout' };
    };
    const many = Array.from({ length: COMETD_BOUNDS.operationsPerClient + 5 }, () => ({
      channel: CHANNEL,
      clientId: client.clientId,
      data: { operation: 'requestChat', nickname: 'x' },
    }));
    const { replies } = await post(many, { cookie: client.cookie });
    expect(replies.filter(({ successful }) => successful)).toHaveLength(
      COMETD_BOUNDS.chatsPerClient + (COMETD_BOUNDS.operationsPerClient - COMETD_BOUNDS.chatsPerClient),
    );
    expect(replies.at(-1)?.error).toMatch(/^429::/);
    release();
  });

  it('more clients than are allowed are told to come back', async () => {
    const all = await Promise.all(Array.from({ length: 51 }, () => post([shake])));
    const refused = all.flatMap(({ replies }) => replies).filter(({ successful }) => successful === false);
    expect(refused).toMatchObject([
      { error: '503::too many clients are connected', advice: { reconnect: 'handshake' } },
    ]);
    expect(refused[0]).not.toHaveProperty('clientId');
  });

  it('anything at all is answered as Bayeux does, and loses nothing for others', async () => {
    const uncaught = watchUncaught();
    const client = await handshake();
    const { clientId } = client;
    const data = { operation: 'sendMessage', secureKey: 'x', message: 'x', userData: { a: 'b' } };
    const lawful = [
      [shake],
      [{ channel: CHANNEL, clientId, id: '2', data }],
      [{ channel: '/meta/subscribe', clientId, subscription: [CHANNEL] }],
      [{ channel: '/meta/connect', clientId: 'nobody', advice: { timeout: 0 } }],
    ];
    try {
      await fc.assert(
        fc.asyncProperty(hostileText(lawful), async (body) => {
          const answer = await post(body.slice(0, BYTES_MAX), { cookie: client.cookie });
          expect(isBayeux(answer.replies)).toBe(true);
        }),
        { numRuns: 300 },
      );
      await fc.assert(
        fc.asyncProperty(hostileValue, async (value) => {
          expect((await client.operate(value)).replies).toHaveLength(1);
        }),
        { numRuns: 100 },
      );
      await uncaught.none();
    } finally {
      uncaught.stop();
    }
    expect((await client.connect()).replies.length).toBeGreaterThan(100);
  });

  it('a message over NATS that cannot be read is counted and not answered', async () => {
    for (const text of ['', '{', '[]', '{"v":2}', '{"v":1,"clientId":3}'])
      expect(comet.cometd.accept(text)).toBeUndefined();
    const metrics = await comet.operations.registry.metrics();
    expect(metrics).toMatch(/flexpush_messages_malformed_total\{kind="comet-push"[^}]*\} 5/);
  });
});

describe('callback-polling', () => {
  const get = (query: Record<string, string>, cookie = '') =>
    comet.app.inject({
      method: 'GET',
      url: `${PATH}?${new URLSearchParams(query).toString()}`,
      headers: { cookie },
    });

  it('answers with a call of the named function', async () => {
    const response = await get({ jsonp: 'cometd._callback1', message: JSON.stringify([shake]) });
    expect(response.headers['content-type']).toContain('text/javascript');
    const [, content = ''] = /^\/\*\*\/cometd\._callback1\((.*)\);$/.exec(response.body) ?? [];
    expect(JSON.parse(content)).toMatchObject([{ channel: '/meta/handshake', successful: true }]);
  });

  it.each(['alert(1)//', '<script>', '', 'a'.repeat(200), 'a.b-c'])('refuses to call %j', async (jsonp) => {
    const response = await get({ jsonp, message: '[]' });
    expect(response.statusCode).toBe(400);
    expect(response.headers['content-type']).toContain('application/json');
    expect(response.json()).toMatchObject([{ successful: false }]);
  });
});

describe('WebSocket', () => {
  const url = () => comet.url.replace(/^http/, 'ws');

  function open(
    address = url(),
  ): Promise<{ socket: WebSocket; setCookie: string; next: () => Promise<Reply[]> }> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(address);
      let setCookie = '';
      const arrived: Reply[][] = [];
      const waiting: ((replies: Reply[]) => void)[] = [];
      socket.on('upgrade', ({ headers }) => (setCookie = String(headers['set-cookie'])));
      socket.on('message', (content: Buffer) => {
        const replies = JSON.parse(content.toString()) as Reply[];
        const waiter = waiting.shift();
        if (waiter) waiter(replies);
        else arrived.push(replies);
      });
      const next = () => {
        const first = arrived.shift();
        return first ? Promise.resolve(first) : new Promise<Reply[]>((taken) => waiting.push(taken));
      };
      socket.on('open', () => resolve({ socket, setCookie, next }));
      socket.on('error', reject);
    });
  }

  it('sets the cookie with the upgrade, and serves the client by long-polling too', async () => {
    const { socket, setCookie, next } = await open();
    expect(setCookie).toMatch(/^BAYEUX_BROWSER=/);
    socket.send(JSON.stringify([shake]));
    const clientId = (await next())[0]?.clientId;
    const connect = { channel: '/meta/connect', clientId, advice: { timeout: 0 } };
    const cookie = setCookie.split(';', 1)[0] ?? '';
    expect((await post([connect], { cookie })).replies).toMatchObject([{ successful: true }]);
    expect((await post([connect])).replies).toMatchObject([{ successful: false }]);
    socket.terminate();
  });

  it('knows no client of another cookie', async () => {
    const { clientId } = await handshake();
    const { socket, next } = await open();
    socket.send(JSON.stringify([{ channel: '/meta/connect', clientId }]));
    expect(await next()).toMatchObject([
      { error: '402::Unknown client', advice: { reconnect: 'handshake' } },
    ]);
    socket.terminate();
  });

  it('answers nonsense as Bayeux does and goes on; what is too long or binary closes it', async () => {
    const { socket, next } = await open();
    socket.send('nonsense');
    expect(await next()).toMatchObject([{ successful: false, error: '400::the messages are not JSON' }]);
    socket.send(JSON.stringify(shake));
    expect(await next()).toMatchObject([{ successful: true }]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.send('x'.repeat(BYTES_MAX + 1));
    expect(await closed).toBe(1009);
    const other = await open();
    const otherClosed = new Promise((resolve) => other.socket.once('close', resolve));
    other.socket.send(Buffer.from([1, 2, 3]));
    expect(await other.next()).toMatchObject([{ successful: false, error: '400::send text' }]);
    expect(await otherClosed).toBe(1003);
  });

  it('is refused on other paths, and for what is no upgrade to it', async () => {
    await expect(open(url().replace('cometd', 'other'))).rejects.toThrow('404');
    const { port } = new URL(comet.url);
    const answer = await new Promise<string>((resolve) => {
      const socket = connectTcp(Number(port), '127.0.0.1');
      socket.on('data', (content) => resolve(content.toString()));
      socket.write(`GET ${PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
    });
    expect(answer).toMatch(/^HTTP\/1.1 400/);
  });

  it('that is dropped makes the client gone after 10 s', async () => {
    const { sessions } = comet;
    const { socket, next } = await open();
    socket.send(JSON.stringify([shake]));
    const clientId = (await next())[0]?.clientId;
    const send = (message: object) => socket.send(JSON.stringify([{ clientId, ...message }]));
    send({ channel: '/meta/connect', advice: { timeout: 0 } });
    await next();
    send({ channel: '/meta/connect' });
    send({ channel: CHANNEL, id: 'op', data: { operation: 'requestChat', nickname: 'Mira' } });
    for (let indexes: (number | undefined)[] = []; !indexes.includes(1);)
      indexes = (await next()).flatMap(({ data }) => data?.messages.map(({ index }) => index) ?? []);
    socket.terminate();
    const closed = () => clock.nextDueAtMs === clock.now() + MAX_INTERVAL_MS;
    for (let turns = 0; turns < 1_000 && !closed(); turns++) await clock.advance(0);
    await clock.advance(MAX_INTERVAL_MS);
    expect(sessions.of('request.away')).toMatchObject([{ transcriptPosition: 0 }]);
  });
});
