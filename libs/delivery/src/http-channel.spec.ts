import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import type { HttpConnection } from './connection';
import { HttpChannel, type HttpPost, type PostOutcome } from './http-channel';

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
  const channel = new HttpChannel(origin, {
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

const send = (channel: HttpChannel, what: HttpPost = post) =>
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

it('a receiver that never answers ends by the time-out of the pool', async () => {
  const origin = await receiver(() => undefined);
  expect(await send(open(origin, { answerTimeoutMs: 100 }))).toEqual({
    kind: 'unreached',
    cause: 'timeout',
    code: 'UND_ERR_HEADERS_TIMEOUT',
  });
});

it('an exchange that lasts too long is ended by the sweep', async () => {
  let clockMs = 0;
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const channel = open(await receiver(() => arrived()), { nowMs: () => clockMs });
  const outcome = send(channel);
  await arrival;
  channel.sweep((clockMs += 29_999));
  channel.sweep((clockMs += 1));
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'EXCHANGE_TIMEOUT' });
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

it('a post that undici refuses settles too, and after the call', async () => {
  const channel = open('http://127.0.0.1:1');
  let returned = false;
  const outcome = new Promise<PostOutcome>((resolve) =>
    channel.post({ ...post, path: 'no slash' }, (what) => {
      expect(returned).toBe(true);
      resolve(what);
    }),
  );
  returned = true;
  expect(await outcome).toMatchObject({ kind: 'unreached', cause: 'connection' });
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

it('closes an idle connection long before the web server does', async () => {
  const server = createServer((_request, response) => response.end());
  server.keepAliveTimeout = 60_000;
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket));
  const channel = open(await listen(server));
  for (let i = 0; i < 5; i++) await send(channel);
  expect(sockets.length).toBeLessThanOrEqual(2);
  const idleSinceMs = performance.now();
  await Promise.all(sockets.map((socket) => socket.destroyed || once(socket, 'close')));
  expect(performance.now() - idleSinceMs).toBeLessThan(4_000);
  expect(await send(channel)).toEqual({ kind: 'answered', status: 200 });
});
