import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from './serve';

export interface ReceiverSettings {
  /** How long each POST takes here. */
  readonly delayMs: number;
}

/** A customer's HTTP server that takes its time, answers 200 and counts. */
serve<ReceiverSettings>(async ({ delayMs }) => {
  let received = 0;
  let seen: Set<string> | undefined;
  const server = createServer((request, response) => {
    if (seen === undefined) request.resume();
    else void noteDevice(request, seen);
    request.on('end', () => {
      const finish = () => {
        received++;
        response.writeHead(200, { 'content-length': '0' }).end();
      };
      if (delayMs > 0) setTimeout(finish, delayMs);
      else finish();
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: () => `http://127.0.0.1:${port}/push`,
    received: () => received,
    /** From now on bodies are read, which costs: not while something is measured. */
    watch: () => void (seen = new Set()),
    /** Different devices since `watch`. */
    devicesSeen: () => seen?.size ?? 0,
  };
});

async function noteDevice(request: IncomingMessage, seen: Set<string>): Promise<void> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  seen.add((JSON.parse(text) as { deviceId: string }).deviceId);
}
