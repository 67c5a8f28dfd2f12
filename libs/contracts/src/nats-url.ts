/** Where NATS is, and who we are there; the client wants them apart. */
export interface NatsAddress {
  servers: string[];
  user?: string;
  pass?: string;
  token?: string;
}

/**
 * Reads `nats://user:password@host:port,nats://host2:port2`. A user without a password is a token. The credentials of the
 * first address count for all, because the servers of one cluster share their accounts.
 */
export function parseNatsUrl(url: string): NatsAddress {
  const servers: string[] = [];
  let credentials: Omit<NatsAddress, 'servers'> = {};
  for (const [i, text] of url.split(',').entries()) {
    const [, scheme = '', login, host = ''] = /^([a-z]+:\/\/)?(?:(.*)@)?([^@]*)$/i.exec(text.trim()) ?? [];
    servers.push(`${scheme}${host}`);
    if (i > 0 || login === undefined) continue;
    const colon = login.indexOf(':');
    credentials =
      colon < 0
        ? { token: decodeURIComponent(login) }
        : {
            user: decodeURIComponent(login.slice(0, colon)),
            pass: decodeURIComponent(login.slice(colon + 1)),
          };
  }
  return { servers, ...credentials };
}
