import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { errnoOf, StackError } from './errors';

export const LOOPBACK = '127.0.0.1';

/**
 * Free ports are drawn below Linux's ephemeral range (32768 and up). A port from that range can be taken by
 * any outgoing connection while its owner restarts, and the owner would then fail to come back.
 */
const FREE_PORT_FIRST = 20_000;
const FREE_PORT_LAST = 32_000;
const FREE_PORT_ATTEMPT_MAX = 200;

/** Ports already handed out here. They are not bound yet, so a probe alone would give them out twice. */
const handedOut = new Set<number>();

/** A port of 127.0.0.1 that nobody listens on now and that this process has not been given before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < FREE_PORT_ATTEMPT_MAX; attempt += 1) {
    const port = randomInt(FREE_PORT_FIRST, FREE_PORT_LAST + 1);
    if (handedOut.has(port)) continue;
    if (await isPortFree(port)) {
      handedOut.add(port);
      return port;
    }
  }
  throw new StackError(
    'port-busy',
    `no free port was found between ${FREE_PORT_FIRST} and ${FREE_PORT_LAST}`,
  );
}

/** True when 127.0.0.1:port can be listened on at this moment. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => {
      const code = errnoOf(error);
      if (code === 'EADDRINUSE' || code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export interface PortWish {
  /** For the error message, such as `--nats-port`. */
  readonly label: string;
  /** Asked for by a person: taken, or an error. */
  readonly asked?: number | undefined;
  /** Nice to have, best first; busy ones are passed over in silence. */
  readonly preferred: readonly (number | undefined)[];
  /** Ports that other wishes of the same start have taken already. */
  readonly taken: Set<number>;
}

/** Settles one wish and adds the result to `taken`. Throws `port-busy` only for a port that was asked for. */
export async function choosePort(wish: PortWish): Promise<number> {
  if (wish.asked !== undefined) {
    if (wish.taken.has(wish.asked) || !(await isPortFree(wish.asked))) {
      throw new StackError('port-busy', `port ${wish.asked} (${wish.label}) is already in use`);
    }
    wish.taken.add(wish.asked);
    return wish.asked;
  }
  for (const port of wish.preferred) {
    if (port !== undefined && !wish.taken.has(port) && (await isPortFree(port))) {
      wish.taken.add(port);
      return port;
    }
  }
  let port = await freePort();
  while (wish.taken.has(port)) port = await freePort();
  wish.taken.add(port);
  return port;
}
