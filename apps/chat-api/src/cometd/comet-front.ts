import type { CallClock } from '@flexpush/actor-runtime';
import {
  errorCodes,
  parseSubscriptionChange,
  type ChatResponse,
  type CometPush,
  type RecordOf,
} from '@flexpush/contracts';
import type { Logger } from '@flexpush/process';
import {
  invalidAnswer,
  sessionFailureAnswer,
  notEnteredAnswer,
  unknownOperationAnswer,
  type Answer,
} from '../answer';
import type { ChatService, SessionCaller } from '../chat-service';
import { ok, optionalField, type Parsed } from '../field-parser';
import type { FormFields } from '../form';
import { internalFailureAnswer } from '../http-answer';
import type { KeyObfuscator } from '../obfuscated-key';
import { positionField, readFields, userDataField } from '../operation-fields';
import type { RequestGate } from '../request-gate';
import type { RequestJournal } from '../request-journal';
import type { BayeuxMessage } from './bayeux-message';
import type { BayeuxHandler, BayeuxServer } from './bayeux-server';
import type { BayeuxSession, EndCause } from './bayeux-session';
import { COMETD_BOUNDS } from './bounds';
import type { CometMetrics } from './comet-metrics';
import { FollowedChat, type ChatIdentity, type ChatPort } from './followed-chat';
import { readOperation, restOperations, type Operation } from './operation-fields';

export interface CometFrontOptions {
  /** The first part of every address of a client here. */
  callerId: string;
  service: ChatService;
  obfuscator: KeyObfuscator;
  gate: RequestGate;
  journal: RequestJournal;
  clock: CallClock;
  metrics: CometMetrics;
  log: Logger;
  /** Undefined when clients may connect; else why not. */
  closedBecause: BayeuxHandler['closedBecause'];
}

/** One publish: who sent it, on which channel, and how its reply is told apart. */
interface Publish {
  session: BayeuxSession;
  service: string;
  channel: string;
  id: string | number | undefined;
}

/**
 * The chat behind the Bayeux clients: operations go to the same service as those of REST, events come by `push`.
 *
 * N1. A client that has gone is reported away for every chat that it followed, with the position that it surely has;
 *     the report is repeated a bounded number of times. What is pushed later finds the client gone and says so.
 */
export class CometFront implements BayeuxHandler {
  private readonly chats = new Map<BayeuxSession, Map<string, FollowedChat>>();
  /** Bounded by the sessions and their chats. */
  private readonly reports = new Set<Promise<void>>();
  private server: BayeuxServer | undefined;

  constructor(private readonly options: CometFrontOptions) {}

  /** The sessions by client id; the server and its handler know each other. */
  use(server: BayeuxServer): void {
    this.server = server;
  }

  closedBecause(): ReturnType<BayeuxHandler['closedBecause']> {
    return this.options.closedBecause();
  }

  publish(session: BayeuxSession, service: string, message: BayeuxMessage): void {
    const { channel, id } = message;
    const publish = { session, service, channel, id };
    session.operations++;
    void this.perform(publish, message.data)
      .catch((error: unknown) => {
        this.options.journal.failed(error);
        this.reply(publish, internalFailureAnswer().body);
      })
      .finally(() => session.operations--);
  }

  /** A notification for a client; `gone` makes the session push to the client's device. */
  push(push: CometPush): 'taken' | 'gone' {
    const session = this.server?.session(push.clientId);
    const chat = session && this.chats.get(session)?.get(chatKey(push));
    if (!session || !chat) return 'gone';
    if (session.isFull()) {
      session.end('queue-full');
      return 'gone';
    }
    chat.push(push);
    return session.hasEnded ? 'gone' : 'taken';
  }

  ended(session: BayeuxSession, cause: EndCause, position: number | undefined): void {
    const { metrics, log } = this.options;
    metrics.ended(cause);
    const chats = [...(this.chats.get(session)?.values() ?? [])];
    this.chats.delete(session);
    const { clientId } = session;
    if (cause === 'queue-full') log.warn({ clientId, cause }, 'comet.client-dropped');
    else log.debug({ clientId, cause, chats: chats.length }, 'comet.client-ended');
    // One number cannot speak for several chats.
    const given = chats.length === 1 ? position : undefined;
    for (const chat of chats) {
      // At an orderly stop clients are back within seconds; only what may not have arrived has to be pushed (N1).
      if (cause === 'stopping' && chat.isSettled) continue;
      const report = this.reportAway(session, chat.who, given ?? chat.confirmedPosition)
        .catch((error: unknown) => this.options.journal.failed(error))
        .finally(() => this.reports.delete(report));
      this.reports.add(report);
    }
  }

  /** Resolves when nobody is still to be reported away. */
  async reported(): Promise<void> {
    await Promise.all(this.reports);
  }

  private async perform(publish: Publish, data: unknown): Promise<void> {
    const operation = readOperation(data);
    if (operation.kind === 'invalid') {
      this.reply(
        publish,
        this.options.journal.begin({ operation: 'unknown' })(invalidAnswer(operation)).body,
      );
      return;
    }
    const { name, fields } = operation.value;
    const done = this.options.journal.begin({ operation: restOperations.get(name) ?? name });
    const { gate } = this.options;
    const entry = gate.enter();
    if (entry !== 'entered') {
      this.reply(publish, done(notEnteredAnswer(entry, fields.get('chatId'))).body);
      return;
    }
    try {
      if (name === 'requestChat') await this.requestChat(publish, fields, done);
      else await this.onChat(publish, operation.value, done);
    } finally {
      gate.leave();
    }
  }

  private async requestChat(publish: Publish, fields: FormFields, done: Done): Promise<void> {
    const { session, service } = publish;
    if (this.chatsOf(session) >= COMETD_BOUNDS.chatsPerClient) {
      this.reply(publish, done(tooManyChats()).body);
      return;
    }
    let chat: FollowedChat | undefined;
    let resolveBody: (body: ChatResponse) => void = () => undefined;
    const body = new Promise<ChatResponse>((resolve) => (resolveBody = resolve));
    // Called before the record is in the log: events may come before the reply does.
    const begin = (record: RecordOf<'session.create'>) => {
      const identity = identityOf(record);
      chat = this.follow(session, publish.channel, identity);
      void chat.begin({ position: 1, identity, replyTo: publish.id, ask: () => body });
    };
    const answer = await this.options.service.requestChat({
      service,
      fields,
      idempotencyKey: undefined,
      follower: { address: this.addressOf(session), begin },
    });
    resolveBody(done(answer).body);
    // Refused before there was a record.
    if (!chat) this.reply(publish, answer.body);
    else if (answer.body.statusCode === 2) this.unfollow(session, chat);
  }

  private async onChat(publish: Publish, { name, fields }: Operation, done: Done): Promise<void> {
    const rest = restOperations.get(name);
    if (rest === undefined && name !== 'requestNotifications') {
      this.reply(publish, done(unknownOperationAnswer(name, cometOperations)).body);
      return;
    }
    const identity = this.identify(publish.service, fields);
    if (!identity) {
      const answer = sessionFailureAnswer('bad-key', { chatId: fields.get('chatId') ?? '' });
      this.reply(publish, done(answer).body);
      return;
    }
    if (rest === undefined) {
      await this.requestNotifications(publish, { identity, fields, done });
      return;
    }
    const answer = done(await this.call(identity, rest, fields));
    this.reply(publish, {
      ...answer.body,
      ...(answer.body.secureKey ? { secureKey: identity.obfuscatedKey } : {}),
    });
  }

  private async requestNotifications(
    publish: Publish,
    { identity, fields, done }: { identity: ChatIdentity; fields: FormFields; done: Done },
  ): Promise<void> {
    const { session } = publish;
    const wanted = readFollow(fields);
    if (wanted.kind === 'invalid') {
      this.reply(publish, done(invalidAnswer(wanted, identity.sessionId)).body);
      return;
    }
    const key = chatKey(identity);
    if (!this.chats.get(session)?.has(key) && this.chatsOf(session) >= COMETD_BOUNDS.chatsPerClient) {
      this.reply(publish, done(tooManyChats()).body);
      return;
    }
    const address = this.addressOf(session);
    const caller = callerOf(identity, 'requestNotifications');
    const ask = () =>
      this.options.service.perform(caller, (envelope) =>
        ok({ type: 'request.follow', address, ...wanted.value, ...envelope }),
      );
    const chat = this.follow(session, publish.channel, identity);
    const body = await chat.begin({
      position: wanted.value.transcriptPosition ?? 1,
      identity,
      replyTo: publish.id,
      ask: async () => done(await ask()).body,
    });
    if (body.statusCode === 2) this.unfollow(session, chat);
  }

  /** By the obfuscated key, or by what REST knows the participant by; undefined: by neither. */
  identify(service: string, fields: FormFields): ChatIdentity | undefined {
    const given = optionalField(fields, 'secureKey');
    if (given === undefined) return undefined;
    const content = this.options.obfuscator.decode(given);
    if (content) {
      const { sessionId, userId, secureKey } = content;
      return { service, sessionId, userId, secureKey, obfuscatedKey: given };
    }
    const sessionId = optionalField(fields, 'chatId');
    const userId = optionalField(fields, 'userId');
    if (sessionId === undefined || userId === undefined) return undefined;
    const obfuscatedKey = this.options.obfuscator.encode({ sessionId, userId, secureKey: given });
    return { service, sessionId, userId, secureKey: given, obfuscatedKey };
  }

  /** An operation that REST has too. */
  private call(identity: ChatIdentity, operation: string, fields: FormFields): Promise<Answer> {
    const { userId, secureKey } = identity;
    const credentials = [
      ['userId', userId],
      ['secureKey', secureKey],
    ] as const;
    const caller = callerOf(identity, operation);
    return this.options.service.onSession({ ...caller, fields: new Map([...fields, ...credentials]) });
  }

  private follow(session: BayeuxSession, channel: string, identity: ChatIdentity): FollowedChat {
    const chats = this.chats.get(session) ?? new Map<string, FollowedChat>();
    this.chats.set(session, chats);
    const key = chatKey(identity);
    const chat = chats.get(key) ?? new FollowedChat(identity, this.portFor(session, channel, identity));
    chats.set(key, chat);
    return chat;
  }

  private unfollow(session: BayeuxSession, chat: FollowedChat): void {
    const chats = this.chats.get(session);
    if (chats?.get(chatKey(chat.who)) === chat) chats.delete(chatKey(chat.who));
  }

  /** Chats that ended make room for others. */
  private chatsOf(session: BayeuxSession): number {
    const chats = this.chats.get(session);
    for (const [key, chat] of chats ?? []) if (chat.chatEnded && chat.isSettled) chats?.delete(key);
    return chats?.size ?? 0;
  }

  private portFor(session: BayeuxSession, channel: string, identity: ChatIdentity): ChatPort {
    return {
      clock: this.options.clock,
      refresh: async (position) => {
        const fields = new Map([['transcriptPosition', String(position)]]);
        return (await this.call(identity, 'refresh', fields)).body;
      },
      deliver: (body, replyTo, onConfirmed) => {
        this.options.metrics.delivered(body.messages.length);
        session.send({ channel, ...(replyTo === undefined ? {} : { id: replyTo }), data: body }, onConfirmed);
      },
      isFull: () => session.isFull(),
      dropClient: () => session.end('queue-full'),
      room: () => session.room(),
      isGone: () => session.hasEnded,
    };
  }

  private async reportAway(session: BayeuxSession, identity: ChatIdentity, position: number): Promise<void> {
    const { log, clock } = this.options;
    const away = {
      type: 'request.away' as const,
      address: this.addressOf(session),
      transcriptPosition: position,
    };
    const caller = callerOf(identity, 'away');
    for (let tries = 1; tries <= COMETD_BOUNDS.tries; tries++) {
      const { body, outcome } = await this.options.service.perform(caller, (envelope) =>
        ok({ ...away, ...envelope }),
      );
      if (body.statusCode !== 1) return;
      const { sessionId } = identity;
      log.warn({ sessionId, clientId: session.clientId, outcome, tries }, 'comet.away-not-reported');
      const delayMs = COMETD_BOUNDS.retryMs * 2 ** (tries - 1);
      await new Promise<void>((resolve) => void clock.setTimer(delayMs, resolve));
    }
  }

  private reply({ session, channel, id }: Publish, body: ChatResponse): void {
    session.send({ channel, ...(id === undefined ? {} : { id }), data: body });
  }

  private addressOf(session: BayeuxSession): string {
    return `${this.options.callerId}/${session.clientId}`;
  }
}

const cometOperations = ['requestChat', 'requestNotifications', ...restOperations.keys()];

type Done = (answer: Answer) => Answer;

function chatKey({ sessionId, userId }: { sessionId: string; userId: string }): string {
  return `${sessionId}/${userId}`;
}

function identityOf(record: RecordOf<'session.create'>): ChatIdentity {
  const { service, sessionId, userId, secureKey, obfuscatedKey } = record;
  return { service, sessionId, userId, secureKey, obfuscatedKey };
}

function callerOf(identity: ChatIdentity, operation: string): SessionCaller {
  const { service, sessionId, userId, secureKey } = identity;
  return { operation, service, chatId: sessionId, userId, secureKey, idempotencyKey: undefined };
}

type Wanted = Pick<RecordOf<'request.follow'>, 'transcriptPosition' | 'subscription'>;

const followFields = [
  positionField('From there on events are wanted.'),
  userDataField('The device that is pushed to while the client is away.'),
];

/** What requestNotifications asks for: a position, and what the user data names of a device (CONTRACT 2.6). */
function readFollow(fields: FormFields): Parsed<Wanted> {
  const read = readFields(fields, followFields);
  if (read.kind === 'invalid') return read;
  const { positions, userData } = read.value;
  const position = positions['transcriptPosition'];
  const subscription = parseSubscriptionChange(userData);
  return ok({
    ...(position === undefined ? {} : { transcriptPosition: position }),
    ...(subscription ? { subscription } : {}),
  });
}

function tooManyChats(): Answer {
  return invalidAnswer({
    code: errorCodes.badRequest,
    advice: `a client may follow at most ${COMETD_BOUNDS.chatsPerClient} chats`,
  });
}
