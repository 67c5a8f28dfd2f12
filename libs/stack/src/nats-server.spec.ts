import { natsEnvironment } from './nats-server';

it.each([
  [1, '1'],
  [2, '1'],
  [7, '3'],
  [16, '8'],
])('with %s cores the server runs on %s', (cores, threads) => {
  expect(natsEnvironment({ PATH: '/bin' }, cores)).toEqual({ PATH: '/bin', GOMAXPROCS: threads });
});

it('leaves what the user has set', () => {
  expect(natsEnvironment({ GOMAXPROCS: '5' }, 16)).toEqual({ GOMAXPROCS: '5' });
});
