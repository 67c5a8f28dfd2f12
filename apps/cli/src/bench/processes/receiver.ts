import { createServer, type AddressInfo, type Socket } from 'node:net';
import { serve } from './serve';

export interface ReceiverSettings {
  /** How long each POST takes here. */
  readonly delayMs: number;
  /** Ports, each a destination of its own; one unless told otherwise. */
  readonly ports?: number;
}

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const HEAD_END = '\r\n\r\n';

/**
 * A customer's HTTP server that takes its time, answers 200 and counts. It shares the cores with what is measured, so it
 * reads no more of HTTP than where a body ends: that of Node costs more than half of what a POST costs its sender.
 */
serve<ReceiverSettings>(async ({ delayMs, ports = 1 }) => {
  let received = 0;
  let seen: Set<string> | undefined;
  const receive = (socket: Socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    const answer = () => {
      received++;
      socket.write(ANSWER);
    };
    let rest: Buffer | undefined;
    socket.on('data', (chunk) => {
      rest = rest ? Buffer.concat([rest, chunk]) : chunk;
      for (let body = bodyIn(rest); body; body = bodyIn(rest)) {
        seen?.add(deviceOf(rest.subarray(body.from, body.to)));
        rest = rest.subarray(body.to);
        if (delayMs > 0) setTimeout(answer, delayMs);
        else answer();
      }
      if (rest.length === 0) rest = undefined;
    });
  };
  const urls: string[] = [];
  while (urls.length < ports) {
    const server = createServer(receive);
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

/** Where the body of the first request lies, if all of it is here. */
function bodyIn(bytes: Buffer): { from: number; to: number } | undefined {
  const headTo = bytes.indexOf(HEAD_END);
  if (headTo < 0) return undefined;
  const length = /content-length: *(\d+)/i.exec(bytes.toString('latin1', 0, headTo))?.[1] ?? '0';
  const from = headTo + HEAD_END.length;
  const to = from + Number(length);
  return to <= bytes.length ? { from, to } : undefined;
}

function deviceOf(body: Buffer): string {
  return (JSON.parse(body.toString('utf8')) as { deviceId: string }).deviceId;
}
