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
