import { parseNatsUrl } from './nats-url';

it.each([
  { name: 'one server', url: 'nats://127.0.0.1:4222', address: { servers: ['nats://127.0.0.1:4222'] } },
  { name: 'a cluster', url: 'nats://a:4222, b:4223', address: { servers: ['nats://a:4222', 'b:4223'] } },
  {
    name: 'user and password, percent-encoded',
    url: 'nats://actor:p%40ss@a:4222,nats://b:4222',
    address: { servers: ['nats://a:4222', 'nats://b:4222'], user: 'actor', pass: 'p@ss' },
  },
  { name: 'a token', url: 'tls://s3cr3t@a:4222', address: { servers: ['tls://a:4222'], token: 's3cr3t' } },
])('reads $name', ({ url, address }) => {
  expect(parseNatsUrl(url)).toEqual(address);
});
