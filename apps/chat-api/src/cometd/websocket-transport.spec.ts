import { ManualClock } from '@flexpush/testkit';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { BayeuxServer, Link } from './bayeux-server';
import { COMETD_BOUNDS } from './bounds';
import { WebSocketTransport } from './websocket-transport';

const FRAMES = 2_000;
const FRAME_CHARS = 32_000;

/** Answers every frame with one as large, and counts. */
class Echo {
  received = 0;
  link: Link | undefined;

  receive(text: string, link: Link): ReturnType<BayeuxServer['receive']> {
    this.received++;
    this.link = link;
    return { replies: [{ channel: '/meta/echo', successful: true, text }] };
  }
}

let http: Server;
let transport: WebSocketTransport;
let echo: Echo;
let client: WebSocket;

beforeEach(async () => {
  echo = new Echo();
  const server = echo as unknown as BayeuxServer;
  transport = new WebSocketTransport({
    appName: 'genesys',
    requestBytesMax: 65_536,
    connectionsMax: 2,
    maxIntervalMs: 10_000,
    clock: new ManualClock(),
    refusesPage: () => false,
    onUnused: () => undefined,
    server,
  });
  http = createServer();
  transport.listen(http);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  client = new WebSocket(`ws://127.0.0.1:${port}/genesys/cometd`);
  await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
});
afterEach(async () => {
  client.terminate();
  transport.terminate();
  transport.close();
  await new Promise((resolve) => http.close(resolve));
});

it('reads no more from a client that does not read its answers, and goes on when it does', async () => {
  let answers = 0;
  client.on('message', () => answers++);
  client.pause();
  const frame = 'x'.repeat(FRAME_CHARS);
  for (let i = 0; i < FRAMES; i++) client.send(frame);
  while (echo.link?.socket?.hasRoom() !== false) await setImmediate();
  const atPause = echo.received;
  for (let i = 0; i < 500; i++) await setImmediate();
  // What was read before the pause may be handled yet; what the kernel holds for both sides is some megabytes.
  expect(echo.received - atPause).toBeLessThanOrEqual((2 * COMETD_BOUNDS.socketBufferBytes) / FRAME_CHARS);
  expect(echo.received).toBeLessThan(FRAMES / 2);
  expect(client.bufferedAmount).toBeGreaterThan((FRAMES / 4) * FRAME_CHARS);
  client.resume();
  while (answers < FRAMES) await setImmediate();
  expect(echo.received).toBe(FRAMES);
}, 20_000);
