import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readConfig } from './config';
import { describePush } from './push-line';
import { BODY_BYTES_MAX, createReceiver, type ReceivedPush } from './receiver-server';

const KEPT = 3;
const trigger = {
  message: {
    chatEnded: true,
    messages: [
      {
        type: 'PushUrl',
        text: 'PUSH-NOTIFICATION',
        userData: { 'notify-attempt': '2', 'notify-position': '16', 'session-id': 'S1' },
      },
    ],
  },
  deviceId: 'a1',
};

describe('the line about a push', () => {
  it.each([
    {
      name: 'a trigger',
      body: trigger,
      line: 'device a1  trigger  position 16  attempt 2  session S1  chat ended',
    },
    {
      name: 'a text',
      body: { deviceId: 'a1', message: 'You have mail' },
      line: 'device a1  text     "You have mail"',
    },
    {
      name: 'an event',
      body: {
        deviceId: 'a1',
        message: { messages: [{ type: 'Message', text: 'hi', from: { nickname: 'Bo' } }] },
      },
      line: 'device a1  event    Message  from "Bo"  "hi"',
    },
    { name: 'something else', body: [1], line: 'device -  other    "nothing"' },
    {
      name: 'terminal escapes',
      body: { deviceId: '\u001b[2J', message: 'a\nb' },
      line: 'device  [2J  text     "a b"',
    },
  ])('describes $name', ({ body, line }) => {
    expect(describePush(body)).toBe(line);
  });
});

describe('the receiver', () => {
  let server: Server;
  let url: string;
  let pushes: ReceivedPush[];

  beforeEach(async () => {
    pushes = [];
    server = createReceiver({ delayMs: 0, onPush: (push) => pushes.push(push), receivedMax: KEPT });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const post = (body: string, path = '/') => fetch(url + path, { method: 'POST', body });

  it('takes JSON on any path and shows what it got', async () => {
    expect((await post(JSON.stringify(trigger), '/hook/7?a=b')).status).toBe(200);
    const received = (await (await fetch(`${url}/received`)).json()) as ReceivedPush[];
    expect(received).toEqual([
      { path: '/hook/7', body: trigger, receivedAtMs: expect.any(Number) as number },
    ]);
    expect(pushes).toEqual(received);
  });

  it('refuses what is not JSON and what is too large', async () => {
    expect((await post('nonsense')).status).toBe(400);
    expect((await post(' '.repeat(BODY_BYTES_MAX + 1))).status).toBe(413);
    expect(pushes).toEqual([]);
  });

  it('keeps only the last bodies', async () => {
    for (let n = 0; n <= KEPT; n += 1) await (await post(String(n))).text();
    const received = (await (await fetch(`${url}/received`)).json()) as ReceivedPush[];
    expect(received.map((push) => push.body)).toEqual([1, 2, 3]);
  });

  it('says that it is well', async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await fetch(`${url}/else`)).status).toBe(404);
  });
});

describe('the configuration', () => {
  it('names every bad value at once', () => {
    expect(() => readConfig({ FLEXPUSH_HTTP_PORT: 'x', RECEIVER_DELAY_MS: '-1' }, false)).toThrow(
      /FLEXPUSH_HTTP_PORT.*RECEIVER_DELAY_MS/,
    );
    expect(readConfig({ FLEXPUSH_HTTP_PORT: '1234' }, true)).toMatchObject({
      port: 1234,
      delayMs: 0,
      colour: true,
    });
  });
});
