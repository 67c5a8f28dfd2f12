import { createPushReceiver } from '@flexpush/receiver';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { readConfig } from './config';
import { describePush, describeRefreshed } from './push-line';
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

describe('the receiver with a signing key', () => {
  const key = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  const body = JSON.stringify(trigger);

  it('takes a signed push once, and refuses others', async () => {
    const pushes: ReceivedPush[] = [];
    const server = createReceiver({
      delayMs: 0,
      onPush: (push) => pushes.push(push),
      pushes: createPushReceiver({ signingKeys: [key] }),
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const now = new Date();
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': new Webhook(key).sign('msg_1', now, body),
    };
    const post = async (given: Record<string, string>) => {
      const answer = await fetch(url, { method: 'POST', body, headers: given });
      return [answer.status, await answer.json()];
    };
    expect(await post({})).toEqual([401, { error: 'not-signed' }]);
    expect(await post({ ...headers, 'webhook-id': 'msg_2' })).toEqual([401, { error: 'signature-wrong' }]);
    expect(await post(headers)).toEqual([200, { status: 'ok' }]);
    expect(await post(headers)).toEqual([200, { status: 'repeated' }]);
    expect(pushes).toHaveLength(1);
    expect(pushes[0]?.received).toMatchObject({ id: 'msg_1', push: { kind: 'trigger', position: 16 } });
    server.closeAllConnections();
    server.close();
  });
});

describe('the line about a refresh', () => {
  it.each<[Parameters<typeof describeRefreshed>[1], string]>([
    [
      {
        kind: 'events',
        events: [{ type: 'Message', text: 'a\nb' }, { type: 'ParticipantLeft' }],
        nextPosition: 3,
        chatEnded: true,
        isComplete: true,
      },
      'device d  fetched  "a b" ParticipantLeft  chat ended',
    ],
    [{ kind: 'removed' }, 'device d  no longer in the chat'],
    [
      { kind: 'no-credentials', missing: ['secureKey'] },
      'device d  cannot fetch: the push has no secureKey (see flex-push-content)',
    ],
    [{ kind: 'refused', errors: [{ code: 249, advice: 'no' }] }, 'device d  fetch refused  "no"'],
    [{ kind: 'retry', reason: 'http-503' }, 'device d  fetch failed (http-503), waiting for the next push'],
  ])('%j', (refreshed, line) => {
    expect(describeRefreshed('d', refreshed)).toBe(line);
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
