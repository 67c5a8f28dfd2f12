import { get, type IncomingHttpHeaders } from 'node:http';
import { startCometApp, SWITCHED_ON, type CometApp } from './comet-app.fixture';

const OWN = 'chat.example.org';
const SHOP = 'https://shop.example.org';
const STRANGER = 'https://evil.example.org';
const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': Buffer.alloc(16).toString('base64'),
};
const SCRIPT_QUERY = new URLSearchParams({
  jsonp: 'take',
  message: JSON.stringify([
    { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['callback-polling'] },
  ]),
});

let comet: CometApp;

beforeAll(async () => {
  comet = await startCometApp();
});
afterAll(() => comet.close());
beforeEach(() => {
  comet.values = { ...SWITCHED_ON, 'chat/cors-origins': `${SHOP}/` };
});

/** The status of the answer, and its body where there is one. */
function ask(url: string, headers: IncomingHttpHeaders): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { host: OWN, ...headers }, agent: false });
    request.once('error', reject);
    request.once('upgrade', ({ statusCode = 0 }, socket) => {
      socket.destroy();
      resolve({ status: statusCode, body: '' });
    });
    request.once('response', (response) => {
      let body = '';
      response.on('data', (part) => (body += String(part)));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
}

const openSocket = (headers: IncomingHttpHeaders) => ask(comet.url, { ...UPGRADE, ...headers });
const loadScript = (headers: IncomingHttpHeaders) => ask(`${comet.url}?${SCRIPT_QUERY}`, headers);

async function counted(): Promise<number> {
  const metric = comet.operations.registry.getSingleMetric('flexpush_comet_messages_refused_total');
  const values = (await metric?.get())?.values ?? [];
  return values.find(({ labels }) => labels['error'] === 'foreign-page')?.value ?? 0;
}

describe('a WebSocket', () => {
  it.each<{ name: string; headers: IncomingHttpHeaders }>([
    { name: 'no page, as native apps are', headers: {} },
    { name: 'a page of the same origin', headers: { origin: `http://${OWN}` } },
    { name: 'one behind a proxy that ends TLS', headers: { origin: `https://${OWN}` } },
    { name: 'one with the port written out', headers: { origin: `https://${OWN}`, host: `${OWN}:443` } },
    { name: 'one with another port', headers: { origin: `https://${OWN}:8443`, host: `${OWN}:8443` } },
    {
      name: 'one behind a proxy that changes the host',
      headers: { origin: `https://${OWN}`, host: 'chat-api:8080', 'x-forwarded-host': OWN },
    },
    {
      name: 'one whose browser says that it is',
      headers: { origin: `https://${OWN}`, host: 'chat-api:8080', 'sec-fetch-site': 'same-origin' },
    },
    { name: 'a page that is listed', headers: { origin: SHOP } },
  ])('is opened to $name', async ({ headers }) => {
    const before = await counted();
    expect((await openSocket(headers)).status).toBe(101);
    expect(await counted()).toBe(before);
  });

  it.each<{ name: string; headers: IncomingHttpHeaders }>([
    { name: 'a stranger', headers: { origin: STRANGER } },
    { name: 'a listed name with another scheme', headers: { origin: 'http://shop.example.org' } },
    { name: 'the same name with another port', headers: { origin: `https://${OWN}:8443` } },
    { name: 'a longer name', headers: { origin: `https://${OWN}.evil.org` } },
    { name: 'a page without an origin', headers: { origin: 'null' } },
    { name: 'what is no origin', headers: { origin: OWN } },
    { name: 'a page beside this one', headers: { origin: STRANGER, 'sec-fetch-site': 'same-site' } },
  ])('is refused to $name, and counted', async ({ headers }) => {
    const before = await counted();
    expect((await openSocket(headers)).status).toBe(403);
    expect(await counted()).toBe(before + 1);
  });

  it('is opened to everybody by a star, and follows the option at once', async () => {
    expect((await openSocket({ origin: STRANGER })).status).toBe(403);
    comet.values = { ...SWITCHED_ON, 'chat/cors-origins': '*' };
    for (const origin of [STRANGER, 'null', 'file://'])
      expect((await openSocket({ origin })).status).toBe(101);
    // Not read yet is not listed.
    comet.values = undefined;
    expect((await openSocket({ origin: SHOP })).status).toBe(403);
  });
});

describe('a script of callback-polling', () => {
  it.each<{ name: string; headers: IncomingHttpHeaders }>([
    { name: 'what says nothing of a page', headers: {} },
    { name: 'a page of the same origin', headers: { 'sec-fetch-site': 'same-origin' } },
    { name: 'one of an older browser', headers: { referer: `https://${OWN}/help?x=1` } },
    { name: 'a user that types it', headers: { 'sec-fetch-site': 'none' } },
    { name: 'a page that is listed', headers: { 'sec-fetch-site': 'cross-site', referer: `${SHOP}/cart` } },
  ])('is answered to $name', async ({ headers }) => {
    const { status, body } = await loadScript(headers);
    expect(status).toBe(200);
    expect(body).toMatch(/^\/\*\*\/take\(/);
  });

  it.each<{ name: string; headers: IncomingHttpHeaders }>([
    { name: 'a stranger', headers: { 'sec-fetch-site': 'cross-site', referer: `${STRANGER}/` } },
    {
      name: 'a neighbour',
      headers: { 'sec-fetch-site': 'same-site', referer: 'https://other.example.org/' },
    },
    { name: 'a page that hides where it is', headers: { 'sec-fetch-site': 'cross-site' } },
    { name: 'a stranger in an older browser', headers: { referer: `${STRANGER}/` } },
    { name: 'a stranger that asks with CORS', headers: { origin: STRANGER } },
  ])('is refused to $name with what is no script, and counted', async ({ headers }) => {
    const before = await counted();
    const { status, body } = await loadScript(headers);
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject([
      { successful: false, error: expect.stringMatching(/^403::/) as string },
    ]);
    expect(await counted()).toBe(before + 1);
  });

  it('is answered to everybody by a star', async () => {
    comet.values = { ...SWITCHED_ON, 'chat/cors-origins': '*' };
    expect((await loadScript({ 'sec-fetch-site': 'cross-site' })).status).toBe(200);
  });
});
