import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import type { Channel, HttpPost, PostOutcome } from './channel';
import type { HttpConnection } from './connection';
import { openHttpChannel } from './http-channel';

const post: HttpPost = {
  path: '/push?x=1',
  headers: ['content-type', 'application/json;charset=UTF-8'],
  body: '{"deviceId":"é"}',
};
let cleanup: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of cleanup.reverse()) await end();
  cleanup = [];
});

async function listen(server: Server | TcpServer): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(async () => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function receiver(answer: RequestListener): Promise<string> {
  return listen(createServer(answer));
}

function open(
  origin: string | HttpConnection,
  more: Partial<{ answerTimeoutMs: number; nowMs: () => number }> = {},
) {
  const channel = openHttpChannel(typeof origin === 'string' ? { origin } : origin, {
    connectionsMax: 2,
    connectTimeoutMs: 1_000,
    answerTimeoutMs: 10_000,
    exchangeTimeoutMs: 30_000,
    nowMs: () => 0,
    ...more,
  });
  cleanup.push(() => channel.close());
  return channel;
}

const send = (channel: Channel, what: HttpPost = post) =>
  new Promise<PostOutcome>((resolve) => channel.post(what, resolve));

it('posts the body with its content type, to path and query', async () => {
  let seen: unknown;
  const origin = await receiver((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen = [
        request.method,
        request.url,
        request.headers['content-type'],
        request.headers['content-length'],
        Buffer.concat(chunks).toString(),
      ];
      response.end('thanks');
    });
  });
  expect(await send(open(origin))).toEqual({ kind: 'answered', status: 200 });
  expect(seen).toEqual(['POST', '/push?x=1', 'application/json;charset=UTF-8', '17', '{"deviceId":"é"}']);
});

it('does not follow redirects', async () => {
  let requests = 0;
  const origin = await receiver((_request, response) => {
    requests += 1;
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  expect(await send(open(origin))).toEqual({ kind: 'answered', status: 302 });
  expect(requests).toBe(1);
});

it('a refused connection is unreached', async () => {
  const server = createTcpServer();
  const origin = await listen(server);
  server.close();
  await once(server, 'close');
  expect(await send(open(origin))).toEqual({ kind: 'unreached', cause: 'connection', code: 'ECONNREFUSED' });
});

it('a connection that is reset before an answer is unreached', async () => {
  const origin = await listen(
    createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
  );
  expect(await send(open(origin))).toMatchObject({ kind: 'unreached', cause: 'connection' });
});

/** A post that has arrived at a receiver which does what it is told, and a clock. */
async function underWay(listener: RequestListener = () => undefined, more = {}) {
  const clock = { nowMs: 0 };
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const origin = await receiver((request, response) => {
    listener(request, response);
    arrived();
  });
  const channel = open(origin, { nowMs: () => clock.nowMs, ...more });
  const outcome = send(channel);
  await arrival;
  const sweepAt = (nowMs: number) => channel.sweep((clock.nowMs = nowMs));
  return { outcome, sweepAt };
}

it('a receiver that never answers is waited for as long as the answer may take', async () => {
  const { outcome, sweepAt } = await underWay();
  let told = false;
  void outcome.then(() => (told = true));
  sweepAt(9_999);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toBe(false);
  sweepAt(10_000);
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'ANSWER_TIMEOUT' });
});

it('an exchange that lasts too long is ended by the sweep', async () => {
  const { outcome, sweepAt } = await underWay(undefined, { answerTimeoutMs: 60_000 });
  sweepAt(29_999);
  sweepAt(30_000);
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'EXCHANGE_TIMEOUT' });
});

it('a connection that does not come about is waited for as long as connecting may take', async () => {
  let connected: () => void = () => undefined;
  const connection = new Promise<void>((resolve) => (connected = resolve));
  // It takes the connection, and says nothing of TLS.
  const origin = await listen(createTcpServer(() => connected()));
  const channel = open(origin.replace('http:', 'https:'));
  const outcome = send(channel);
  await connection;
  channel.sweep(999);
  channel.sweep(1_000);
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'CONNECT_TIMEOUT' });
});

it('with the status known, a broken or endless body does not change it', async () => {
  const endless = await receiver((_request, response) => {
    response.writeHead(200);
    const write = () => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      if (!response.destroyed) response.once('drain', write);
    };
    write();
  });
  expect(await send(open(endless))).toEqual({ kind: 'answered', status: 200 });
  const broken = await receiver((_request, response) => {
    response.writeHead(503, { 'content-length': '1000' });
    response.write('part', () => response.destroy());
  });
  expect(await send(open(broken))).toEqual({ kind: 'answered', status: 503 });
});

it.each([
  ['a path without a slash', { ...post, path: 'no slash' }],
  ['a path with a break', { ...post, path: '/a b HTTP/1.1\r\nx: y' }],
  ['a value with a break', { ...post, headers: ['x-a', 'b\r\nx-c: d'] }],
  ['a value that is not latin1', { ...post, headers: ['x-a', '\u20ac'] }],
  ['a name with a blank', { ...post, headers: ['x a', 'b'] }],
  ['a length of its own', { ...post, headers: ['Content-Length', '1'] }],
  ['a coding of its own', { ...post, headers: ['transfer-encoding', 'chunked'] }],
])('a post that cannot be sent settles too, and after the call: %s', async (_name, bad) => {
  const channel = open('http://127.0.0.1:1');
  let returned = false;
  const outcome = new Promise<PostOutcome>((resolve) =>
    channel.post(bad, (what) => {
      expect(returned).toBe(true);
      resolve(what);
    }),
  );
  returned = true;
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'connection', code: 'INVALID_REQUEST' });
});

it('closing settles what is under way', async () => {
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const channel = open(await receiver(() => arrived()));
  const outcome = send(channel);
  await arrival;
  await channel.close();
  expect(await outcome).toMatchObject({ kind: 'unreached' });
});

it('a post after the end fails, with a proxy too', async () => {
  for (const to of [
    'http://127.0.0.1:1',
    { origin: 'http://127.0.0.1:1', proxy: { url: 'http://127.0.0.1:1' } },
  ]) {
    const channel = open(to);
    await channel.close();
    expect(await send(channel)).toMatchObject({ kind: 'unreached', cause: 'connection' });
  }
});

it('keeps the beginning of the answer for who asks for it', async () => {
  const origin = await receiver((_request, response) => {
    response.writeHead(404);
    response.write('é'.repeat(3_000));
    response.end('x'.repeat(10_000));
  });
  expect(await send(open(origin), { ...post, keepsAnswer: true })).toEqual({
    kind: 'answered',
    status: 404,
    answer: 'é'.repeat(2_048),
  });
});

/** A server that answers each POST on a connection with the next of these texts, and tells which connection it was. */
async function answersWith(...answers: string[]) {
  const sockets: Socket[] = [];
  const used: number[] = [];
  const origin = await listen(
    createTcpServer((socket) => {
      const n = sockets.push(socket) - 1;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        used.push(n);
        socket.write(answers[Math.min(used.length, answers.length) - 1] ?? '');
      });
    }),
  );
  return { origin, sockets, used };
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

it('posts go over one connection, one after the other', async () => {
  const { origin, used } = await answersWith(OK);
  const channel = open(origin);
  for (let n = 0; n < 3; n++) expect(await send(channel)).toEqual({ kind: 'answered', status: 200 });
  expect(used).toEqual([0, 0, 0]);
});

it('a post that is made when an answer is told goes on its connection at once', async () => {
  const { origin, used } = await answersWith(OK);
  const channel = open(origin);
  const second = new Promise<PostOutcome>((resolve) => channel.post(post, () => channel.post(post, resolve)));
  expect(await second).toEqual({ kind: 'answered', status: 200 });
  expect(used).toEqual([0, 0]);
});

it.each([
  ['more behind its end', `${OK}HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n`],
  ['connection: close', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n'],
  ['a promise to close within a second', OK.replace('\r\n', '\r\nkeep-alive: timeout=1, max=9\r\n')],
])('carries nothing after an answer with %s', async (_name, answer) => {
  const { origin, used } = await answersWith(answer);
  const channel = open(origin);
  for (let n = 0; n < 2; n++) expect(await send(channel)).toEqual({ kind: 'answered', status: 200 });
  expect(used).toEqual([0, 1]);
});

it('does not take for an answer what comes without a post', async () => {
  const { origin, sockets, used } = await answersWith(OK);
  const channel = open(origin);
  await send(channel);
  const closed = once(sockets[0] as Socket, 'close');
  sockets[0]?.write('HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n');
  await closed;
  expect(await send(channel)).toEqual({ kind: 'answered', status: 200 });
  expect(used).toEqual([0, 1]);
});

it('waits for the rest of a body as long as its parts come', async () => {
  let response: ServerResponse | undefined;
  const { outcome, sweepAt } = await underWay((_request, its) => {
    response = its;
    its.writeHead(200, { 'content-length': 3 }).write('a');
  });
  let told = false;
  void outcome.then(() => (told = true));
  for (const nowMs of [9_000, 18_000]) {
    sweepAt(nowMs);
    await new Promise((resolve) => response?.write('b', resolve));
    // It lies in the socket, and is read in the next turn.
    for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(nowMs === 18_000);
  }
  expect(await outcome).toEqual({ kind: 'answered', status: 200 });
});

it.each(['localhost', '[::1]'])('finds %s', async (host) => {
  const server = createServer((request, response) => response.end(request.headers.host));
  server.listen(0, host === 'localhost' ? host : '::1');
  await once(server, 'listening');
  cleanup.push(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const channel = open(`http://${host}:${port}`);
  expect(await send(channel, { ...post, keepsAnswer: true })).toEqual({
    kind: 'answered',
    status: 200,
    answer: `${host}:${port}`,
  });
});

it('closes an idle connection long before the web server does', async () => {
  const { origin, sockets, used } = await answersWith(OK);
  let nowMs = 0;
  const channel = open(origin, { nowMs: () => nowMs });
  await send(channel);
  nowMs = 999;
  channel.sweep(nowMs);
  await send(channel);
  expect(used).toEqual([0, 0]);
  const closed = once(sockets[0] as Socket, 'close');
  nowMs += 1_000;
  // Whether the sweep has come by or not.
  expect(await send(channel)).toEqual({ kind: 'answered', status: 200 });
  expect(used).toEqual([0, 0, 1]);
  channel.sweep(nowMs);
  await closed;
});

it('what has been idle for too long is ended by the post that would have gone on it', async () => {
  const { origin, sockets, used } = await answersWith(OK);
  let nowMs = 0;
  const channel = open(origin, { nowMs: () => nowMs });
  await Promise.all([send(channel), send(channel)]);
  const closed = Promise.all(sockets.map((socket) => once(socket, 'close')));
  nowMs = 1_000;
  await send(channel);
  await closed;
  expect(used).toEqual([0, 1, 2]);
});
