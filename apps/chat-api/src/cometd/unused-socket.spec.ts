import { ManualClock } from '@flexpush/testkit';
import { connect as connectTcp, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { COMETD_BOUNDS } from './bounds';
import { startCometApp, type CometApp } from './comet-app.fixture';

const MAX_INTERVAL_MS = 5_000;
const TIMEOUT_MS = 30_000;
const UNUSED_MS = COMETD_BOUNDS.unusedSocketMs + MAX_INTERVAL_MS;
const RECEIVE_TIMEOUT_MS = 250;

const shake = { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['websocket'] };

interface Reply {
  clientId?: string;
  successful?: boolean;
  error?: string;
}

let comet: CometApp;
let clock: ManualClock;
const rawSockets: Socket[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  comet = await startCometApp(
    {
      FLEXPUSH_COMETD_MAX_INTERVAL_MS: String(MAX_INTERVAL_MS),
      FLEXPUSH_COMETD_TIMEOUT_MS: String(TIMEOUT_MS),
      FLEXPUSH_RECEIVE_TIMEOUT_MS: String(RECEIVE_TIMEOUT_MS),
    },
    { clock },
  );
});
afterEach(async () => {
  for (const socket of rawSockets.splice(0)) socket.destroy();
  await comet.close();
});

async function open() {
  const socket = new WebSocket(comet.url.replace('http:', 'ws:'));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise((resolve) => socket.once('open', resolve));
  const ask = async (message: object): Promise<Reply> => {
    const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve));
    socket.send(JSON.stringify([message]));
    return (JSON.parse((await answer).toString()) as Reply[])[0] ?? {};
  };
  /** Asks something that nobody may, to see that the server still reads. */
  const isOpen = async () => {
    const answer = await Promise.race([ask({ channel: '/meta/connect', clientId: 'none' }), closed]);
    return typeof answer === 'object';
  };
  const connect = async () => {
    const { clientId } = await ask(shake);
    await ask({ channel: '/meta/connect', clientId, advice: { timeout: 0 } });
    return clientId;
  };
  return { socket, closed, ask, isOpen, connect };
}

async function refusals(): Promise<number> {
  const metric = comet.operations.registry.getSingleMetric('flexpush_comet_messages_refused_total');
  const { values } = (await metric?.get()) ?? { values: [] };
  return values.find(({ labels }) => labels['error'] === 'unused-socket')?.value ?? 0;
}

describe('a WebSocket that no client uses', () => {
  it('is closed after a time, whatever else comes through it', async () => {
    const silent = await open();
    const talking = await open();
    await clock.advance(UNUSED_MS - 1);
    expect(await talking.isOpen()).toBe(true);
    await clock.advance(1);
    expect(await Promise.all([silent.closed, talking.closed])).toEqual([1008, 1008]);
    expect(await refusals()).toBe(2);
  });

  it('is left to a client that handshakes and connects as late as it may', async () => {
    const late = await open();
    await clock.advance(COMETD_BOUNDS.unusedSocketMs - 1);
    const { clientId } = await late.ask(shake);
    await clock.advance(MAX_INTERVAL_MS - 1);
    const connected = await late.ask({ channel: '/meta/connect', clientId, advice: { timeout: 0 } });
    expect(connected.successful).toBe(true);
    await clock.advance(MAX_INTERVAL_MS - 1);
    expect(await late.isOpen()).toBe(true);
  });

  it('is one too when it has only handshaken, or its client has gone', async () => {
    const onlyShaken = await open();
    await onlyShaken.ask(shake);
    const gone = await open();
    await gone.connect();
    await clock.advance(MAX_INTERVAL_MS);
    expect(comet.cometd.server.sessionCount).toBe(0);
    await clock.advance(UNUSED_MS - 1);
    expect(await onlyShaken.closed).toBe(1008);
    expect(await gone.isOpen()).toBe(true);
    await clock.advance(1);
    expect(await gone.closed).toBe(1008);
  });

  it('is none while a client holds a /meta/connect in it, nor when another one comes in time', async () => {
    const held = await open();
    const { clientId } = await held.ask(shake);
    await held.ask({ channel: '/meta/connect', clientId, advice: { timeout: 0 } });
    held.socket.send(JSON.stringify([{ channel: '/meta/connect', clientId }]));
    const again = await open();
    const first = await again.connect();
    await again.ask({ channel: '/meta/disconnect', clientId: first });
    await again.isOpen();
    await clock.advance(UNUSED_MS - 1);
    await again.connect();
    await clock.advance(MAX_INTERVAL_MS - 1);
    expect(await again.isOpen()).toBe(true);
    expect(await held.isOpen()).toBe(true);
    expect(await refusals()).toBe(0);
  });

  it('leaves no timer behind when it closes', async () => {
    const before = clock.timerCount;
    const one = await open();
    expect(clock.timerCount).toBe(before + 1);
    one.socket.close();
    await one.closed;
    while (clock.timerCount > before) await new Promise((resolve) => setImmediate(resolve));
  });
});

/** Sends bytes as they are and keeps the connection; what comes back until the server closes it. */
function raw(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp({
      port: Number(new URL(comet.url).port),
      host: '127.0.0.1',
      allowHalfOpen: true,
    });
    rawSockets.push(socket);
    let answer = '';
    socket.on('data', (bytes) => (answer += bytes.toString()));
    // The other half stays open, as a hostile client leaves it.
    socket.once('close', () => resolve(answer)).on('error', () => undefined);
    socket.once('end', () => resolve(answer));
    socket.write(text);
  });
}

describe('over HTTP', () => {
  it('a small form of chat-ntf that stalls is answered with 408', async () => {
    const response = await fetch(comet.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ ...shake, supportedConnectionTypes: ['long-polling'] }]),
    });
    const cookie = response.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
    const answer = await raw(
      [
        'POST /genesys/2/chat-ntf HTTP/1.1',
        'host: x',
        `cookie: ${cookie}`,
        'content-type: multipart/form-data; boundary=b',
        'content-length: 1000',
        '',
        '--b',
      ].join('\r\n'),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    while (comet.gate.inFlight() > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('a refused upgrade does not leave its connection half open', async () => {
    const answer = await raw(
      'GET /elsewhere HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    const connections = () =>
      new Promise<number>((resolve) =>
        comet.app.getHttpServer().getConnections((_error: unknown, count: number) => resolve(count)),
      );
    while ((await connections()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

describe('an operation that is none', () => {
  it('is told the names of those that there are', async () => {
    const client = await open();
    const clientId = await client.connect();
    const answer = new Promise<Buffer>((resolve) =>
      client.socket.on('message', (content: Buffer) => {
        if (content.toString().includes('errors')) resolve(content);
      }),
    );
    const data = { operation: 'dance', secureKey: 'k' };
    client.socket.send(JSON.stringify([{ channel: '/service/chatV2/support', clientId, data }]));
    const [message] = JSON.parse((await answer).toString()) as { data: { errors: { advice: string }[] } }[];
    expect(message?.data.errors[0]?.advice).toMatch(
      /^there is no operation "dance"; there are requestChat, /,
    );
  });
});
