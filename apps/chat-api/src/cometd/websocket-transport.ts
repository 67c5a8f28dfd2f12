import type { CallClock } from '@flexpush/actor-runtime';
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { refusedBatch } from './bayeux-message';
import { newBayeuxId, type BayeuxServer, type Link } from './bayeux-server';
import type { BayeuxSession, Socket } from './bayeux-session';
import { COMETD_BOUNDS } from './bounds';
import { browserCookie, browserIdOf, cameByHttps } from './cookie';

export interface WebSocketTransportOptions {
  appName: string;
  /** A larger frame closes the connection with 1009. */
  requestBytesMax: number;
  connectionsMax: number;
  /** A client must connect so soon after its handshake. */
  maxIntervalMs: number;
  clock: CallClock;
  server: BayeuxServer;
  /** Whether the request is of a page that may not call; counted there. */
  refusesPage: (headers: IncomingHttpHeaders) => boolean;
  /** Nobody used the socket in time. */
  onUnused: () => void;
}

/** Going away, as a process does that stops (RFC 6455). */
const CLOSE_GOING_AWAY = 1001;
const CLOSE_UNSUPPORTED_DATA = 1003;
const CLOSE_POLICY = 1008;
/** A refused upgrade is answered, and then its connection is cut off, closed by the other side or not. */
const LINGER_MS = 1_000;

/**
 * WebSocket on the same path. All messages of a connection reach the same process, so the cookie is needed only for calls
 * beside it; it is set with the upgrade.
 *
 * W1. A socket that no client has connected through, or whose last client has gone, is closed after
 *     `unusedSocketMs` + `maxIntervalMs`, whatever else comes through it: so long a client has that handshakes in time.
 */
export class WebSocketTransport {
  private readonly sockets: WebSocketServer;
  private readonly newBrowserIds = new WeakMap<IncomingMessage, string>();

  constructor(private readonly options: WebSocketTransportOptions) {
    this.sockets = new WebSocketServer({
      noServer: true,
      maxPayload: options.requestBytesMax,
      perMessageDeflate: false,
      clientTracking: true,
    });
    this.sockets.on('headers', (headers, request) => {
      const browserId = this.newBrowserIds.get(request);
      if (browserId !== undefined)
        headers.push(`Set-Cookie: ${browserCookie(browserId, cameByHttps(request))}`);
    });
  }

  listen(http: Server): void {
    http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  close(): void {
    for (const socket of this.sockets.clients) socket.close(CLOSE_GOING_AWAY, 'this server is stopping');
    this.sockets.close();
  }

  /** Sockets that do not answer the close in time. */
  terminate(): void {
    for (const socket of this.sockets.clients) socket.terminate();
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== `/${this.options.appName}/cometd`) {
      refuseUpgrade(socket, '404 Not Found');
      return;
    }
    // Browsers ask nobody before they open a WebSocket to another origin.
    if (this.options.refusesPage(request.headers)) {
      refuseUpgrade(socket, '403 Forbidden');
      return;
    }
    if (this.sockets.clients.size >= this.options.connectionsMax) {
      refuseUpgrade(socket, '503 Service Unavailable');
      return;
    }
    const known = browserIdOf(request.headers.cookie);
    const browserId = known ?? newBayeuxId();
    if (known === undefined) this.newBrowserIds.set(request, browserId);
    this.sockets.handleUpgrade(request, socket, head, (opened) => this.serve(opened, browserId));
  }

  private serve(socket: WebSocket, browserId: string): void {
    const sessions = new Set<BayeuxSession>();
    const use = this.watchUse(socket);
    const channel = this.socketOf(socket, sessions, use);
    const link: Link = { type: 'websocket', browserId, socket: channel };
    // ws closes by itself after an error, with the code that fits.
    socket.on('error', () => undefined);
    socket.on('message', (content: Buffer, isBinary: boolean) => {
      if (isBinary) {
        channel.send([JSON.stringify(refusedBatch('send text'))]);
        socket.close(CLOSE_UNSUPPORTED_DATA);
        return;
      }
      const answer = this.options.server.receive(content.toString('utf8'), link);
      if (answer.replies.length > 0) channel.send(answer.replies.map((one) => JSON.stringify(one)));
      answer.connect?.((texts) => channel.send(texts));
      // Who does not read its answers is not read from either; or they would all lie here.
      if (!channel.hasRoom()) socket.pause();
    });
    socket.on('close', () => {
      use.begin();
      for (const session of sessions) session.detach(channel);
    });
  }

  /** Closes the socket unless its use begins, or begins again, in time (W1). */
  private watchUse(socket: WebSocket): SocketUse {
    const { clock, maxIntervalMs, onUnused } = this.options;
    const arm = () =>
      clock.setTimer(COMETD_BOUNDS.unusedSocketMs + maxIntervalMs, () => {
        onUnused();
        socket.close(CLOSE_POLICY, 'no client is connected');
      });
    let cancel = arm();
    return {
      begin: () => cancel(),
      end: () => {
        cancel();
        if (socket.readyState === socket.OPEN) cancel = arm();
      },
    };
  }

  private socketOf(socket: WebSocket, sessions: Set<BayeuxSession>, use: SocketUse): Socket {
    const hasRoom = () => socket.bufferedAmount < COMETD_BOUNDS.socketBufferBytes;
    return {
      hasRoom,
      attached: (session) => {
        sessions.add(session);
        use.begin();
      },
      detached: (session) => {
        sessions.delete(session);
        if (sessions.size === 0) use.end();
      },
      send: (texts) => {
        if (socket.readyState !== socket.OPEN) return;
        socket.send(`[${texts.join(',')}]`, () => {
          if (!hasRoom()) return;
          if (socket.isPaused) socket.resume();
          for (const session of sessions) session.resume();
        });
      },
    };
  }
}

interface SocketUse {
  begin(): void;
  end(): void;
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(linger));
}
