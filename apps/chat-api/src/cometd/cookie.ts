import type { IncomingMessage } from 'node:http';

/** Set by the handshake; sticky routing goes by it, and calls without it are refused (CONTRACT 2.1). */
export const BROWSER_COOKIE = 'BAYEUX_BROWSER';

/** Of our making, or of another replica's: both are the same form. */
const VALUE_PATTERN = /^[A-Za-z0-9_-]{16,64}$/;

/** The cookie of a request, if it has a usable one. */
export function browserIdOf(header: string | undefined): string | undefined {
  for (const pair of (header ?? '').split(';')) {
    const [name = '', value = ''] = pair.trim().split('=', 2);
    if (name === BROWSER_COOKIE && VALUE_PATTERN.test(value)) return value;
  }
  return undefined;
}

/**
 * The attributes of CONTRACT 2.1. `Secure`, and what needs it, only where the client came by https: over plain http it
 * would not keep such a cookie, and could not use CometD at all.
 */
export function browserCookie(browserId: string, isSecure: boolean): string {
  const crossSite = isSecure ? '; SameSite=None; Secure; Partitioned' : '';
  return `${BROWSER_COOKIE}=${browserId}; Path=/; HttpOnly${crossSite}`;
}

/** By itself, or by the proxy in front that ends TLS. */
export function cameByHttps(request: Pick<IncomingMessage, 'headers' | 'socket'>): boolean {
  const forwarded = request.headers['x-forwarded-proto'];
  const first = (Array.isArray(forwarded) ? forwarded[0] : forwarded)?.split(',')[0]?.trim().toLowerCase();
  return first === undefined ? 'encrypted' in request.socket : first === 'https';
}
