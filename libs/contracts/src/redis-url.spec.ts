import { parseRedisUrl } from './redis-url';

describe('parseRedisUrl', () => {
  it.each([
    ['redis://h:6379', { kind: 'single', url: 'redis://h:6379' }],
    ['rediss://u:p@h:6379/2', { kind: 'single', url: 'rediss://u:p@h:6379/2' }],
    ['unix:///run/redis.sock', { kind: 'socket', path: '/run/redis.sock' }],
    ['/run/redis.sock', { kind: 'socket', path: '/run/redis.sock' }],
    [
      'redis+sentinel://a:1,b/mymaster',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 'a', port: 1 },
          { host: 'b', port: 26379 },
        ],
        masterName: 'mymaster',
        db: 0,
      },
    ],
    [
      'redis+sentinel://me:p%40ss@[::1]:7/m/3',
      {
        kind: 'sentinel',
        sentinels: [{ host: '::1', port: 7 }],
        masterName: 'm',
        db: 3,
        username: 'me',
        password: 'p@ss',
      },
    ],
    [
      'redis+cluster://:secret@a:1,b:2',
      {
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
        ],
        username: undefined,
        password: 'secret',
      },
    ],
  ])('reads %s', (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address);
  });

  it.each([
    'http://h:1',
    'redis://a:1,b:2',
    'redis+sentinel://a:1',
    'redis+sentinel:///mymaster',
    'redis+cluster://a:1/name',
    'redis+cluster://a:99999',
    'redis+cluster://a:secret-word@b:x',
    '',
  ])('refuses %j, and does not show it', (url) => {
    expect(() => parseRedisUrl(url)).toThrow(/must be|needs|takes|not host:port/);
    expect(() => parseRedisUrl(url)).not.toThrow(/secret-word/);
  });
});
