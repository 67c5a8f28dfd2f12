import { listOf, readOption, type OptionValues } from '@flexpush/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { IncomingHttpHeaders } from 'node:http';

/** The headers that clients of the contract send (CONTRACT 1.1), and our own. */
const ALLOWED_HEADERS =
  'content-type, authorization, apikey, x-api-key, gms_user, contactcenterid, idempotency-key';
const EXPOSED_HEADERS = 'content-disposition, retry-after';
const PREFLIGHT_AGE_S = '600';

/**
 * The headers that let pages of this origin read an answer; undefined: none. Only an origin that is listed may send
 * cookies: with `*` any page of the world could act for its visitor.
 */
export function corsHeaders(origin: string, values: OptionValues): Record<string, string> | undefined {
  const origins = listOf(readOption(values, ['chat'], 'cors-origins')).map(withoutSlash);
  if (origins.includes(origin) && origin !== '*')
    return {
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': EXPOSED_HEADERS,
    };
  return origins.includes('*')
    ? { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED_HEADERS }
    : undefined;
}

/**
 * Whether a page may not call that a browser lets call whatever the headers of the answer are, as with WebSockets and
 * scripts: one of an origin that is neither this one nor listed. What says nothing of a page, as native apps do, is none.
 */
export function isForeignPage(headers: IncomingHttpHeaders, values: OptionValues): boolean {
  const { origin, referer } = headers;
  // Set by browsers only, so a page cannot lie here; it knows more than we do behind a proxy that changes the host.
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin' || site === 'none') return false;
  if (origin === undefined && referer === undefined && site === undefined) return false;
  const page = origin ?? (URL.canParse(referer ?? '') ? new URL(referer ?? '').origin : OPAQUE_ORIGIN);
  return !isOwnOrigin(page, headers) && corsHeaders(page, values) === undefined;
}

/** As browsers write it where a page has none, or does not say; only a star stands for it. */
const OPAQUE_ORIGIN = 'null';

/** Compares host and port only: what ends TLS in front leaves us http. No page can set either of these headers. */
function isOwnOrigin(origin: string, headers: IncomingHttpHeaders): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host } = new URL(origin);
  const forwarded = [headers['x-forwarded-host'] ?? []].flat()[0]?.split(',', 1)[0]?.trim();
  return [headers.host, forwarded].some((own) => {
    // With the scheme of the page, so that its default port may be written or not.
    const url = `${protocol}//${own}`;
    return own !== undefined && host !== '' && URL.canParse(url) && new URL(url).host === host;
  });
}

function withoutSlash(origin: string): string {
  return origin.endsWith('/') ? origin.slice(0, -1) : origin;
}

/** Answers preflights, and adds the headers to every answer below the base path, refusals included. */
export function allowOrigins(
  app: NestFastifyApplication,
  options: { appName: string; values: () => OptionValues },
): void {
  const base = `/${options.appName}/`;
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, reply, done) => {
      const { origin } = request.headers;
      if (!request.url.startsWith(base)) {
        done();
        return;
      }
      // Whatever the answer is: a cache may not give it to another origin.
      void reply.header('vary', 'origin');
      const headers = origin === undefined ? undefined : corsHeaders(origin, options.values());
      if (headers) void reply.headers(headers);
      const isPreflight =
        request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
      if (origin === undefined || !isPreflight) {
        done();
        return;
      }
      // Who may not call is told so by what is missing: a browser takes any failure for one of the network.
      if (headers)
        void reply.headers({
          'access-control-allow-methods': 'POST, GET',
          'access-control-allow-headers': ALLOWED_HEADERS,
          'access-control-max-age': PREFLIGHT_AGE_S,
        });
      void reply.code(204).send();
    });
}
