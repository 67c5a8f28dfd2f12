import { chatResponseSchema } from '@flexpush/contracts';
import type { Operations } from '@flexpush/process';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { answered, PlayedFold, startApp } from './app.fixture';

const CHAT = '/genesys/2/chat/support-web';
const FORM = 'application/x-www-form-urlencoded';

let app: NestFastifyApplication;
let operations: Operations;
let fold: PlayedFold;

beforeAll(async () => {
  ({ app, operations } = await startApp({ calls: () => fold, files: () => undefined }));
});
afterAll(() => app.close());
beforeEach(() => {
  fold = new PlayedFold();
  fold.answer = () => answered();
});

function post(url: string, type: string, payload: Buffer | string) {
  return app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload });
}

async function refusals(): Promise<number> {
  const metric = operations.registry.getSingleMetric('flexpush_chat_requests_total');
  const values = (await metric?.get())?.values ?? [];
  return values.find(({ labels }) => labels['outcome'] === 'unsupported-media-type')?.value ?? 0;
}

describe('another charset than UTF-8', () => {
  it.each([
    { name: 'a chat', url: CHAT, type: `${FORM}; charset=ISO-8859-1` },
    { name: 'a form in parts', url: CHAT, type: 'multipart/form-data; boundary=b; charset=latin1' },
    { name: 'an operation', url: `${CHAT}/x/send`, type: `${FORM}; charset=windows-1252` },
    { name: 'an upload', url: `${CHAT}/x/file`, type: 'multipart/form-data; charset=utf-16; boundary=b' },
    { name: 'chat-ntf', url: '/genesys/2/chat-ntf', type: `${FORM}; charset=ISO-8859-1` },
    { name: 'CometD', url: '/genesys/cometd', type: 'application/json; charset=ISO-8859-1' },
  ])('is answered with 415 and counted: $name', async ({ url, type }) => {
    const before = await refusals();
    const { statusCode, body } = await post(url, type, Buffer.from('nickname=Zoë', 'latin1'));
    expect(statusCode).toBe(415);
    const answer = chatResponseSchema.parse(JSON.parse(body));
    expect(answer).toMatchObject({ statusCode: 2, errors: [{ code: 415 }] });
    expect(answer.errors?.[0]?.advice).toContain('utf-8');
    expect(await refusals()).toBe(before + 1);
    expect(fold.records).toEqual([]);
  });

  it('UTF-8 by name is taken', async () => {
    const { statusCode } = await post(CHAT, `${FORM}; charset=UTF-8`, 'nickname=Zoë');
    expect(statusCode).toBe(200);
    expect(fold.records).toMatchObject([{ nickname: 'Zoë' }]);
  });
});

describe('texts that are no UTF-8', () => {
  const part = (head: string, content: string) =>
    `--b\r\ncontent-disposition: form-data; ${head}\r\n\r\n${content}\r\n`;
  const upload = (fields: string) => `${fields}${part('name="file"; filename="a.txt"', 'x')}--b--\r\n`;
  const credentials = part('name="userId"', 'U') + part('name="secureKey"', 'K');
  const multipart = 'multipart/form-data; boundary=b';

  it.each([
    { name: 'bytes', url: CHAT, type: FORM, body: 'nickname=Zoë' },
    { name: 'encoded bytes', url: CHAT, type: FORM, body: 'nickname=Zo%EB' },
    { name: 'in a message', url: `${CHAT}/x/send`, type: FORM, body: 'userId=U&secureKey=K&message=Zoë' },
    { name: 'in parts', url: CHAT, type: multipart, body: `${part('name="nickname"', 'Zoë')}--b--\r\n` },
    {
      name: 'beside a file',
      url: `${CHAT}/x/file`,
      type: multipart,
      body: upload(`${part('name="userData[file-description]"', 'Zoë')}${credentials}`),
    },
    {
      name: 'in the name of a file',
      url: `${CHAT}/x/file`,
      type: multipart,
      body: `${credentials}${part('name="file"; filename="Zoë.txt"', 'x')}--b--\r\n`,
    },
  ])('are answered with 400 and come into no chat: $name', async ({ url, type, body }) => {
    const answer = await post(url, type, Buffer.from(body, 'latin1'));
    expect(answer.statusCode).toBe(400);
    expect(chatResponseSchema.parse(answer.json()).errors?.[0]).toMatchObject({
      code: 400,
      advice: expect.stringContaining('UTF-8') as string,
    });
    expect(fold.records).toEqual([]);
  });
});
