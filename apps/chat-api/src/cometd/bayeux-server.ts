import type { CallClock } from '@flexpush/actor-runtime';
import { randomBytes } from 'node:crypto';
import {
  bayeuxErrors,
  HANDSHAKE_ADVICE,
  NO_ADVICE,
  positionOf,
  readBatch,
  unsuccessful,
  type Advice,
  type BayeuxMessage,
  type BayeuxReply,
} from './bayeux-message';
import { BayeuxSession, type EndCause, type HeldHandle, type Socket } from './bayeux-session';
import { COMETD_BOUNDS } from './bounds';

export const connectionTypes = ['websocket', 'long-polling', 'callback-polling'] as const;
export type ConnectionType = (typeof connectionTypes)[number];

const BAYEUX_VERSION = '1.0';
/** 160 bits; a client id alone lets one speak for the client, were it not for the cookie. */
const ID_BYTES = 20;

/** One for each chat service; for both directions. */
const SERVICE_CHANNEL = /^\/service\/chatV2\/([A-Za-z0-9_.-]{1,64})$/;

/** The connection that a batch came over. */
export interface Link {
  type: ConnectionType;
  /** The cookie; set by the handshake where the client has none yet. */
  browserId: string | undefined;
  /** WebSocket only. */
  socket?: Socket;
}

/** What happens behind the protocol. */
export interface BayeuxHandler {
  /** Undefined when clients may connect; else why not. */
  closedBecause(): { reason: string; isPassing: boolean } | undefined;
  publish(session: BayeuxSession, service: string, message: BayeuxMessage): void;
  ended(session: BayeuxSession, cause: EndCause, position: number | undefined): void;
}

export interface BayeuxOptions {
  clock: CallClock;
  sessionsMax: number;
  timeoutMs: number;
  maxIntervalMs: number;
  onHandshake: (outcome: string) => void;
  onRefused: (error: string) => void;
}

/** How a batch is answered: at once, and when its /meta/connect is over. */
export interface BatchAnswer {
  replies: BayeuxReply[];
  /** Calls back once with all that goes with the answer to /meta/connect. */
  connect?: (answer: (texts: string[]) => void) => HeldHandle;
}

type Handled =
  { kind: 'reply'; reply: BayeuxReply } | { kind: 'connect'; message: BayeuxMessage; session: BayeuxSession };

export function newBayeuxId(): string {
  return randomBytes(ID_BYTES).toString('base64url');
}

/** The protocol (Bayeux 1.0) without a transport: batches in, answers out. */
export class BayeuxServer {
  private readonly sessions = new Map<string, BayeuxSession>();
  /** How many sessions each cookie has. */
  private readonly browsers = new Map<string, number>();
  private stopping = false;

  constructor(
    private readonly handler: BayeuxHandler,
    private readonly options: BayeuxOptions,
  ) {}

  get sessionCount(): number {
    return this.sessions.size;
  }

  get isStopping(): boolean {
    return this.stopping;
  }

  session(clientId: string): BayeuxSession | undefined {
    return this.sessions.get(clientId);
  }

  /** Does anyone have this cookie? Calls outside Bayeux must come with one that is in use. */
  knowsBrowser(browserId: string): boolean {
    return this.browsers.has(browserId);
  }

  /** Total: whatever comes, every message of the batch gets an answer. */
  receive(text: string, link: Link): BatchAnswer {
    const batch = readBatch(text);
    if (batch.kind === 'refused') {
      this.options.onRefused('malformed');
      return { replies: [batch.reply] };
    }
    const answer: BatchAnswer = { replies: [] };
    const isAlone = batch.messages.length === 1;
    for (const item of batch.messages) {
      if (item.kind === 'bad') this.options.onRefused('malformed');
      const handled: Handled =
        item.kind === 'bad' ? { kind: 'reply', reply: item.reply } : this.handle(item.message, link);
      if (handled.kind === 'reply') answer.replies.push(handled.reply);
      else if (answer.connect) answer.replies.push(malformedConnect(handled.message));
      else {
        const { session, message } = handled;
        const mayWait = isAlone || link.socket !== undefined;
        answer.connect = (done) => session.connect(message, mayWait, done);
      }
    }
    return answer;
  }

  /** No more handshakes; clients hear what waits for them and that they should begin anew. */
  stop(): void {
    this.stopping = true;
    for (const session of [...this.sessions.values()]) session.leave();
  }

  private handle(message: BayeuxMessage, link: Link): Handled {
    const { channel } = message;
    const reply = (one: BayeuxReply): Handled => ({ kind: 'reply', reply: one });
    if (channel === '/meta/handshake') return reply(this.handshake(message, link));
    const session = message.clientId === undefined ? undefined : this.sessions.get(message.clientId);
    if (!session || session.browserId !== link.browserId) {
      this.options.onRefused('unknown-client');
      return reply(unsuccessful(message, bayeuxErrors.unknownClient, HANDSHAKE_ADVICE));
    }
    switch (channel) {
      case '/meta/connect':
        if (link.socket) session.attach(link.socket);
        return { kind: 'connect', message, session };
      case '/meta/disconnect':
        session.end('disconnect', positionOf(message));
        return reply(succeeded(message, { clientId: session.clientId }));
      case '/meta/subscribe':
      case '/meta/unsubscribe':
        return reply(this.subscription(message));
      default:
        return reply(this.publish(session, message));
    }
  }

  private handshake(message: BayeuxMessage, link: Link): BayeuxReply {
    const refuse = (outcome: string, error: string, advice: Advice) => {
      this.options.onHandshake(outcome);
      return {
        ...unsuccessful(message, error, advice),
        version: BAYEUX_VERSION,
        supportedConnectionTypes: [...connectionTypes],
      };
    };
    const types = message.supportedConnectionTypes ?? [];
    if (!types.some((type) => (connectionTypes as readonly string[]).includes(type)))
      return refuse(
        'malformed',
        bayeuxErrors.malformed('supportedConnectionTypes names none that is supported'),
        NO_ADVICE,
      );
    const closed = this.handler.closedBecause();
    if (closed?.isPassing === false)
      return refuse('switched-off', bayeuxErrors.denied(message.channel, closed.reason), NO_ADVICE);
    const advice: Advice = { reconnect: 'handshake', interval: COMETD_BOUNDS.retryMs };
    if (closed) return refuse('not-ready', bayeuxErrors.unavailable(closed.reason), advice);
    if (this.stopping) return refuse('stopping', bayeuxErrors.unavailable('this server is stopping'), advice);
    if (this.sessions.size >= this.options.sessionsMax)
      return refuse('full', bayeuxErrors.unavailable('too many clients are connected'), advice);
    this.options.onHandshake('ok');
    return this.begin(message, link);
  }

  private begin(message: BayeuxMessage, link: Link): BayeuxReply {
    const { clock, timeoutMs, maxIntervalMs } = this.options;
    link.browserId ??= newBayeuxId();
    const isAcknowledging = message.ext?.['ack'] === true;
    const session: BayeuxSession = new BayeuxSession({
      clientId: newBayeuxId(),
      browserId: link.browserId,
      timeoutMs,
      maxIntervalMs,
      isAcknowledging,
      clock,
      onEnd: (cause, position) => {
        this.forget(session);
        this.handler.ended(session, cause, position);
      },
    });
    this.sessions.set(session.clientId, session);
    this.browsers.set(session.browserId, (this.browsers.get(session.browserId) ?? 0) + 1);
    return succeeded(message, {
      version: BAYEUX_VERSION,
      minimumVersion: BAYEUX_VERSION,
      supportedConnectionTypes: [...connectionTypes],
      clientId: session.clientId,
      advice: { reconnect: 'retry', interval: 0, timeout: timeoutMs, maxInterval: maxIntervalMs },
      ...(isAcknowledging ? { ext: { ack: true } } : {}),
    });
  }

  private forget({ clientId, browserId }: BayeuxSession): void {
    this.sessions.delete(clientId);
    const left = (this.browsers.get(browserId) ?? 1) - 1;
    if (left > 0) this.browsers.set(browserId, left);
    else this.browsers.delete(browserId);
  }

  /** A service channel has no subscribers: what comes back on it comes with or without a subscription (CONTRACT 2.1). */
  private subscription(message: BayeuxMessage): BayeuxReply {
    const { subscription } = message;
    const channels = subscription === undefined ? [] : [subscription].flat();
    const wrong = channels.find((channel) => !SERVICE_CHANNEL.test(channel));
    const error =
      channels.length === 0
        ? bayeuxErrors.malformed('subscription is missing')
        : wrong === undefined
          ? undefined
          : bayeuxErrors.denied(wrong, 'only /service/chatV2/{service} may be subscribed to');
    if (error === undefined) return succeeded(message, { subscription });
    this.options.onRefused('subscription');
    return { ...unsuccessful(message, error), subscription };
  }

  private publish(session: BayeuxSession, message: BayeuxMessage): BayeuxReply {
    const service = SERVICE_CHANNEL.exec(message.channel)?.[1];
    if (service === undefined) {
      this.options.onRefused('unknown-channel');
      return unsuccessful(message, bayeuxErrors.unknownChannel(message.channel));
    }
    if (session.operations >= COMETD_BOUNDS.operationsPerClient) {
      this.options.onRefused('too-many');
      return unsuccessful(message, bayeuxErrors.tooMany('too many operations are under way'));
    }
    this.handler.publish(session, service, message);
    return succeeded(message);
  }
}

function succeeded({ channel, id }: BayeuxMessage, fields: Record<string, unknown> = {}): BayeuxReply {
  return { channel, ...(id === undefined ? {} : { id }), successful: true, ...fields };
}

function malformedConnect(message: BayeuxMessage): BayeuxReply {
  return unsuccessful(message, bayeuxErrors.malformed('one /meta/connect at a time'));
}
