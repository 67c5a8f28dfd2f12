import { sessionIdSchema, userIdSchema, type OptionValues, type PushJob } from '@flexpush/contracts';
import { createTestAuthority, type TestAuthority } from '@flexpush/testkit';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { Webhook } from 'standardwebhooks';
import { customhttpProvider } from './customhttp-provider';
import type { Channel, PostOutcome } from './channel';
import type { HttpConnection } from './connection';
import { openHttpChannel } from './http-channel';

interface Seen {
  headers: IncomingMessage['headers'];
  body: string;
  client: string | undefined;
  isResumed: boolean;
  servername: string | false | null;
}

let authority: TestAuthority;
let url: string;
let seen: Seen[] = [];
let cleanup: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  authority = await createTestAuthority();
});
beforeEach(async () => {
  seen = [];
  // It takes clients of its authority, and others without one, and tells who came.
  const server = createServer(
    { ...(await authority.issue()), ca: authority.cert, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const socket = request.socket as TLSSocket;
        // A resumed session counts as authorized without a certificate too.
        const { subject } = socket.getPeerCertificate() as Partial<PeerCertificate>;
        const client = socket.authorized ? subject?.CN : undefined;
        seen.push({
          headers: request.headers,
          body: Buffer.concat(chunks).toString(),
          client: typeof client === 'string' ? client : undefined,
          isResumed: socket.isSessionReused(),
          servername: (socket as TLSSocket & { servername: string | false | null }).servername,
        });
        if (request.url === '/close') response.shouldKeepAlive = false;
        response.end();
      });
    },
  );
  url = (await listen(server)).replace('http:', 'https:');
});
afterEach(async () => {
  for (const end of cleanup.reverse()) await end();
  cleanup = [];
});

async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const job = {
  id: 's:U:1',
  n: 1,
  sessionId: sessionIdSchema.parse('s'),
  userId: userIdSchema.parse('U'),
  service: 'chat',
  deviceType: 'customhttp',
  deviceId: 'dev-7',
  debug: false,
  obfuscatedKey: 'k',
  chatEnded: false,
  atMs: 1,
  kind: 'plain',
} as PushJob;

const target = (more: OptionValues, debug = false) =>
  customhttpProvider.target(
    { 'push/customhttp.url': `${url}/push`, ...more },
    { provider: undefined, debug },
  );

async function post(more: OptionValues, nowMs = () => 0, exchangeTimeoutMs = 10_000): Promise<PostOutcome> {
  const found = target(more);
  if (found.kind === 'no-target') throw new Error(found.reason);
  const channel = channelTo(found.connection, nowMs, exchangeTimeoutMs);
  return new Promise((resolve) =>
    channel.post(customhttpProvider.request(job, { alias: '1', target: found }), resolve),
  );
}

function channelTo(connection: HttpConnection, nowMs = () => 0, exchangeTimeoutMs = 10_000): Channel {
  const channel = openHttpChannel(connection, {
    nowMs,
    connectionsMax: 2,
    connectTimeoutMs: 2_000,
    answerTimeoutMs: 5_000,
    exchangeTimeoutMs,
  });
  cleanup.push(() => channel.close());
  open.push(channel);
  return channel;
}
const open: Channel[] = [];

const ok = { kind: 'answered', status: 200 };

it('verifies the certificate of the receiver against its own authority', async () => {
  expect(await post({ 'push/customhttp.ca': authority.cert })).toEqual(ok);
  const stranger = await createTestAuthority();
  for (const more of [{}, { 'push/customhttp.ca': stranger.cert }, { 'gms/http.ssl_trust_all': 'true' }])
    expect(await post(more as OptionValues)).toEqual({
      kind: 'unreached',
      cause: 'connection',
      code: expect.stringMatching(
        /UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|SELF_SIGNED_CERT_IN_CHAIN/,
      ) as string,
    });
  expect(seen).toHaveLength(1);
});

it('names the server that it wants, for servers with many certificates', async () => {
  for (const origin of [url, url.replace('127.0.0.1', 'localhost')])
    expect(
      await post({ 'push/customhttp.ca': authority.cert, 'push/customhttp.url': `${origin}/push` }),
    ).toEqual(ok);
  expect(seen.map(({ servername }) => servername)).toEqual([false, 'localhost']);
});

it('takes up its TLS session on the next connection, and verifies nothing less', async () => {
  const found = target({ 'push/customhttp.ca': authority.cert });
  if (found.kind === 'no-target') throw new Error(found.reason);
  const channel = channelTo(found.connection);
  const once = () =>
    new Promise<PostOutcome>((resolve) => channel.post({ path: '/close', headers: [], body: '{}' }, resolve));
  expect([await once(), await once()]).toEqual([ok, ok]);
  expect(seen.map(({ isResumed }) => isResumed)).toEqual([false, true]);
});

it('shows its client certificate', async () => {
  const client = await authority.issue('flexpush');
  const options = {
    'push/customhttp.ca': authority.cert,
    'push/customhttp.client-cert': client.cert,
    'push/customhttp.client-key': client.key,
  };
  expect(await post(options)).toEqual(ok);
  expect(await post({ 'push/customhttp.ca': authority.cert })).toEqual(ok);
  expect(seen.map((one) => one.client)).toEqual(['flexpush', undefined]);
});

it('sends further headers and basic authorization', async () => {
  expect(
    await post({
      'push/customhttp.ca': authority.cert,
      'push/customhttp.user': 'push',
      'push/customhttp.password': 'pä:ss',
      'push/customhttp.headers': '{"X-Api-Key":"abc","X-Tenant":"7"}',
    }),
  ).toEqual(ok);
  expect(seen[0]?.headers).toMatchObject({
    'content-type': 'application/json;charset=UTF-8',
    authorization: `Basic ${Buffer.from('push:pä:ss').toString('base64')}`,
    'x-api-key': 'abc',
    'x-tenant': '7',
  });
  await post({
    'push/customhttp.ca': authority.cert,
    'push/customhttp.user': 'push',
    'push/customhttp.headers': '{"Authorization":"Bearer abc"}',
  });
  expect(seen[1]?.headers.authorization).toBe('Bearer abc');
});

it('signs when there is a key, with both keys during a rotation', async () => {
  const key = (letter: string) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`;
  const ca = { 'push/customhttp.ca': authority.cert };
  await post(ca);
  await post({
    ...ca,
    'push/customhttp.signing-key': key('b'),
    'push/customhttp.signing-key-previous': key('a'),
  });
  expect(seen[0]?.headers).not.toHaveProperty('webhook-id');
  const { headers, body } = seen[1] as Seen;
  for (const letter of ['a', 'b'])
    expect(new Webhook(key(letter)).verify(body, headers as Record<string, string>)).toEqual({
      deviceId: 'dev-7',
    });
});

it('goes through the proxy, and verifies the receiver behind it', async () => {
  const asked: (string | undefined)[] = [];
  const proxy = createHttpServer();
  proxy.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url, request.headers['proxy-authorization']);
    const [host, port] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const side of [socket, upstream]) side.on('error', () => undefined);
  });
  const through = {
    'push/customhttp.proxy': await listen(proxy),
    'push/customhttp.proxy-authorization': 'Basic abc',
  };
  expect(await post({ ...through, 'push/customhttp.ca': authority.cert })).toEqual(ok);
  expect(asked).toEqual([url.replace('https://', ''), 'Basic abc']);
  expect(await post(through)).toMatchObject({ kind: 'unreached', cause: 'connection' });
  expect(seen).toHaveLength(1);
});

it('a proxy that does not answer ends by the sweep', async () => {
  let clockMs = 0;
  let arrived: () => void = () => undefined;
  const arrival = new Promise<void>((resolve) => (arrived = resolve));
  const proxy = createHttpServer();
  proxy.on('connect', (_request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => undefined);
    arrived();
  });
  const outcome = post({ 'push/customhttp.proxy': await listen(proxy) }, () => clockMs);
  await arrival;
  open.at(-1)?.sweep((clockMs += 10_000));
  expect(await outcome).toEqual({ kind: 'unreached', cause: 'timeout', code: 'EXCHANGE_TIMEOUT' });
});

it('has the time-outs of customhttp, then those of the original', async () => {
  const gms = { 'gms/http.connection_timeout': '3', 'gms/http.socket_timeout': '7' };
  expect(target(gms)).toMatchObject({ connection: { connectTimeoutMs: 3_000, answerTimeoutMs: 7_000 } });
  expect(target({ ...gms, 'push/customhttp.socket-timeout': '9' })).toMatchObject({
    connection: { connectTimeoutMs: 3_000, answerTimeoutMs: 9_000 },
  });
});

it('other connection settings are another destination, whose name shows none of them', async () => {
  const client = await authority.issue();
  const names = [
    {},
    { 'push/customhttp.ca': authority.cert },
    {
      'push/customhttp.ca': authority.cert,
      'push/customhttp.client-cert': client.cert,
      'push/customhttp.client-key': client.key,
    },
    { 'push/customhttp.proxy': 'http://proxy.test' },
  ].map((more) => {
    const found = target(more as OptionValues);
    return found.kind === 'target' ? found.destination : found.reason;
  });
  expect(new Set(names).size).toBe(4);
  expect(names[0]).toBe(url);
  for (const name of names.slice(1)) expect(name).toMatch(new RegExp(`^${url}#[0-9a-f]{8}$`));
});

it.each<{ name: string; more: OptionValues; reason: string }>([
  {
    name: 'a key without its certificate',
    more: { 'push/customhttp.client-key': 'x' },
    reason: 'tls-settings-not-usable',
  },
  { name: 'a CA that is none', more: { 'push/customhttp.ca': 'x' }, reason: 'tls-settings-not-usable' },
  {
    name: 'headers that are no JSON',
    more: { 'push/customhttp.headers': 'x' },
    reason: 'headers-not-usable',
  },
  {
    name: 'a signing key that is none',
    more: { 'push/customhttp.signing-key': '!' },
    reason: 'signing-key-not-usable',
  },
])('says why there is no target: $name', ({ more, reason }) => {
  expect(target(more)).toEqual({ kind: 'no-target', reason });
});

it('debug has settings of its own', () => {
  expect(
    target(
      { 'push/customhttp.headers': '{"a":"b"}', 'push/debug.customhttp.url': 'http://debug.test/' },
      true,
    ),
  ).toMatchObject({
    destination: 'http://debug.test',
    headers: ['content-type', 'application/json;charset=UTF-8'],
  });
});
