import { KeyObfuscator } from '../obfuscated-key';
import { CometClient, type CometTransport as Transport } from '@flexpush/testkit';
import {
  CALLER_ID,
  SECRET,
  startCometApp,
  PlayedSessions,
  SWITCHED_ON,
  type CometApp,
} from './comet-app.fixture';

let comet: CometApp;
let clients: CometClient[] = [];

beforeAll(async () => {
  comet = await startCometApp();
});
afterAll(() => comet.close());

beforeEach(() => {
  comet.sessions = new PlayedSessions();
  comet.sessions.push = (push) => comet.cometd.accept(JSON.stringify(push));
  comet.values = SWITCHED_ON;
  comet.isConnected = true;
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.disconnect()));
  clients = [];
});

async function connected(transport: Transport): Promise<CometClient> {
  const client = new CometClient(transport, comet.url);
  clients.push(client);
  const reply = await client.handshake();
  if (reply.successful !== true) throw new Error(`no handshake: ${JSON.stringify(reply)}`);
  return client;
}

const obfuscator = new KeyObfuscator(SECRET);
const transports: Transport[] = ['long-polling', 'websocket'];

describe.each(transports)('The CometD client over %s', (transport) => {
  it('requests a chat and gets every event, its own too, as sample C3', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const reply = await client.operate('requestChat', {
      nickname: 'Mira',
      subject: 'Order late',
      userData: {
        push_notification_deviceid: 'tok-44ac',
        push_notification_type: 'fcm',
        push_notification_debug: 'false',
      },
    });
    const created = sessions.of('session.create')[0];
    expect(created).toMatchObject({
      nickname: 'Mira',
      service: 'support-web',
      userData: { Subject: 'Order late', push_notification_deviceid: 'tok-44ac' },
      subscription: { deviceId: 'tok-44ac', deviceType: 'fcm' },
      address: expect.stringMatching(new RegExp(`^${CALLER_ID}/[A-Za-z0-9_-]{27}$`)),
    });
    expect(reply).toEqual({
      statusCode: 0,
      messages: [],
      chatId: created?.sessionId,
      userId: created?.userId,
      alias: '204',
      secureKey: created?.obfuscatedKey,
      nextPosition: 1,
      chatEnded: false,
      monitored: false,
    });
    expect(sessions.say('Hello')).toBe('taken');
    await client.until('two events', () => client.indexes().length === 2);
    expect(client.indexes()).toEqual([1, 2]);
    const last = client.received.at(-1);
    expect(last?.data).toEqual({
      ...reply,
      messages: [sessions.events[1]],
      nextPosition: 3,
    });
  });

  it('drives every operation of the table', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const { secureKey, chatId, userId } = await client.operate('requestChat', {
      firstName: 'Mira',
      lastName: 'M',
    });
    const operate = async (operation: string, fields: object = {}) => {
      const reply = await client.operate(operation, { secureKey, ...fields });
      expect(reply).toMatchObject({ statusCode: 0, chatId, userId, secureKey, alias: '204' });
      return sessions.records.at(-1);
    };
    expect(await operate('startTyping', { message: 'Wher' })).toMatchObject({
      type: 'request.startTyping',
      text: 'Wher',
    });
    expect(await operate('stopTyping')).toMatchObject({ type: 'request.stopTyping' });
    expect(await operate('sendMessage', { message: 'Where?', messageType: 'text' })).toMatchObject({
      type: 'request.send',
      text: 'Where?',
      messageType: 'text',
      userId,
    });
    expect(await operate('requestNotifications', { chatId, userId, alias: '204' })).toMatchObject({
      type: 'request.follow',
      address: sessions.created?.address,
    });
    const userData = { a: '1', b: 2, c: true };
    for (const [operation, fields, record] of [
      ['pushUrl', { pushUrl: 'https://example.org' }, { url: 'https://example.org' }],
      ['updateNickname', { nickname: 'M.' }, { nickname: 'M.' }],
      ['customNotice', { message: 'hm' }, { text: 'hm' }],
      ['updateData', { userData }, { userData: { a: '1', b: '2', c: 'true' } }],
      ['readReceipt', { transcriptPosition: '2' }, { transcriptPosition: 2 }],
      ['readReceipt', { transcriptPosition: 3 }, { transcriptPosition: 3 }],
    ] as const)
      expect(await operate(operation, fields)).toMatchObject({ type: `request.${operation}`, ...record });
    expect(await operate('disconnect')).toMatchObject({ type: 'request.disconnect' });
    await client.until('the end', () => client.events().some(({ type }) => type === 'ParticipantLeft'));
    expect(client.received.at(-1)?.data).toMatchObject({ chatEnded: true });
  });

  it('needs no subscription, and may subscribe', async () => {
    const silent = await connected(transport);
    await silent.operate('requestChat', { nickname: 'Mira' });
    await silent.until('the join', () => silent.indexes().length === 1);
    comet.sessions = new PlayedSessions();
    comet.sessions.push = (push) => comet.cometd.accept(JSON.stringify(push));
    const subscribing = await connected(transport);
    const heard: unknown[] = [];
    const reply = await new Promise<{ successful?: boolean }>((resolve) => {
      subscribing.cometd.subscribe(
        '/service/chatV2/support-web',
        (message) => heard.push(message.data),
        resolve,
      );
    });
    expect(reply.successful).toBe(true);
    await subscribing.operate('requestChat', { nickname: 'Mira' });
    await subscribing.until('the join', () => subscribing.indexes().length === 1);
    expect(heard).toHaveLength(2);
  });

  it('follows a chat that was opened by REST, by either key, and gets what it missed', async () => {
    const { sessions } = comet;
    const opened = await comet.app.inject({
      method: 'POST',
      url: '/genesys/2/chat/support-web',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'nickname=Mira',
    });
    const { chatId, userId, secureKey } = opened.json() as Record<'chatId' | 'userId' | 'secureKey', string>;
    const rest = { chatId, userId, secureKey };
    const obfuscated = obfuscator.encode({ sessionId: chatId, userId, secureKey });
    for (let i = 2; i <= 4; i++) sessions.say(`missed ${i}`);
    const client = await connected(transport);
    const all = await client.operate('requestNotifications', rest);
    expect(all).toMatchObject({ statusCode: 0, secureKey: obfuscated, nextPosition: 5 });
    expect(all.messages.map(({ index }) => index)).toEqual([1, 2, 3, 4]);
    const some = await client.operate('requestNotifications', {
      secureKey: obfuscated,
      transcriptPosition: '4',
    });
    expect(some.messages.map(({ index }) => index)).toEqual([4]);
    sessions.say('next');
    await client.until('the next', () => client.indexes().includes(5));
  });

  it("opens a chat that REST goes on with by the same key, and that is nobody else's", async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const { secureKey = '', chatId, userId = '' } = await client.operate('requestChat', { nickname: 'Mira' });
    const send = async (user: string) => {
      const response = await comet.app.inject({
        method: 'POST',
        url: `/genesys/2/chat/support-web/${chatId}/send`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: new URLSearchParams({ userId: user, secureKey, message: 'by REST' }).toString(),
      });
      return response.json() as object;
    };
    expect(await send(userId)).toMatchObject({ statusCode: 0, secureKey });
    const { keyHash } = sessions.created ?? {};
    expect(sessions.of('request.send')[0]?.keyHash).toBe(keyHash);
    await client.until('the message', () => client.events().some(({ text }) => text === 'by REST'));
    await send('00FFFFFFFFFFFFFF');
    expect(sessions.of('request.send')[1]?.keyHash).not.toBe(keyHash);
  });

  it('pushes from the position of /meta/disconnect, and on return delivers what was missed', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const { secureKey } = await client.operate('requestChat', { nickname: 'Mira' });
    for (let i = 2; i <= 4; i++) sessions.say(`text ${i}`);
    await client.until('four events', () => client.indexes().length === 4);
    const { address } = sessions.created ?? {};
    await client.disconnect({ transcriptPosition: '4' });
    expect(sessions.of('request.away')).toMatchObject([{ address, transcriptPosition: 4 }]);
    sessions.say('missed');
    const back = await connected(transport);
    const reply = await back.operate('requestNotifications', { secureKey, transcriptPosition: 5 });
    expect(reply.messages.map(({ text }) => text)).toEqual(['missed']);
    sessions.say('live');
    await back.until('the live one', () => back.indexes().includes(6));
    expect(back.indexes()).toEqual([5, 6]);
  });

  it('names what overrides its push registration, and says nothing of the rest (CONTRACT 2.6)', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const { secureKey } = await client.operate('requestChat', { nickname: 'Mira' });
    const device = { push_notification_deviceid: 'tok-2', push_notification_type: 'ios' };
    await client.operate('requestNotifications', { secureKey, userData: device });
    await client.operate('requestNotifications', {
      secureKey,
      userData: { push_notification_language: 'de-DE' },
    });
    await client.operate('requestNotifications', { secureKey });
    expect(sessions.of('request.follow').map(({ subscription }) => subscription)).toEqual([
      { deviceId: 'tok-2', deviceType: 'ios' },
      { language: 'de-DE' },
      undefined,
    ]);
  });

  it('gets a long transcript in order, and events that come meanwhile after it', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    const { secureKey } = await client.operate('requestChat', { nickname: 'Mira' });
    sessions.address = undefined;
    for (let i = 2; i <= 1_234; i++) sessions.say(`text ${i}`);
    let told = false;
    sessions.intercept = (record) => {
      if (record.type === 'request.refresh' && !told) {
        told = true;
        sessions.say('meanwhile');
      }
      return undefined;
    };
    await client.operate('requestNotifications', { secureKey, transcriptPosition: 2 });
    sessions.say('at the end');
    await client.until('all', () => client.indexes().length >= 1_236);
    expect(client.indexes()).toEqual(Array.from({ length: 1_236 }, (_, i) => i + 1));
  });

  it('says why an operation failed, as sample C6 where it may be repeated', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    expect(await client.operate('requestChat')).toMatchObject({ statusCode: 2, errors: [{ code: 161 }] });
    const { secureKey } = await client.operate('requestChat', { nickname: 'Mira' });
    expect(await client.operate('sendMessage', { secureKey })).toMatchObject({
      statusCode: 2,
      errors: [{ code: 400, advice: 'message is required' }],
    });
    expect(await client.operate('sendMessage', { secureKey: 'rubbish', message: 'x' })).toMatchObject({
      statusCode: 2,
      chatEnded: true,
      errors: [{ code: 249, advice: '8210: bad secure key' }],
    });
    expect(await client.operate('dance', { secureKey })).toMatchObject({
      statusCode: 2,
      errors: [{ code: 404 }],
    });
    sessions.intercept = () => ({ kind: 'timeout' });
    expect(await client.operate('requestNotifications', { secureKey })).toEqual({
      statusCode: 1,
      chatEnded: false,
      chatId: sessions.created?.sessionId,
      messages: [],
      errors: [{ code: 249, advice: 'temporarily unavailable; the same request may be retried' }],
    });
    comet.isConnected = false;
    expect(await client.operate('requestNotifications', { secureKey })).toMatchObject({
      statusCode: 1,
      chatEnded: false,
    });
    comet.isConnected = true;
    sessions.intercept = () => undefined;
    expect(await client.operate('requestNotifications', { secureKey })).toMatchObject({ statusCode: 0 });
  });

  it('drops repeats, fills gaps, and answers a ping with a refresh that nobody sees', async () => {
    const { sessions } = comet;
    const client = await connected(transport);
    await client.operate('requestChat', { nickname: 'Mira' });
    await client.until('the join', () => client.indexes().length === 1);
    const { address } = sessions;
    sessions.address = undefined;
    sessions.say('lost on the way');
    sessions.address = address;
    sessions.say('arrives');
    sessions.pushEvent(sessions.events[2]);
    sessions.pushEvent(sessions.events[0]);
    await client.until('three events', () => client.indexes().length >= 3);
    expect(sessions.of('request.refresh')).toMatchObject([{ transcriptPosition: 2 }]);
    const before = client.received.length;
    expect(sessions.pushEvent(undefined)).toBe('taken');
    sessions.say('after the ping');
    await client.until('four events', () => client.indexes().length >= 4);
    expect(sessions.of('request.refresh').map(({ transcriptPosition }) => transcriptPosition)).toEqual([
      2, 4,
    ]);
    expect(client.received).toHaveLength(before + 1);
    expect(client.indexes()).toEqual([1, 2, 3, 4]);
  });

  it('may acknowledge what it gets', async () => {
    const { sessions } = comet;
    const client = new CometClient(transport, comet.url);
    clients.push(client);
    client.acknowledge();
    expect((await client.handshake()).ext).toEqual({ ack: true });
    await client.operate('requestChat', { nickname: 'Mira' });
    for (let i = 2; i <= 30; i++) {
      sessions.say(`text ${i}`);
      if (i % 5 === 0) await client.until('so many', () => client.indexes().length === i);
    }
    expect(client.indexes()).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  it('is refused while the options do not allow it, and told which', async () => {
    comet.values = {};
    const client = new CometClient(transport, comet.url);
    const off = await client.handshake();
    expect(off).toMatchObject({ successful: false, advice: { reconnect: 'none' } });
    expect((off as { error?: string }).error).toContain('enable_notification_mode');
    comet.values = { ...SWITCHED_ON, 'push/pushEnabled': 'customhttp' };
    expect((await client.handshake()) as { error?: string }).toMatchObject({
      error: expect.stringContaining('pushEnabled'),
    });
    await client.disconnect();
  });
});
