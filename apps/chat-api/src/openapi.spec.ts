import { chatResponseSchema, errorCodes } from '@flexpush/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import Ajv2020 from 'ajv/dist/2020';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { answered, PlayedFold, startApp } from './app.fixture';
import { openApiDocument, uploadOrder } from './openapi';
import { operations } from './operations';

interface Media {
  schema: { properties: Record<string, Record<string, unknown>>; required?: string[] };
}
interface Document {
  paths: Record<string, { post: { requestBody: { content: Record<string, Media> } } }>;
  components: { schemas: Record<string, object>; responses: Record<string, { description: string }> };
}

const document = openApiDocument('genesys') as unknown as Document;
const FORM = 'application/x-www-form-urlencoded';
const TEXTS = ['userId', 'secureKey'];
let app: NestFastifyApplication;
let fold: PlayedFold;
const routes: string[] = [];

beforeAll(async () => {
  fold = new PlayedFold();
  ({ app } = await startApp({
    calls: () => fold,
    onRoute: (method, url) => routes.push(`${method} ${url}`),
  }));
});
afterAll(() => app.close());

/** Fills the parameters of a path. */
const filled = (path: string) =>
  path.replace('{serviceName}', 'support').replace('{chatId}', 'CHAT').replace('{fileId}', 'FILE');

function post(path: string, fields: Record<string, string>) {
  return app.inject({
    method: 'POST',
    url: filled(path),
    headers: { 'content-type': FORM },
    payload: new URLSearchParams({ userId: 'U', secureKey: 'K', ...fields }).toString(),
  });
}

/** A value that the schema of a field allows. */
function valueFor(name: string, schema: Record<string, unknown>): [string, string] {
  if (schema['type'] === 'object') return [`${name}[k]`, 'v'];
  return [name, schema['type'] === 'integer' ? '1' : name === 'emailAddress' ? 'a@b' : 'text'];
}

const forms = Object.entries(document.paths).flatMap(
  ([
    path,
    {
      post: { requestBody },
    },
  ]) => {
    const media = requestBody.content[FORM];
    // chat-ntf wants a connected CometD client; it has specs of its own.
    return media && !path.endsWith('/chat-ntf') ? [{ path, schema: media.schema }] : [];
  },
);

describe('the OpenAPI document', () => {
  it('has every route of the Chat API, and no other', () => {
    const base = '/genesys/2/chat';
    const served = routes
      .filter((route) => route.startsWith(`POST ${base}`) && !route.endsWith('/'))
      .flatMap((route) => {
        const path = route.slice('POST '.length);
        const named = path
          .replace(':service', '{serviceName}')
          .replace(':chatId', '{chatId}')
          .replace(':fileId', '{fileId}');
        // `file/limits` has a route of its own.
        return named.endsWith('/:operation')
          ? [...operations.keys()]
              .filter((name) => !name.includes('/'))
              .map((name) => named.replace(':operation', name))
          : [named];
      });
    expect(Object.keys(document.paths).sort()).toEqual([...new Set(served)].sort());
    expect(served).toHaveLength(16);
  });

  it.each(forms)(
    '$path takes every field that it names, at its limit and not beyond',
    async ({ path, schema }) => {
      for (const [name, field] of Object.entries(schema.properties)) {
        if (TEXTS.includes(name) || field['maxLength'] === undefined) continue;
        const others = Object.fromEntries(
          Object.entries(schema.properties)
            .filter(([other]) => other !== name && !TEXTS.includes(other))
            .map(([other, spec]) => valueFor(other, spec)),
        );
        const ofLength = (length: number) =>
          name === 'emailAddress' ? `a@${'b'.repeat(length - 2)}` : 'x'.repeat(length);
        const limit = field['maxLength'] as number;
        const over = await post(path, { ...others, [name]: ofLength(limit + 1) });
        expect([name, over.statusCode]).toEqual([name, 400]);
        // Names make a nickname together, and addresses have a length of their own.
        if (['firstName', 'lastName', 'emailAddress'].includes(name)) continue;
        expect([name, (await post(path, { ...others, [name]: ofLength(limit) })).statusCode]).toEqual([
          name,
          200,
        ]);
      }
    },
  );

  it.each(forms)('$path refuses what lacks a required field', async ({ path, schema }) => {
    const all = Object.entries(schema.properties).filter(([name]) => !TEXTS.includes(name));
    for (const missing of schema.required ?? []) {
      if (TEXTS.includes(missing)) continue;
      const fields = Object.fromEntries(
        all.filter(([name]) => name !== missing).map(([name, spec]) => valueFor(name, spec)),
      );
      expect((await post(path, fields)).statusCode).toBe(400);
    }
  });

  it('describes the answers that are given', async () => {
    const ajv = new Ajv2020({ strict: false });
    const isResponse = ajv.compile(document.components.schemas['ChatResponse'] ?? {});
    const message = {
      from: { nickname: 'J', participantId: 2, type: 'Agent' },
      index: 3,
      type: 'Message',
      utcTime: 1,
    };
    fold.answer = () => answered({ nextPosition: 4, userData: { a: 'b' } }, [message]);
    const answers = [
      await post('/genesys/2/chat/support/CHAT/refresh', {}),
      await post('/genesys/2/chat/support/CHAT/send', {}),
      await post('/genesys/2/chat/support/CHAT/dance', {}),
    ];
    for (const answer of answers) {
      const body = answer.json<unknown>();
      chatResponseSchema.parse(body);
      expect(isResponse(body)).toBe(true);
    }
    expect(isResponse({ statusCode: 0 })).toBe(false);
  });

  it('a name has the length of a nickname, and so have two together', async () => {
    const ask = async (fields: Record<string, string>) =>
      (await post('/genesys/2/chat/support', fields)).statusCode;
    const long = 'x'.repeat(128);
    expect(await ask({ nickname: 'Mira', firstName: long, lastName: long })).toBe(200);
    expect(await ask({ nickname: 'Mira', firstName: `${long}x`, lastName: 'y' })).toBe(400);
    expect(await ask({ firstName: long.slice(2), lastName: 'y' })).toBe(200);
    expect(await ask({ firstName: long.slice(1), lastName: 'y' })).toBe(400);
  });

  it('says the same of the order of an upload as the documentation', () => {
    const page = (name: string) => readFileSync(join(__dirname, '../../../docs', name), 'utf8');
    const marked = (fields: string[]) => uploadOrder(fields.map((name) => `\`${name}\``).join(' and '));
    expect(page('chat-api.md')).toContain(marked(['userId', 'secureKey']));
    expect(page('cometd.md')).toContain(marked(['operation', 'secureKey']));
  });

  it('names every error code', () => {
    for (const code of Object.values(errorCodes))
      expect(document.components.responses['Invalid']?.description).toContain(String(code));
  });

  it('is served, with a page that loads nothing', async () => {
    const served = await app.inject({ method: 'GET', url: '/openapi.json' });
    expect(served.headers['content-type']).toContain('application/json');
    expect(served.json()).toEqual(document);
    const page = await app.inject({ method: 'GET', url: '/openapi' });
    expect(page.headers['content-type']).toContain('text/html');
    for (const path of Object.keys(document.paths)) expect(page.body).toContain(`POST ${path}`);
    expect(page.body).not.toMatch(/<script|src=|https?:/);
  });
});
