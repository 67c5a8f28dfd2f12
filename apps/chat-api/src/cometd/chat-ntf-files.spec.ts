import { connectBus, ensureStreams, FileStore } from '@flexpush/nats-bus';
import { CometClient, startTestNats, type TestNats } from '@flexpush/testkit';
import { randomBytes } from 'node:crypto';
import type { Answer } from '../answer';
import { answered, PlayedSessions, startCometApp, type CometApp } from './comet-app.fixture';

let nats: TestNats;
let bus: Awaited<ReturnType<typeof connectBus>>;
let comet: CometApp;
let client: CometClient;
let secureKey: string;
let cookie: string;

beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ url: nats.url, name: 'files' });
  await ensureStreams(bus, { shardCount: 1, replicas: 1, logBytesMax: 2 ** 26, logAgeMaxMs: 3_600_000 });
  const store = await FileStore.open(bus);
  comet = await startCometApp({}, { files: () => store });
  comet.sessions = new PlayedSessions();
  comet.sessions.intercept = (record) => {
    switch (record.type) {
      case 'request.fileLimits':
        return answered({ notices: [limits] });
      case 'request.fileUpload':
        return answered({ userData: { 'file-id': record.file.fileId } });
      case 'request.fileDownload':
        return answered({ userData: { 'file-name': 'invoice.pdf' } });
      default:
        return undefined;
    }
  };
  client = new CometClient('long-polling', comet.url);
  await client.handshake();
  secureKey = (await client.operate('requestChat', { nickname: 'Mira' })).secureKey ?? '';
  cookie = `BAYEUX_BROWSER=${comet.cometd.server.session(client.cometd.getClientId() ?? '')?.browserId}`;
});
afterAll(async () => {
  await client.disconnect();
  await comet.close();
  await bus.close();
  await nats.stop();
});

const limits = {
  from: { nickname: 'system', participantId: 0, type: 'External' as const },
  type: 'Notice',
  text: 'file-client-cfg-get',
  utcTime: 1,
  userData: {
    'upload-max-files': '3',
    'upload-max-file-size': '2097152',
    'upload-max-total-size': '5242880',
    'upload-file-types': 'pdf:png:txt',
    'used-upload-max-files': '0',
    'used-upload-max-total-size': '0',
  },
};

function post(body: NonNullable<RequestInit['body']>): Promise<Response> {
  return fetch(comet.url.replace('cometd', '2/chat-ntf'), { method: 'POST', body, headers: { cookie } });
}

const bodyOf = async (response: Response) => (await response.json()) as Answer['body'];

describe('chat-ntf over the files of chats', () => {
  it.each(['fileGetLimits', 'fileGetsLimits'])('%s tells the limits', async (operation) => {
    const body = await bodyOf(await post(new URLSearchParams({ operation, secureKey })));
    expect(body).toMatchObject({ statusCode: 0, secureKey, messages: [limits] });
  });

  it.each([
    { bytes: 100, isFileFirst: false },
    { bytes: 1_000_000, isFileFirst: false },
    { bytes: 1_000_000, isFileFirst: true },
    { bytes: 0, isFileFirst: false },
  ])(
    'uploads, downloads and deletes $bytes bytes, file first: $isFileFirst',
    async ({ bytes, isFileFirst }) => {
      const content = randomBytes(bytes);
      const form = new FormData();
      const parts = [
        () => form.append('operation', 'fileUpload'),
        () => form.append('secureKey', secureKey),
        () => form.append('userData[file-description]', 'an invoice'),
        () => form.append('file', new Blob([content]), 'invoice.pdf'),
      ];
      for (const part of isFileFirst ? parts.reverse() : parts) part();
      const body = await bodyOf(await post(form));
      expect(body).toMatchObject({ statusCode: 0, secureKey });
      const fileId = body.userData?.['file-id'] ?? '';
      const upload = comet.sessions.of('request.fileUpload').at(-1);
      expect(upload?.file).toEqual({
        fileId,
        name: 'invoice.pdf',
        sizeBytes: bytes,
        userData: { 'file-description': 'an invoice' },
      });
      const download = await post(new URLSearchParams({ operation: 'fileDownload', secureKey, fileId }));
      expect(Buffer.from(await download.arrayBuffer())).toEqual(content);
      expect(download.headers.get('content-disposition')).toContain('invoice.pdf');
      const deleted = await bodyOf(
        await post(new URLSearchParams({ operation: 'fileDelete', secureKey, fileId })),
      );
      expect(deleted.statusCode).toBe(0);
      const gone = await bodyOf(
        await post(new URLSearchParams({ operation: 'fileDownload', secureKey, fileId })),
      );
      expect(gone).toMatchObject({ statusCode: 2, errors: [{ code: 404 }] });
    },
  );

  it.each([
    { name: 'a type that is not allowed', file: 'a.exe', bytes: 10, code: 203 },
    { name: 'too many bytes', file: 'a.pdf', bytes: 2_097_153, code: 202 },
  ])('refuses $name', async ({ file, bytes, code }) => {
    const form = new FormData();
    form.append('operation', 'fileUpload');
    form.append('secureKey', secureKey);
    form.append('file', new Blob([randomBytes(bytes)]), file);
    expect(await bodyOf(await post(form))).toMatchObject({ statusCode: 2, errors: [{ code }] });
  });

  it('lets nobody upload with a wrong key', async () => {
    const before = comet.sessions.records.length;
    const form = new FormData();
    form.append('operation', 'fileUpload');
    form.append('secureKey', 'wrong');
    form.append('file', new Blob([randomBytes(300_000)]), 'a.pdf');
    expect(await bodyOf(await post(form))).toMatchObject({ statusCode: 2, errors: [{ code: 249 }] });
    expect(comet.sessions.records).toHaveLength(before);
  });
});
