import type { Operations } from '@flexpush/process';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { answered, PlayedFold, startApp } from './app.fixture';
import { SWITCHED_ON } from './cometd/comet-app.fixture';

const TIMEOUT_MS = 500;
/** Four in the time-out, so that a machine that stalls for a while is not taken for a reader that does. */
const READS = 12;
/** Far more than the kernel holds for both sides of a connection. */
const EVENTS = 500;
const EVENT_CHARS = 65_536;

let app: NestFastifyApplication;
let url: string;
let operations: Operations;
let sockets: Socket[] = [];

beforeAll(async () => {
  const fold = new PlayedFold();
  const from = { nickname: 'Jonas', participantId: 2, type: 'Agent' as const };
  const messages = Array.from({ length: EVENTS }, (_, n) => ({
    from,
    index: n + 1,
    type: 'Message',
    utcTime: 1,
    text: 'x'.repeat(EVENT_CHARS),
  }));
  fold.answer = (record) => answered({}, record.type === 'request.refresh' ? messages : []);
  ({ app, url, operations } = await startApp({
    calls: () => fold,
    options: () => SWITCHED_ON,
    env: { FLEXPUSH_ANSWER_TIMEOUT_MS: String(TIMEOUT_MS), FLEXPUSH_COMETD_TIMEOUT_MS: '3000' },
  }));
});
afterAll(() => app.close());
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
});

function ask(path: string, body = 'userId=U&secureKey=K'): Socket {
  const socket = connect((app.getHttpServer() as { address(): AddressInfo }).address().port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

async function dropped(): Promise<number> {
  const metric = operations.registry.getSingleMetric('flexpush_chat_answers_dropped_total');
  return (await metric?.get())?.values[0]?.value ?? 0;
}

async function connections(): Promise<number> {
  const server = app.getHttpServer() as {
    getConnections(done: (error: unknown, count: number) => void): void;
  };
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}

const REFRESH = '/genesys/2/chat/support-web/CHAT/refresh';

it('an answer that nobody reads is dropped with its connection, and counted', async () => {
  const before = await dropped();
  ask(REFRESH).pause();
  await until(async () => (await connections()) === 1);
  await until(async () => (await connections()) === 0);
  expect(await dropped()).toBe(before + 1);
}, 20_000);

it('one that is read a little at a time arrives whole', async () => {
  const before = await dropped();
  const socket = ask(REFRESH).pause();
  let bytes = 0;
  let allowed = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes >= allowed) socket.pause();
  });
  const startedAtMs = performance.now();
  const reading = setInterval(() => {
    allowed = bytes + (EVENTS * EVENT_CHARS) / READS;
    socket.resume();
  }, TIMEOUT_MS / 4);
  await until(() => bytes >= EVENTS * EVENT_CHARS || socket.destroyed);
  clearInterval(reading);
  expect(bytes).toBeGreaterThanOrEqual(EVENTS * EVENT_CHARS);
  expect(performance.now() - startedAtMs).toBeGreaterThan(2 * TIMEOUT_MS);
  expect(await dropped()).toBe(before);
}, 30_000);

it('a connection that is used again is not hurried between its answers', async () => {
  const before = await dropped();
  const socket = ask('/genesys/2/chat/support-web', 'nickname=Mira');
  let answers = '';
  socket.on('data', (bytes) => (answers += String(bytes)));
  await until(() => answers.includes('"statusCode":0'));
  await new Promise((resolve) => setTimeout(resolve, 3 * TIMEOUT_MS));
  expect(socket.destroyed).toBe(false);
  expect(await dropped()).toBe(before);
});

it('a held long-poll, behind another answer on its connection too, and a WebSocket are not meant', async () => {
  const before = await dropped();
  const post = async (messages: object[], cookie = '') => {
    const response = await fetch(`${url}/genesys/cometd`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', cookie },
      body: JSON.stringify(messages),
    });
    const [reply] = (await response.json()) as { clientId: string; successful: boolean }[];
    return { reply, cookie: response.headers.get('set-cookie')?.split(';', 1)[0] ?? '' };
  };
  const webSocket = new WebSocket(`${url.replace('http:', 'ws:')}/genesys/cometd`);
  await new Promise((resolve) => webSocket.once('open', resolve));
  const { reply, cookie } = await post([
    { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['long-polling'] },
  ]);
  const poll = [{ channel: '/meta/connect', connectionType: 'long-polling', clientId: reply?.clientId }];
  await post(poll, cookie);
  const body = JSON.stringify(poll);
  const socket = ask('/genesys/2/chat/support-web', 'nickname=Mira');
  let answers = '';
  socket.on('data', (bytes) => (answers += String(bytes)));
  socket.write(
    `POST /genesys/cometd HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncookie: ${cookie}\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  );
  const startedAtMs = performance.now();
  await until(() => answers.includes('/meta/connect') || socket.destroyed);
  expect(answers).toContain('"successful":true');
  expect(performance.now() - startedAtMs).toBeGreaterThan(4 * TIMEOUT_MS);
  expect(webSocket.readyState).toBe(webSocket.OPEN);
  webSocket.terminate();
  expect(await dropped()).toBe(before);
}, 20_000);
