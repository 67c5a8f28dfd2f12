import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** All PEM. */
export interface TlsSettings {
  /** In place of the public authorities. */
  ca?: string;
  cert?: string;
  key?: string;
}

/** How a server is reached. Certificates are verified always; there is no setting that turns it off. */
export interface HttpConnection {
  /** Scheme, host and port. */
  origin: string;
  tls?: TlsSettings;
  proxy?: { url: string; authorization?: string };
  /** In place of the node's own. */
  connectTimeoutMs?: number;
  answerTimeoutMs?: number;
}

const KEY_CHARS = 8;

/**
 * Names the unit that has a pool, a gate and a breaker: the origin, and a digest of the other settings where there are
 * any. It is a metric's label and stands in logs, so settings do not show in it.
 */
export function destinationOf(connection: HttpConnection, also?: unknown): string {
  const { origin, ...settings } = connection;
  if (Object.keys(settings).length === 0 && also === undefined) return origin;
  const digest = createHash('sha256').update(JSON.stringify([settings, also]));
  return `${origin}#${digest.digest('hex').slice(0, KEY_CHARS)}`;
}

/** Whether Node takes these certificates and this key; else every connection would fail by itself. */
export function isUsable(tls: TlsSettings): boolean {
  if ((tls.cert === undefined) !== (tls.key === undefined)) return false;
  try {
    // A secure context passes over authorities that it cannot read.
    if (tls.ca !== undefined) new X509Certificate(tls.ca);
    createSecureContext(tls);
    return true;
  } catch {
    // OpenSSL's words may hold parts of the key; the caller only needs to know.
    return false;
  }
}
