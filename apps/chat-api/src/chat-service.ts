import type { CallOutcome, CallRecord } from '@flexpush/actor-runtime';
import { replyKeys, sessionIdSchema, TOKEN_PATTERN, userIdSchema, type RecordOf } from '@flexpush/contracts';
import type { Logger } from '@flexpush/process';
import {
  invalidAnswer,
  notFoundAnswer,
  replyAnswer,
  retryAnswer,
  sessionFailureAnswer,
  unavailableAnswer,
  type Answer,
  type AnsweredCaller,
} from './answer';
import { createRecord, parseChatRequest } from './chat-request';
import { optionalField, type Parsed } from './field-parser';
import type { FormFields } from './form';
import {
  derivedCreateId,
  derivedIdentity,
  derivedRequestId,
  keyHashOf,
  randomIdentity,
  randomRecordId,
} from './identity';
import type { KeyObfuscator } from './obfuscated-key';
import { operations, type RequestEnvelope } from './operations';

/** The way to the sessions; undefined while NATS or the shard count is not there yet. */
export interface CallPort {
  call(record: CallRecord): Promise<CallOutcome>;
}

export interface ChatServiceOptions {
  /** Where replies to this process go (`subjects.reply`). */
  callerId: string;
  keySecret: string;
  obfuscator: KeyObfuscator;
  calls: () => CallPort | undefined;
  log: Logger;
}

export interface SessionRequest {
  /** Of `operations` or `fileOperations`, or one of CometD's own. */
  operation: string;
  service: string;
  chatId: string;
  idempotencyKey: string | undefined;
}

/** Who asks; credentials that are missing are answered as wrong ones. */
export interface SessionCaller extends SessionRequest {
  userId: string | undefined;
  secureKey: string | undefined;
}

/** The credentials of CONTRACT 1.1; the alias is not judged. */
export function credentialsIn(fields: FormFields): Pick<SessionCaller, 'userId' | 'secureKey'> {
  return { userId: optionalField(fields, 'userId'), secureKey: optionalField(fields, 'secureKey') };
}

/** Where the CometD client is that requests a chat, and who must know of the chat before anything can come of it. */
export interface Follower {
  address: string;
  begin(record: RecordOf<'session.create'>): void;
}

/** Services are parts of option sections (`chat.<service>`), so they have the same letters. */
const SERVICE_PATTERN = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * Calls of one participant that may be under way here. A refresh may answer with megabytes: what one customer asks for at once
 * must not be what the shard of all others is busy with.
 */
export const CALLS_PER_PARTICIPANT_MAX = 32;
const TOO_MANY_OF_ONE =
  'too many requests of this participant are under way; the same request may be retried';

const NOT_READY = 'the service is not connected yet; the same request may be retried';

/** The operations of the Chat API, without HTTP: fields in, answer out. */
export class ChatService {
  /** Calls under way, by participant. */
  private readonly underWay = new Map<string, number>();

  constructor(private readonly options: ChatServiceOptions) {}

  async requestChat(request: {
    service: string;
    fields: FormFields;
    idempotencyKey: string | undefined;
    /** The CometD client that asks; it must be ready for events before the record is in the log. */
    follower?: Follower;
  }): Promise<Answer> {
    const { service, fields, idempotencyKey, follower } = request;
    if (!SERVICE_PATTERN.test(service)) return notFoundAnswer();
    const parsed = parseChatRequest(fields);
    if (parsed.kind === 'invalid') return invalidAnswer(parsed);
    const { keySecret, obfuscator, callerId } = this.options;
    const identity =
      idempotencyKey === undefined ? randomIdentity() : derivedIdentity(keySecret, service, idempotencyKey);
    const id =
      idempotencyKey === undefined ? randomRecordId() : derivedCreateId(keySecret, service, idempotencyKey);
    const record = createRecord(parsed.value, {
      id,
      service,
      identity,
      obfuscator,
      replyTo: callerId,
      address: follower?.address,
    });
    follower?.begin(record);
    const answer = await this.call(record, identity);
    this.logPushProblem(answer, {
      chatService: service,
      sessionId: identity.sessionId,
      userId: identity.userId,
    });
    // A chat that may not exist is not named: the client starts anew, or repeats with its Idempotency-Key.
    return answer.body.statusCode === 1 ? { ...answer, body: { ...answer.body, chatId: '' } } : answer;
  }

  /** An operation of `operations`: its form in, its answer out. */
  async onSession(request: SessionRequest & { fields: FormFields }): Promise<Answer> {
    const { operation, service, chatId, fields, idempotencyKey } = request;
    const parse = operations.get(operation)?.parse;
    if (!parse) return notFoundAnswer();
    const caller = { operation, service, chatId, idempotencyKey, ...credentialsIn(fields) };
    return this.perform(caller, (envelope) => parse(envelope, fields));
  }

  /** Judges who asks, makes the record and waits for its reply. */
  async perform(
    caller: SessionCaller,
    parse: (envelope: RequestEnvelope) => Parsed<CallRecord>,
  ): Promise<Answer> {
    const { service, chatId, userId, secureKey, operation, idempotencyKey } = caller;
    if (!SERVICE_PATTERN.test(service)) return notFoundAnswer();
    if (!TOKEN_PATTERN.test(chatId)) return sessionFailureAnswer('unknown-session', { chatId });
    if (userId === undefined || secureKey === undefined) return sessionFailureAnswer('bad-key', { chatId });
    if (!TOKEN_PATTERN.test(userId)) return sessionFailureAnswer('unknown-participant', { chatId });
    const keyHash = keyHashOf(this.plainKey(secureKey, { chatId, userId }));
    const id =
      idempotencyKey === undefined
        ? randomRecordId()
        : derivedRequestId({ sessionId: chatId, userId, keyHash, operation, idempotencyKey });
    const envelope = {
      v: 1 as const,
      id,
      sessionId: sessionIdSchema.parse(chatId),
      userId: userIdSchema.parse(userId),
      keyHash,
      replyTo: this.options.callerId,
    };
    const parsed = parse(envelope);
    if (parsed.kind === 'invalid') return invalidAnswer(parsed, chatId);
    return this.call(parsed.value, { sessionId: chatId, userId, secureKey });
  }

  /** CometD clients know the obfuscated key only; REST takes it in place of its own, for the same participant. */
  private plainKey(given: string, { chatId, userId }: { chatId: string; userId: string }): string {
    const content = this.options.obfuscator.decode(given);
    return content?.sessionId === chatId && content.userId === userId ? content.secureKey : given;
  }

  private async call(record: CallRecord, caller: AnsweredCaller): Promise<Answer> {
    const calls = this.options.calls();
    if (!calls) return unavailableAnswer(NOT_READY, record.sessionId);
    const participant = `${caller.sessionId}:${caller.userId}`;
    const count = this.underWay.get(participant) ?? 0;
    if (count >= CALLS_PER_PARTICIPANT_MAX) return unavailableAnswer(TOO_MANY_OF_ONE, record.sessionId);
    this.underWay.set(participant, count + 1);
    try {
      return this.answerTo(await calls.call(record), record, caller);
    } finally {
      const left = (this.underWay.get(participant) ?? 1) - 1;
      if (left > 0) this.underWay.set(participant, left);
      else this.underWay.delete(participant);
    }
  }

  private answerTo(outcome: CallOutcome, record: CallRecord, caller: AnsweredCaller): Answer {
    switch (outcome.kind) {
      case 'answered':
        return replyAnswer(outcome.answer, caller);
      case 'timeout':
        this.logTrouble(record, 'timeout');
        return retryAnswer('timeout', record.sessionId);
      case 'refused':
        if (!outcome.retryable) return invalidAnswer({ code: 400, advice: outcome.reason }, record.sessionId);
        this.logTrouble(record, outcome.reason);
        return retryAnswer('log-refused', record.sessionId);
      default:
        return outcome satisfies never;
    }
  }

  private logTrouble(record: CallRecord, reason: string): void {
    const { type, id, sessionId } = record;
    this.options.log.warn({ recordType: type, recordId: id, sessionId, reason }, 'chat.call-unanswered');
  }

  private logPushProblem(
    answer: Answer,
    ids: { chatService: string; sessionId: string; userId: string },
  ): void {
    const reason = answer.body.userData?.[replyKeys.pushReason];
    if (reason !== undefined) this.options.log.info({ ...ids, reason }, 'chat.started-without-push');
  }
}
