import { chatResponseSchema, type OptionValues } from '@flexpush/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { PlayedFold, startApp } from './app.fixture';

const PATH = '/genesys/2/chat/support-web';
const SHOP = 'https://shop.example.org';
const STRANGER = 'https://evil.example.org';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

let app: NestFastifyApplication;
let values: OptionValues;

beforeAll(async () => {
  const fold = new PlayedFold();
  ({ app } = await startApp({ calls: () => fold, options: () => values }));
});
afterAll(() => app.close());

beforeEach(() => {
  values = { 'chat/cors-origins': `${SHOP}/, https://other.example.org:8443` };
});

function preflight(origin: string, url = PATH) {
  return app.inject({
    method: 'OPTIONS',
    url,
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'apikey' },
  });
}

describe('CORS', () => {
  it('answers the preflight of a listed origin, with cookies', async () => {
    const { statusCode, headers } = await preflight(SHOP);
    expect(statusCode).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': SHOP,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'POST, GET',
      'access-control-allow-headers': expect.stringContaining('x-api-key') as string,
      vary: 'origin',
    });
  });

  it.each<{ name: string; set: OptionValues | undefined; origin: string }>([
    { name: 'a stranger', set: undefined, origin: STRANGER },
    { name: 'a listed name with another scheme', set: undefined, origin: 'http://shop.example.org' },
    { name: 'a longer name', set: undefined, origin: `${SHOP}.evil.org` },
    { name: 'anyone, when nothing is set', set: {} as Record<string, string>, origin: SHOP },
    { name: 'the literal star', set: { 'chat/cors-origins': SHOP }, origin: '*' },
  ])('allows nothing to $name', async ({ set, origin }) => {
    if (set) values = set;
    const refused = await preflight(origin);
    expect(refused.statusCode).toBe(204);
    const posted = await app.inject({ method: 'POST', url: PATH, headers: { ...FORM, origin }, payload: '' });
    for (const { headers } of [refused, posted])
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('a star lets everybody in without cookies, and the listed ones with them', async () => {
    values = { 'chat/cors-origins': `*, ${SHOP}` };
    const { headers } = await preflight(STRANGER);
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
    expect((await preflight(SHOP)).headers['access-control-allow-credentials']).toBe('true');
  });

  it('lets the page read refusals too', async () => {
    const request = { method: 'POST', url: PATH, headers: { ...FORM, origin: SHOP } } as const;
    const refused = await app.inject({ ...request, payload: '' });
    const unknown = await app.inject({ ...request, url: `${PATH}/x/dance` });
    const media = await app.inject({
      ...request,
      headers: { origin: SHOP, 'content-type': 'text/plain' },
      payload: 'x',
    });
    expect([refused, unknown, media].map(({ statusCode }) => statusCode)).toEqual([400, 404, 415]);
    for (const { headers, body } of [refused, unknown, media]) {
      expect(headers['access-control-allow-origin']).toBe(SHOP);
      chatResponseSchema.parse(JSON.parse(body));
    }
  });

  it('follows the option at once', async () => {
    const allowed = async () => (await preflight(SHOP)).headers['access-control-allow-origin'];
    values = {};
    expect(await allowed()).toBeUndefined();
    values = { 'chat/cors-origins': SHOP };
    expect(await allowed()).toBe(SHOP);
  });

  it('takes no OPTIONS for a preflight that names no origin or method', async () => {
    const bare = await app.inject({ method: 'OPTIONS', url: PATH, headers: { origin: SHOP } });
    const noOrigin = await app.inject({
      method: 'OPTIONS',
      url: PATH,
      headers: { 'access-control-request-method': 'POST' },
    });
    expect([bare.statusCode, noOrigin.statusCode]).toEqual([405, 405]);
  });
});
