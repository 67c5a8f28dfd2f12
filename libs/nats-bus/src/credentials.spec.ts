import { freePort } from '@flexpush/testkit';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connectBus } from './bus';

it('shows the credentials of the URL to a server that asks for them', async () => {
  const port = await freePort();
  const server = spawn('nats-server', [
    '--addr',
    '127.0.0.1',
    '--port',
    String(port),
    '--user',
    'actor',
    '--pass',
    'p@ss',
  ]);
  const exited = once(server, 'exit');
  try {
    const bus = await connectBus({ url: `nats://actor:p%40ss@127.0.0.1:${port}`, name: 'spec' });
    await bus.flush();
    expect(bus.connected()).toBe(true);
    await bus.close();
  } finally {
    server.kill();
    await exited;
  }
});
