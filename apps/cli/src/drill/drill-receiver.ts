import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { nowMs } from './canary';
import type { ReceiverDelay } from './history';

/** How the customer's server behaves. `slow` answers after a delay, `reset` ends the connection without an answer. */
export type ReceiverMode =
  | { readonly kind: 'ok' }
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'reset' };

export interface PushText {
  readonly text: string;
  /** Start of the request, epoch ms. */
  readonly atMs: number;
}

export interface ReceiverPlace {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

const BODY_BYTES_MAX = 1_048_576;
const PROBE_PATH = '/probe';
const PROBE_EVERY_MS = 100;
/** What is quicker says nothing. */
const DELAY_NOTED_MS = 100;
/** More than any drill lasts, at one each tenth of a second. */
const DELAYS_MAX = 10_000;

/** A customhttp web server that can be told to misbehave, to go away and to come back on the same port. */
export class DrillReceiver {
  private server: Server | undefined;
  private place: ReceiverPlace;
  private mode: ReceiverMode = { kind: 'ok' };
  private readonly delays: ReceiverDelay[] = [];
  private probeSeen: ((atMs: number) => void) | undefined;

  private constructor(
    place: ReceiverPlace,
    private readonly onPush: (push: PushText) => void,
  ) {
    this.place = place;
  }

  static async start(place: ReceiverPlace, onPush: (push: PushText) => void): Promise<DrillReceiver> {
    const receiver = new DrillReceiver(place, onPush);
    await receiver.open();
    return receiver;
  }

  get port(): number {
    return this.place.port;
  }

  behave(mode: ReceiverMode): void {
    this.mode = mode;
  }

  /** Listens again on the same port. */
  async open(): Promise<void> {
    const server = createServer((request, response) => this.receive(request, response));
    server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.place.port, this.place.host, resolve);
    });
    this.place = { host: this.place.host, port: (server.address() as AddressInfo).port };
    this.server = server;
  }

  /** Refuses connections from now on and cuts those that are there. */
  async close(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  /**
   * Asks itself over a fresh connection, again and again, until `stopped`. A server takes one new connection with each
   * turn of its event loop, so that in a burst of them a request may be seen seconds after it was sent.
   */
  async probe(stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted && this.delays.length < DELAYS_MAX) {
      const fromMs = nowMs();
      const toMs = await new Promise<number | undefined>((resolve) => {
        this.probeSeen = resolve;
        get({ ...this.place, path: PROBE_PATH, agent: false }, (answer) => answer.resume())
          .on('error', () => resolve(undefined))
          .on('close', () => resolve(undefined));
      });
      if (toMs !== undefined && toMs - fromMs >= DELAY_NOTED_MS) this.delays.push({ fromMs, toMs });
      await sleep(PROBE_EVERY_MS, undefined, { signal: stopped }).catch(() => undefined);
    }
  }

  /** When it was slow to see what had been sent to it. */
  slowTimes(): readonly ReceiverDelay[] {
    return this.delays;
  }

  private receive(request: IncomingMessage, response: ServerResponse): void {
    const atMs = nowMs();
    if (request.url === PROBE_PATH) {
      this.probeSeen?.(atMs);
      response.writeHead(204).end();
      return;
    }
    const { mode } = this;
    if (mode.kind === 'reset') {
      request.socket.destroy();
      return;
    }
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > BODY_BYTES_MAX) request.destroy();
    });
    request.on('end', () => {
      const status = mode.kind === 'status' ? mode.status : 200;
      const answer = () => response.writeHead(status, { 'content-length': '0' }).end();
      if (mode.kind === 'slow') setTimeout(answer, mode.delayMs).unref();
      else answer();
      // A server that answers 500 has not taken the push.
      if (status < 300) this.onPush({ text, atMs });
    });
  }
}
