import type { PushReceiver, Received } from '@flexpush/receiver';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Larger bodies get 413. */
export const BODY_BYTES_MAX = 1_048_576;
/** So many bodies are kept for `GET /received`; older ones go. */
export const RECEIVED_MAX = 1_000;
/** And so many bytes of them, because a thousand bodies of the largest size would not fit. */
const RECEIVED_BYTES_MAX = 64 * 1_048_576;

export interface ReceivedPush {
  readonly receivedAtMs: number;
  readonly path: string;
  readonly body: unknown;
  /** What was read of it, where it was verified. */
  readonly received?: Extract<Received, { kind: 'push' }>;
}

export interface ReceiverOptions {
  readonly delayMs: number;
  readonly onPush: (push: ReceivedPush) => void;
  /** Verifies, reads and drops repeats. Without signing keys any JSON is taken, so that anything can be tried out. */
  readonly pushes?: PushReceiver;
  /** How many bodies are kept; `RECEIVED_MAX` by default. */
  readonly receivedMax?: number;
}

/**
 * A customhttp web server: takes any POST with JSON, keeps the last ones and shows them at `GET /received`.
 * It is plain node:http and @flexpush/receiver, so that it can serve as an example of what a customer has to write.
 */
export function createReceiver(options: ReceiverOptions): Server {
  const received: { readonly push: ReceivedPush; readonly bytes: number }[] = [];
  const receivedMax = options.receivedMax ?? RECEIVED_MAX;
  let keptBytes = 0;

  const keep = (push: ReceivedPush, bytes: number) => {
    received.push({ push, bytes });
    keptBytes += bytes;
    while (received.length > receivedMax || keptBytes > RECEIVED_BYTES_MAX) {
      keptBytes -= received.shift()?.bytes ?? 0;
    }
    options.onPush(push);
  };

  const handlePost = async (request: IncomingMessage, response: ServerResponse, path: string) => {
    const text = await readBody(request);
    if (text === 'too-large') {
      // What is left of the body would be taken for the next request.
      response.setHeader('connection', 'close');
      return answer(response, 413, { error: `the body is larger than ${BODY_BYTES_MAX} bytes` });
    }
    const received = options.pushes?.receive(request.headers, text);
    if (received?.kind === 'refused') return answer(response, received.status, { error: received.reason });
    if (received?.kind === 'repeated') return answer(response, 200, { status: 'repeated' });
    const body = parseJson(text);
    if (body.kind === 'bad') return answer(response, 400, { error: 'the body is not JSON' });
    if (options.delayMs > 0) await sleep(options.delayMs);
    const push = { receivedAtMs: Date.now(), path, body: body.value };
    keep(received === undefined ? push : { ...push, received }, Buffer.byteLength(text));
    return answer(response, 200, { status: 'ok' });
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (request.method === 'POST') return handlePost(request, response, path);
    if (request.method !== 'GET') return answer(response, 405, { error: 'POST a push, or GET /received' });
    if (path === '/healthz' || path === '/readyz') return answer(response, 200, { status: 'ok' });
    if (path === '/received') {
      return answer(
        response,
        200,
        received.map(({ push: { receivedAtMs, path: at, body } }) => ({ receivedAtMs, path: at, body })),
      );
    }
    return answer(response, 404, { error: 'POST a push, or GET /received' });
  };

  return createServer((request, response) => {
    handle(request, response).catch(() => {
      // The sender hung up in the middle of its body: there is nobody to answer.
      response.destroy();
    });
  });
}

async function readBody(request: IncomingMessage): Promise<string | 'too-large'> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop early must not cut the connection, or the sender would never read its 413.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return 'too-large';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): { kind: 'good'; value: unknown } | { kind: 'bad' } {
  try {
    return { kind: 'good', value: JSON.parse(text) };
  } catch {
    // The sender learns it by the 400.
    return { kind: 'bad' };
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
