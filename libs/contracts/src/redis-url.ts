/** Where the folded state is kept: one server, a master that sentinels know, or a cluster. */
export type RedisAddress =
  | { kind: 'single'; url: string }
  | { kind: 'socket'; path: string }
  | {
      kind: 'sentinel';
      sentinels: RedisHost[];
      masterName: string;
      db: number;
      username?: string | undefined;
      password?: string | undefined;
    }
  | { kind: 'cluster'; nodes: RedisHost[]; username?: string | undefined; password?: string | undefined };

export interface RedisHost {
  host: string;
  port: number;
}

const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6_379;
const SEVERAL = /^redis\+(sentinel|cluster):\/\/(?:([^@/]*)@)?([^/]+)(?:\/([^/]*))?(?:\/(\d+))?$/;

/**
 * Reads `redis://host:port`, `rediss://...`, `unix:///path` or a path, `redis+sentinel://[user:password@]h1:p1,h2:p2/master[/db]`
 * and `redis+cluster://[user:password@]h1:p1,h2:p2`. Throws with what is wrong, never with the text, which may hold a
 * password.
 */
export function parseRedisUrl(url: string): RedisAddress {
  if (url.startsWith('unix://')) return { kind: 'socket', path: url.slice('unix://'.length) };
  if (url.startsWith('/')) return { kind: 'socket', path: url };
  if (/^rediss?:\/\/[^,]+$/.test(url)) return { kind: 'single', url };
  const [, kind, login, hosts = '', name = '', db = '0'] = SEVERAL.exec(url) ?? [];
  if (kind === undefined)
    throw new Error(
      'must be redis://host:port, rediss://host:port, unix:///path, redis+sentinel://host:port,host:port/<master name> or redis+cluster://host:port,host:port',
    );
  const credentials = login === undefined ? {} : parseLogin(login);
  if (kind === 'cluster') {
    if (name !== '') throw new Error('redis+cluster:// takes hosts only, no name and no database');
    return { kind, nodes: parseHosts(hosts, REDIS_PORT), ...credentials };
  }
  if (name === '')
    throw new Error('redis+sentinel:// needs the name of the master behind the hosts, as in /mymaster');
  return {
    kind: 'sentinel',
    sentinels: parseHosts(hosts, SENTINEL_PORT),
    masterName: decodeURIComponent(name),
    db: Number(db),
    ...credentials,
  };
}

function parseLogin(login: string): { username?: string | undefined; password?: string | undefined } {
  const [username = '', password] = login.split(':').map(decodeURIComponent);
  return { username: username === '' ? undefined : username, password };
}

function parseHosts(text: string, defaultPort: number): RedisHost[] {
  return text.split(',').map((one) => {
    const [, host = '', port] = /^([^:]+|\[[^\]]+\])(?::(\d+))?$/.exec(one.trim()) ?? [];
    const number = Number(port ?? defaultPort);
    if (host === '' || number < 1 || number > 65_535) throw new Error('has a host that is not host:port');
    return { host: host.replace(/^\[|\]$/g, ''), port: number };
  });
}
