import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from './serve';

export interface ReceiverSettings {
  /** How long each POST takes here. */
  readonly delayMs: number;
  /** Ports, each a destination of its own; one unless told otherwise. */
  readonly ports?: number;
}

/** A customer's HTTP server that takes its time, answers 200 and counts. */
serve<ReceiverSettings>(async ({ delayMs, ports = 1 }) => {
  let received = 0;
  let seen: Set<string> | undefined;
  const receive = (request: IncomingMessage, response: ServerResponse) => {
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
  };
  const urls: string[] = [];
  while (urls.length < ports) {
    const server = createServer(receive);
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}/push`);
  }
  return {
    url: () => urls[0],
    urls: () => urls,
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
