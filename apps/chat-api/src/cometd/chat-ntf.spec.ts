import { CometClient } from '@flexpush/testkit';
import { text } from 'node:stream/consumers';
import type { Answer } from '../answer';
import type { SessionCaller } from '../chat-service';
import { parseMultipart } from '../multipart-form';
import type { NtfFiles } from './chat-ntf';
import { PlayedSessions, startCometApp, type CometApp } from './comet-app.fixture';

const BYTES_MAX = 32_768;

function succeeded({ chatId, userId, secureKey }: SessionCaller, userData?: Record<string, string>): Answer {
  const body = { statusCode: 0 as const, chatId, messages: [], chatEnded: false };
  return {
    status: 200,
    outcome: 'ok',
    body: { ...body, userId, secureKey, ...(userData ? { userData } : {}) },
  };
}

/** Plays the file operations: what was asked, by whom. */
class PlayedFiles implements NtfFiles {
  readonly calls: {
    what: string;
    chatId: string;
    userId: string | undefined;
    fileId?: string;
    body?: string;
  }[] = [];

  async limits({ chatId, userId, ...rest }: SessionCaller): Promise<Answer> {
    this.calls.push({ what: 'limits', chatId, userId });
    return succeeded({ chatId, userId, ...rest });
  }
  async download({ chatId, userId, ...rest }: SessionCaller, fileId: string): Promise<Answer> {
    this.calls.push({ what: 'download', chatId, userId, fileId });
    return succeeded({ chatId, userId, ...rest });
  }
  async delete({ chatId, userId, ...rest }: SessionCaller, fileId: string): Promise<Answer> {
    this.calls.push({ what: 'delete', chatId, userId, fileId });
    return succeeded({ chatId, userId, ...rest });
  }
  /** The fields of these tests stand before the file, so the form up to there is one without a file. */
  upload: NtfFiles['upload'] = async ({ raw, headers }, needed, callerOf) => {
    const body = await text(raw);
    const type = headers['content-type'] ?? '';
    const boundary = /boundary=(.*)$/.exec(type)?.[1] ?? '';
    const before = body.slice(
      0,
      body.lastIndexOf(`--${boundary}\r\nContent-Disposition: form-data; name="file"`),
    );
    const form = parseMultipart(Buffer.from(`${before}--${boundary}--\r\n`), type);
    const fields = form.kind === 'form' ? form.fields : new Map<string, string>();
    expect(needed).toEqual(['operation', 'secureKey']);
    const caller = callerOf(fields);
    if (caller.userId === undefined) return { ...succeeded(caller), outcome: 'bad-key' };
    this.calls.push({ what: 'upload', chatId: caller.chatId, userId: caller.userId, body });
    return succeeded(caller, { 'file-id': 'f1' });
  };
}

let comet: CometApp;
let files: PlayedFiles;
let client: CometClient;
let cookie: string;
let chat: { secureKey: string; chatId: string; userId: string };

beforeAll(async () => {
  comet = await startCometApp(
    {},
    {
      ntfFiles: {
        limits: (caller) => files.limits(caller),
        download: (caller, fileId) => files.download(caller, fileId),
        delete: (caller, fileId) => files.delete(caller, fileId),
        upload: (...call) => files.upload(...call),
      },
    },
  );
  comet.sessions = new PlayedSessions();
  client = new CometClient('long-polling', comet.url);
  await client.handshake();
  const { secureKey = '', chatId, userId = '' } = await client.operate('requestChat', { nickname: 'Mira' });
  chat = { secureKey, chatId, userId };
  const known = comet.cometd.server.session(client.cometd.getClientId() ?? '');
  cookie = `BAYEUX_BROWSER=${known?.browserId}`;
});
afterAll(async () => {
  await client.disconnect();
  await comet.close();
});
beforeEach(() => (files = new PlayedFiles()));

async function post(body: NonNullable<RequestInit['body']>, headers: Record<string, string> = { cookie }) {
  const url = comet.url.replace('cometd', '2/chat-ntf');
  const response = await fetch(url, { method: 'POST', body, headers });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const fieldsOf = (fields: Record<string, string>, as: 'form' | 'multipart') => {
  const body = as === 'form' ? new URLSearchParams() : new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
};

function upload(bytes: number, fields: Record<string, string> = {}): FormData {
  const form = fieldsOf(
    { operation: 'fileUpload', secureKey: chat.secureKey, ...fields },
    'multipart',
  ) as FormData;
  form.append('file', new Blob(['x'.repeat(bytes)]), 'a.txt');
  return form;
}

describe('chat-ntf', () => {
  it.each(['form', 'multipart'] as const)('takes every operation without a file as %s', async (as) => {
    const { secureKey, chatId, userId } = chat;
    for (const [operation, what] of [
      ['fileGetLimits', 'limits'],
      ['fileGetsLimits', 'limits'],
      ['fileDownload', 'download'],
      ['fileDelete', 'delete'],
    ]) {
      const answer = await post(fieldsOf({ operation: operation ?? '', secureKey, fileId: 'f1' }, as));
      expect(answer).toMatchObject({ status: 200, body: { statusCode: 0, chatId, userId, secureKey } });
      expect(files.calls.at(-1)).toMatchObject({
        what,
        chatId,
        userId,
        ...(what === 'limits' ? {} : { fileId: 'f1' }),
      });
    }
  });

  it.each([{ bytes: 10 }, { bytes: 3 * BYTES_MAX }])('takes a file of $bytes bytes', async ({ bytes }) => {
    const { secureKey, chatId, userId } = chat;
    const answer = await post(upload(bytes));
    expect(answer.body).toMatchObject({ statusCode: 0, chatId, secureKey, userData: { 'file-id': 'f1' } });
    expect(files.calls).toMatchObject([{ what: 'upload', chatId, userId }]);
    expect(files.calls[0]?.body).toContain('x'.repeat(bytes));
  });

  it.each([
    { name: 'no cookie', headers: {} },
    { name: 'a cookie of nobody', headers: { cookie: 'BAYEUX_BROWSER=abcdefghijklmnopqrstuvwxyz0' } },
  ])('refuses a call with $name', async ({ headers }) => {
    const calls = [fieldsOf({ operation: 'fileGetLimits', secureKey: chat.secureKey }, 'form'), upload(10)];
    for (const call of calls) {
      const { status, body } = await post(call, headers as Record<string, string>);
      expect(status).toBe(400);
      expect(body).toMatchObject({
        statusCode: 2,
        errors: [{ code: 402, advice: expect.stringMatching(/^402::/) }],
      });
    }
    expect(files.calls).toEqual([]);
  });

  it.each([
    { name: 'another operation', fields: { operation: 'sendMessage' }, code: 404 },
    { name: 'no operation', fields: { operation: '' }, code: 404 },
    { name: 'a wrong key', fields: { operation: 'fileGetLimits', secureKey: 'x' }, code: 249 },
    { name: 'no file id', fields: { operation: 'fileDelete' }, code: 400 },
    { name: 'no file', fields: { operation: 'fileUpload' }, code: 400 },
  ])('says what is wrong with $name', async ({ fields, code }) => {
    for (const as of ['form', 'multipart'] as const) {
      const { body } = await post(fieldsOf({ secureKey: chat.secureKey, ...fields }, as));
      expect(body).toMatchObject({ statusCode: 2, errors: [{ code }] });
    }
    expect(files.calls).toEqual([]);
  });

  it.each([
    { name: 'another operation', fields: { operation: 'fileDelete' }, code: 400 },
    { name: 'a wrong key', fields: { secureKey: 'x' }, code: 249 },
  ])('stores nothing of a file that comes with $name', async ({ fields, code }) => {
    const form = fieldsOf(
      { operation: 'fileUpload', secureKey: chat.secureKey, ...fields },
      'multipart',
    ) as FormData;
    form.append('file', new Blob(['x']), 'a.txt');
    expect((await post(form)).body).toMatchObject({ statusCode: 2, errors: [{ code }] });
    expect(files.calls).toEqual([]);
  });

  it('refuses other media types and what is too long', async () => {
    const json = await post('{}', { cookie, 'content-type': 'application/json' });
    expect(json).toMatchObject({ status: 415, body: { statusCode: 2 } });
    const long = await post(new URLSearchParams({ operation: 'x'.repeat(BYTES_MAX) }));
    expect(long).toMatchObject({ status: 413, body: { statusCode: 2 } });
  });
});
