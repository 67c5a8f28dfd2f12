import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { startTestNats, startTestRedis } from './test-servers';

function firstLine(
  endpoint: { path: string } | { host: string; port: number },
  greeting = '',
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(endpoint);
    socket.once('error', reject);
    socket.once('data', (chunk) => {
      socket.destroy();
      resolve(chunk.toString('utf8').split('\r\n')[0] ?? '');
    });
    socket.write(greeting);
  });
}

describe('test servers', () => {
  it('gives a redis on a unix socket and removes it', async () => {
    const redis = await startTestRedis();
    expect(await firstLine({ path: redis.socketPath }, 'PING\r\n')).toBe('+PONG');
    await redis.stop();
    expect(existsSync(dirname(redis.socketPath))).toBe(false);
  });

  it('gives a nats with JetStream', async () => {
    const nats = await startTestNats();
    expect(await firstLine({ host: '127.0.0.1', port: nats.server.port }, 'PING\r\n')).toContain(
      '"jetstream":true',
    );
    await nats.stop();
    expect(nats.server.currentPid).toBeUndefined();
  });
});
