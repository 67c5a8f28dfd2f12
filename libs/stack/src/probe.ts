import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { StackError } from './errors';

/** One probe must not outlive the poll that asked for it by much. */
const PROBE_TIMEOUT_MS = 2_000;
const POLL_FIRST_MS = 10;
const POLL_MAX_MS = 200;

export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * Sends `greeting` (if any) over a raw socket and returns what came back until `isComplete` is content.
 * Undefined when nobody answers, the peer hangs up early or it takes longer than two seconds.
 */
export function exchange(
  endpoint: Endpoint,
  greeting: string,
  isComplete: (text: string) => boolean,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket: Socket = connect(endpoint);
    const finish = (answer: string | undefined) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish(undefined));
    socket.once('error', () => finish(undefined));
    socket.once('close', () => finish(undefined));
    socket.once('connect', () => greeting !== '' && socket.write(greeting));
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      if (isComplete(text)) finish(text);
    });
  });
}

/** True when a GET answers 200. Any other answer or none is "not yet". */
export function isHttpReady(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = request(url, { agent: false, timeout: PROBE_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    probe.once('timeout', () => probe.destroy(new Error('probe timed out')));
    probe.once('error', () => resolve(false));
    probe.end();
  });
}

/**
 * Whether this process itself listens on the TCP port, as /proc tells. A stranger on the same port would answer a
 * probe before our own service has had the time to fail. Without /proc the answer is the benefit of the doubt.
 */
export function listensOn(pid: number, port: number): boolean {
  const sockets = listeningSockets(port);
  if (sockets === undefined) return true;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(linkOf(`/proc/${pid}/fd/${fd}`)));
  } catch {
    // The process has ended.
    return false;
  }
}

const TCP_LISTEN = '0A';

/** Names (`socket:[inode]`) of the sockets that listen on a port; undefined without /proc. */
function listeningSockets(port: number): Set<string> | undefined {
  const sockets = new Set<string>();
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text: string;
    try {
      text = readFileSync(table, 'utf8');
    } catch {
      // tcp6 is missing where IPv6 is off; tcp is missing only where there is no /proc.
      if (table === '/proc/net/tcp') return undefined;
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === TCP_LISTEN && fields[1]?.endsWith(`:${hexPort}`))
        sockets.add(`socket:[${fields[9]}]`);
    }
  }
  return sockets;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // The descriptor was closed meanwhile.
    return '';
  }
}

export interface PollOptions {
  readonly timeoutMs: number;
  /** Ends the wait early; the poll then returns false. */
  readonly signal?: AbortSignal;
}

/** Asks again and again, at growing intervals, until the answer is true. False at the time-out. */
export async function pollUntil(isDone: () => Promise<boolean>, options: PollOptions): Promise<boolean> {
  const deadlineMs = performance.now() + options.timeoutMs;
  let pauseMs = POLL_FIRST_MS;
  while (options.signal?.aborted !== true) {
    if (await isDone()) return true;
    if (performance.now() >= deadlineMs) return false;
    await sleep(Math.min(pauseMs, Math.max(1, deadlineMs - performance.now())));
    pauseMs = Math.min(pauseMs * 2, POLL_MAX_MS);
  }
  return false;
}

/** Waits until `GET <url>/readyz` answers 200 (`url` may name the path itself). Throws `not-ready` at the time-out. */
export async function waitHttpReady(url: string, options: PollOptions): Promise<void> {
  const target = url.endsWith('/readyz') ? url : new URL('/readyz', url).href;
  if (await pollUntil(() => isHttpReady(target), options)) return;
  throw new StackError('not-ready', `${target} was not ready within ${options.timeoutMs} ms`, true);
}
