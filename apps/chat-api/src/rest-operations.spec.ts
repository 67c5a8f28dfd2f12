import { chatResponseSchema, type ChatResponse } from '@flexpush/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { RealFold, startApp } from './app.fixture';

const SERVICE = '/genesys/2/chat/support';
const mira = { nickname: 'Mira', participantId: 1, type: 'Client' };

let app: NestFastifyApplication;
let fold: RealFold;
let chat: ChatResponse;

beforeAll(async () => {
  ({ app } = await startApp({ calls: () => fold }));
});
afterAll(() => app.close());

beforeEach(async () => {
  fold = new RealFold();
  chat = (await post(SERVICE, { nickname: 'Mira' })).body;
  publish('join', { type: 'participant.join', userId: 'jonas', nickname: 'Jonas', participantType: 'Agent' });
});

function publish(id: string, record: object): void {
  fold.fold({ v: 1, id, sessionId: chat.chatId, ...record } as never);
}

async function post(url: string, fields: Record<string, string>, multipart = false) {
  const boundary = 'b';
  const payload = multipart
    ? `${Object.entries(fields)
        .map(
          ([name, value]) =>
            `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
        )
        .join('')}--${boundary}--\r\n`
    : new URLSearchParams(fields).toString();
  const type = multipart ? `multipart/form-data; boundary=${boundary}` : 'application/x-www-form-urlencoded';
  const response = await app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload });
  return { status: response.statusCode, body: chatResponseSchema.strict().parse(response.json()) };
}

function ask(operation: string, fields: Record<string, string> = {}) {
  const { chatId, userId = '', secureKey = '', alias = '' } = chat;
  return post(`${SERVICE}/${chatId}/${operation}`, { userId, secureKey, alias, ...fields });
}

const newest = async (count: number) => {
  const { body } = await ask('refresh', { transcriptPosition: '1' });
  return body.messages.slice(-count);
};

describe('the operations of CONTRACT 1.2, over the real fold', () => {
  it.each<{ op: string; fields: Record<string, string>; event: object }>([
    {
      op: 'pushUrl',
      fields: { pushUrl: 'https://www.example.org/ä?b=c&d' },
      event: { type: 'PushUrl', text: 'https://www.example.org/ä?b=c&d' },
    },
    {
      op: 'pushUrl',
      fields: { pushUrl: 'www.example.org' },
      event: { type: 'PushUrl', text: 'www.example.org' },
    },
    { op: 'customNotice', fields: { message: 'hört' }, event: { type: 'CustomNotice', text: 'hört' } },
    {
      op: 'send',
      fields: { message: '日本 👋' },
      event: { type: 'Message', text: '日本 👋', messageType: 'text' },
    },
  ])('$op says it', async ({ op, fields, event }) => {
    expect(await ask(op, fields)).toMatchObject({ status: 200, body: { statusCode: 0, messages: [] } });
    expect(await newest(1)).toMatchObject([{ from: mira, index: 3, ...event }]);
  });

  it('updateNickname changes the name from then on', async () => {
    expect((await ask('updateNickname', { nickname: ' Mirabel ' })).body.statusCode).toBe(0);
    await ask('send', { message: 'me' });
    expect(await newest(2)).toMatchObject([
      { type: 'NicknameUpdated', text: 'Mirabel', from: { ...mira, nickname: 'Mirabel' } },
      { type: 'Message', from: { ...mira, nickname: 'Mirabel' } },
    ]);
  });

  it('updateData sets what it names and leaves the rest, without an event', async () => {
    await ask('updateData', { 'userData[order]': '17', 'userData[TimeZone]': '-480' });
    await ask('updateData', { 'userData[order]': '18' });
    expect(fold.sessions.get(chat.chatId)?.userData).toMatchObject({ order: '18', TimeZone: '-480' });
    expect(await newest(9)).toHaveLength(2);
  });

  it('readReceipt is kept as far as the transcript goes, without an event', async () => {
    expect((await ask('readReceipt', { transcriptPosition: '99' })).body.statusCode).toBe(0);
    const { participants } = fold.sessions.get(chat.chatId) ?? { participants: [] };
    expect(participants.find(({ userId }) => userId === chat.userId)?.readPosition).toBe(2);
    expect(await newest(9)).toHaveLength(2);
  });

  it.each([
    { op: 'pushUrl', fields: {}, code: 400 },
    { op: 'pushUrl', fields: { pushUrl: ' JavaScript:alert(1)' }, code: 400 },
    { op: 'pushUrl', fields: { pushUrl: 'java\tscript:alert(1)' }, code: 400 },
    { op: 'pushUrl', fields: { pushUrl: '\u0001\tjava\r\nscript\t:alert(1)' }, code: 400 },
    { op: 'pushUrl', fields: { pushUrl: 'data:text/html,x' }, code: 400 },
    { op: 'pushUrl', fields: { pushUrl: `https://${'x'.repeat(2_041)}` }, code: 400 },
    { op: 'updateNickname', fields: {}, code: 161 },
    { op: 'updateNickname', fields: { nickname: '  ' }, code: 161 },
    { op: 'updateNickname', fields: { nickname: 'x'.repeat(129) }, code: 400 },
    { op: 'customNotice', fields: {}, code: 400 },
    { op: 'customNotice', fields: { message: 'x'.repeat(16_385) }, code: 204 },
    { op: 'updateData', fields: {}, code: 400 },
    { op: 'updateData', fields: { 'userData[]': 'x' }, code: 400 },
    { op: 'readReceipt', fields: {}, code: 400 },
    { op: 'readReceipt', fields: { transcriptPosition: 'last' }, code: 400 },
  ])('$op with $fields is refused with code $code', async ({ op, fields, code }) => {
    const { status, body } = await ask(op, fields as Record<string, string>);
    expect([status, body.statusCode, body.chatEnded, body.errors?.[0]?.code]).toEqual([400, 2, false, code]);
    expect(await newest(9)).toHaveLength(2);
  });

  it('send with transcriptPosition returns the transcript from there, its own message last', async () => {
    const { body } = await ask('send', { message: 'and then?', transcriptPosition: '2' });
    expect(body.messages).toMatchObject([
      { index: 2, type: 'ParticipantJoined' },
      { index: 3, type: 'Message', text: 'and then?' },
    ]);
    expect(body.nextPosition).toBe(4);
  });

  it('send with a transcriptPosition beyond the end returns nothing and the position to ask for', async () => {
    const { body } = await ask('send', { message: 'x', transcriptPosition: '4000' });
    expect([body.messages, body.nextPosition]).toEqual([[], 4]);
  });

  it('a late refresh gets the rest of the transcript; what comes late besides is refused', async () => {
    publish('end', { type: 'session.end', userId: 'jonas' });
    const late = await ask('refresh', { transcriptPosition: '3' });
    expect(late).toMatchObject({ status: 200, body: { statusCode: 0, chatEnded: true } });
    expect(late.body.messages.map(({ type }) => type)).toContain('ParticipantLeft');
    for (const op of ['startTyping', 'customNotice', 'updateData', 'file/limits']) {
      const { status, body } = await ask(op, { message: 'x', 'userData[k]': 'v' });
      expect([status, body.statusCode, body.chatEnded]).toEqual([200, 2, true]);
    }
    fold.sessions.delete(chat.chatId);
    expect((await ask('refresh', { transcriptPosition: '3' })).body).toMatchObject({
      statusCode: 2,
      chatEnded: true,
      errors: [{ code: 249 }],
    });
  });

  it('user data is read alike from both kinds of form', async () => {
    const fields = {
      nickname: 'Mira',
      'userData[order]': 'Größe 17',
      'userData[a][b]': 'nested',
      subject: 'Späte',
    };
    const chats = [await post(SERVICE, fields), await post(SERVICE, fields, true)];
    for (const { body } of chats)
      expect(fold.sessions.get(body.chatId)?.userData).toMatchObject({
        order: 'Größe 17',
        'a][b': 'nested',
        Subject: 'Späte',
      });
  });

  it('takes no multipart form but for a chat and a file', async () => {
    const { status } = await post(`${SERVICE}/${chat.chatId}/send`, { message: 'x' }, true);
    expect(status).toBe(415);
  });
});
