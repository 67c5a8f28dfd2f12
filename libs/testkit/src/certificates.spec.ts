import { once } from 'node:events';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createTestAuthority } from './certificates';

it('issues certificates that hold for whoever trusts the authority, and for nobody else', async () => {
  const authority = await createTestAuthority();
  const server = createServer(await authority.issue(), (_request, response) => response.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const status = (ca?: string) =>
    new Promise<number | string | undefined>((resolve) => {
      const sent = request({ host: '127.0.0.1', port, agent: false, ...(ca ? { ca } : {}) }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      sent.end();
    });
  const stranger = await createTestAuthority();
  expect(await status(authority.cert)).toBe(200);
  expect(await status()).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  expect(await status(stranger.cert)).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE/);
  server.close();
});
