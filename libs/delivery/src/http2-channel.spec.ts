import { ApnsEndpoint, createTestAuthority, type TestAuthority } from '@flexpush/testkit';
import { once } from 'node:events';
import { constants, createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import { createServer, type AddressInfo, type Server } from 'node:net';
import type { HttpConnection } from './connection';
import type { PostOutcome } from './channel';
import { Http2Channel, type Http2ChannelOptions } from './http2-channel';

const post = { path: '/3/device/d', headers: ['apns-topic', 'app'], body: '{"aps":{}}', keepsAnswer: true };
let authority: TestAuthority;
let cleanup: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  authority = await createTestAuthority();
});
afterEach(async () => {
  for (const end of cleanup.reverse()) await end();
  cleanup = [];
});

function open(connection: HttpConnection, more: Partial<Http2ChannelOptions> = {}): Http2Channel {
  const channel = new Http2Channel(connection, {
    connectTimeoutMs: 2_000,
    answerTimeoutMs: 10_000,
    exchangeTimeoutMs: 30_000,
    nowMs: () => 0,
    ...more,
  });
  cleanup.push(() => channel.close());
  return channel;
}

const send = (channel: Http2Channel, what = post) =>
  new Promise<PostOutcome>((resolve) => channel.post(what, resolve));

/** A server that answers a stream as the test says. */
async function server(answer: (stream: ServerHttp2Stream, n: number) => void) {
  const started: Http2SecureServer = createSecureServer(await authority.issue());
  let streams = 0;
  let sessions = 0;
  started.on('session', (session) => {
    sessions += 1;
    session.on('error', () => undefined);
    cleanup.push(() => session.destroy());
  });
  started.on('stream', (stream) => {
    stream.on('error', () => undefined);
    answer(stream, (streams += 1));
  });
  return {
    ...(await listen(started)),
    streams: () => streams,
    sessions: () => sessions,
  };
}

async function listen(started: Server | Http2SecureServer): Promise<{ connection: HttpConnection }> {
  started.listen(0, '127.0.0.1');
  await once(started, 'listening');
  cleanup.push(() => void started.close());
  const origin = `https://127.0.0.1:${(started.address() as AddressInfo).port}`;
  return { connection: { origin, tls: { ca: authority.cert } } };
}

const ok = (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  stream.end('{"a":"é"}');
};

it('posts many at once on one connection, and keeps the beginning of the answer', async () => {
  const open128: ServerHttp2Stream[] = [];
  const at = await server((stream) => {
    open128.push(stream);
    // They are answered only when all of them are open.
    if (open128.length === 128) open128.forEach(ok);
  });
  const channel = open(at.connection);
  const outcomes = await Promise.all(Array.from({ length: 128 }, () => send(channel)));
  expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome)))).toEqual(
    new Set([JSON.stringify({ kind: 'answered', status: 200, answer: '{"a":"é"}' })]),
  );
  expect(at.sessions()).toBe(1);
});

it('does not send to a server whose certificate it cannot verify', async () => {
  const at = await server(ok);
  const stranger = await createTestAuthority();
  for (const tls of [{}, { ca: stranger.cert }]) {
    const outcome = await send(open({ ...at.connection, tls }));
    expect(outcome).toMatchObject({ kind: 'unreached', cause: 'connection' });
    expect(outcome).toHaveProperty(
      'code',
      expect.stringMatching(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|SELF_SIGNED/),
    );
  }
  expect(at.streams()).toBe(0);
});

it('H1: what is under way when the server says GOAWAY ends well, and the next goes on a new connection', async () => {
  const held: ServerHttp2Stream[] = [];
  const at = await server((stream, n) => {
    if (n > 4) return ok(stream);
    held.push(stream);
    if (n === 4) stream.session?.goaway(constants.NGHTTP2_NO_ERROR);
    return undefined;
  });
  const channel = open(at.connection);
  const first = [1, 2, 3, 4].map(() => send(channel));
  // The fifth is sent when the GOAWAY has come, or it would be refused and repeated.
  let fifth: PostOutcome | undefined;
  while (fifth === undefined) {
    const next = await send(channel);
    if (at.sessions() === 2) fifth = next;
  }
  expect(fifth).toMatchObject({ status: 200 });
  held.forEach(ok);
  expect((await Promise.all(first)).map((outcome) => outcome.kind === 'answered' && outcome.status)).toEqual([
    200, 200, 200, 200,
  ]);
});

it('H2: a post that the server did not touch is sent once more, and only once', async () => {
  const at = await server((stream, n) => {
    if (n === 2) ok(stream);
    else stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  const channel = open(at.connection);
  expect(await send(channel)).toMatchObject({ kind: 'answered', status: 200 });
  expect(at.streams()).toBe(2);
  expect(await send(channel)).toMatchObject({ kind: 'unreached', cause: 'connection' });
  expect(at.streams()).toBe(4);
});

it('a post that was cut in the middle is not repeated: nobody knows whether it was taken', async () => {
  const at = await server((stream) => stream.session?.destroy());
  expect(await send(open(at.connection))).toMatchObject({ kind: 'unreached', cause: 'connection' });
  expect(at.streams()).toBe(1);
});

it('a server that does not answer ends by the time-out, and its connection gets no more posts', async () => {
  const at = await server((stream, n) => (n === 1 ? undefined : ok(stream)));
  const channel = open(at.connection, { answerTimeoutMs: 50 });
  expect(await send(channel)).toEqual({ kind: 'unreached', cause: 'timeout', code: 'ANSWER_TIMEOUT' });
  expect(await send(channel)).toMatchObject({ status: 200 });
  expect(at.sessions()).toBe(2);
});

it('a server that does not finish its handshake ends by the time-out for connecting', async () => {
  const { connection } = await listen(createServer((socket) => cleanup.push(() => void socket.destroy())));
  expect(await send(open(connection, { connectTimeoutMs: 50 }))).toEqual({
    kind: 'unreached',
    cause: 'timeout',
    code: 'CONNECT_TIMEOUT',
  });
});

it('a refused connection is unreached, and the next post tries again', async () => {
  const closed = createServer();
  const { connection } = await listen(closed);
  closed.close();
  await once(closed, 'close');
  const channel = open(connection);
  const refused = { kind: 'unreached', cause: 'connection', code: 'ECONNREFUSED' };
  expect(await send(channel)).toEqual(refused);
  expect(await send(channel)).toEqual(refused);
});

it('an exchange that lasts too long is ended by the sweep', async () => {
  let clockMs = 0;
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const at = await server(() => arrived());
  const channel = open(at.connection, { nowMs: () => clockMs });
  const outcome = send(channel);
  await arrival;
  channel.sweep((clockMs += 29_999));
  channel.sweep((clockMs += 1));
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'EXCHANGE_TIMEOUT' });
});

it('of an endless answer the beginning is kept', async () => {
  const at = await server((stream) => {
    stream.respond({ ':status': 400 });
    const write = () => {
      while (!stream.destroyed && stream.write(Buffer.alloc(16_384, 'x')));
      if (!stream.destroyed) stream.once('drain', write);
    };
    write();
  });
  const outcome = await send(open(at.connection));
  expect(outcome).toEqual({ kind: 'answered', status: 400, answer: 'x'.repeat(4_096) });
});

it('closing settles what is under way, and later posts fail', async () => {
  const endpoint = await ApnsEndpoint.start(await authority.issue());
  cleanup.push(() => endpoint.close());
  endpoint.hold();
  const channel = open({ origin: endpoint.url, tls: { ca: authority.cert } });
  const outcome = send(channel);
  await endpoint.until(() => endpoint.sessions.size === 1);
  await channel.close();
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'connection', code: 'CLOSED' });
  expect(await send(channel)).toEqual({ kind: 'unreached', cause: 'connection', code: 'CLOSED' });
});

it('a post that node refuses settles too, and after the call', async () => {
  const at = await server(ok);
  const channel = open(at.connection);
  let returned = false;
  const outcome = new Promise<PostOutcome>((resolve) =>
    channel.post({ ...post, headers: ['connection', 'close'] }, (what) => {
      expect(returned).toBe(true);
      resolve(what);
    }),
  );
  returned = true;
  expect(await outcome).toMatchObject({ kind: 'unreached', cause: 'connection' });
});
