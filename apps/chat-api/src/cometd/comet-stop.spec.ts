import { CometClient, ManualClock } from '@flexpush/testkit';
import { startCometApp, type CometApp } from './comet-app.fixture';

const PATH_HEADERS = { 'content-type': 'application/json' };
const shake = { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['long-polling'] };

interface Reply {
  clientId?: string;
  successful?: boolean;
  advice?: { reconnect: string };
  data?: { messages: { index: number }[] };
}

let comet: CometApp;
let clock: ManualClock;
const TIMEOUT_MS = 30_000;
beforeEach(async () => {
  clock = new ManualClock();
  comet = await startCometApp({}, { clock });
  comet.sessions.push = (push) => comet.cometd.accept(JSON.stringify(push));
});
afterEach(() => comet.close());

async function post(message: object, cookie = '') {
  const response = await fetch(comet.url, {
    method: 'POST',
    headers: { ...PATH_HEADERS, cookie },
    body: JSON.stringify([message]),
  });
  return {
    replies: (await response.json()) as Reply[],
    cookie: response.headers.get('set-cookie')?.split(';', 1)[0] ?? '',
    connection: response.headers.get('connection'),
  };
}

describe('A chat-api that stops', () => {
  it('gives clients what waits and sends them elsewhere; only what may not have arrived is pushed', async () => {
    const { sessions } = comet;
    const { replies, cookie } = await post(shake);
    const clientId = replies[0]?.clientId;
    const data = { operation: 'requestChat', nickname: 'Mira' };
    await post({ channel: '/service/chatV2/support-web', clientId, data }, cookie);
    const connect = () => post({ channel: '/meta/connect', clientId }, cookie);
    await connect();
    // It came back: it has the reply and the join. The second answer it may have or not.
    const held = connect();
    await new Promise((resolve) => setImmediate(resolve));
    sessions.say('in the last answer');
    const first = await held;
    expect(first.replies[0]?.data?.messages).toMatchObject([{ index: 2 }]);
    comet.cometd.sendClientsElsewhere();
    await comet.cometd.reported();
    expect(sessions.of('request.away')).toMatchObject([{ transcriptPosition: 1 }]);
    expect((await connect()).replies).toMatchObject([
      { successful: false, advice: { reconnect: 'handshake' } },
    ]);
    expect((await post(shake)).replies).toMatchObject([
      { successful: false, advice: { reconnect: 'handshake' } },
    ]);
  });

  it('answers held requests with the advice to begin anew, and reports nobody who has everything', async () => {
    const { sessions } = comet;
    const { replies, cookie } = await post(shake);
    const clientId = replies[0]?.clientId;
    const data = { operation: 'requestChat', nickname: 'Mira' };
    await post({ channel: '/service/chatV2/support-web', clientId, data }, cookie);
    const connect = () => post({ channel: '/meta/connect', clientId }, cookie);
    await connect();
    const held = connect();
    const isHeld = () => clock.nextDueAtMs === clock.now() + TIMEOUT_MS;
    for (let turns = 0; turns < 10_000 && !isHeld(); turns++)
      await new Promise((resolve) => setImmediate(resolve));
    comet.cometd.sendClientsElsewhere();
    const answer = await held;
    expect(answer.connection).toBe('close');
    expect(answer.replies).toMatchObject([{ successful: false, advice: { reconnect: 'handshake' } }]);
    await comet.cometd.reported();
    expect(sessions.of('request.away')).toEqual([]);
    // Whoever has gone says so at the next event, and the session pushes it.
    expect(sessions.say('afterwards')).toBe('gone');
  });

  it('closes in spite of open sockets and held requests', async () => {
    const polling = new CometClient('long-polling', comet.url);
    const socket = new CometClient('websocket', comet.url);
    await Promise.all([polling.handshake(), socket.handshake()]);
    await Promise.all([polling, socket].map((client) => client.operate('requestChat', { nickname: 'x' })));
    await comet.close();
    expect(comet.cometd.server.sessionCount).toBe(0);
    await Promise.all([polling, socket].map((client) => client.disconnect()));
  });
});
