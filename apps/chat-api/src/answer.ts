import { errorCodes, type CallReply, type ChatResponse, type StatusCode } from '@flexpush/contracts';
import type { Readable } from 'node:stream';
import type { Invalid } from './field-parser';

/** What goes back over HTTP. `outcome` is a word for metrics and logs. */
export interface Answer {
  status: number;
  outcome: string;
  body: ChatResponse;
  headers?: Record<string, string>;
  /** Of the reply to `file/limits`; not sent. */
  hasAgent?: boolean;
  /** Sent in place of the body: a file. */
  content?: { name: string; sizeBytes: number; stream: Readable };
}

interface Failure {
  status: number;
  outcome: string;
  statusCode: StatusCode;
  code: number;
  advice: string;
  chatId?: string;
  chatEnded?: boolean;
  alias?: string;
  headers?: Record<string, string>;
}

/** Longer ids are none of ours and are not sent back. */
const CHAT_ID_CHARS_MAX = 64;
const OPERATION_CHARS_SHOWN = 80;
const RETRY_AFTER_S = '1';

export function failure(options: Failure): Answer {
  const {
    status,
    outcome,
    statusCode,
    code,
    advice,
    chatId = '',
    chatEnded = false,
    alias,
    headers,
  } = options;
  return {
    status,
    outcome,
    body: {
      statusCode,
      chatEnded,
      chatId: chatId.length <= CHAT_ID_CHARS_MAX ? chatId : '',
      messages: [],
      ...(alias === undefined ? {} : { alias }),
      errors: [{ code, advice }],
    },
    ...(headers === undefined ? {} : { headers }),
  };
}

/** R5 of CONTRACT 1.7: the request itself is wrong. */
export function invalidAnswer({ code, advice }: Omit<Invalid, 'kind'>, chatId?: string): Answer {
  return failure({ status: 400, outcome: 'invalid', statusCode: 2, code, advice, chatId });
}

export function notFoundAnswer(advice = 'there is no such path or operation'): Answer {
  return failure({ status: 404, outcome: 'not-found', statusCode: 2, code: errorCodes.notFound, advice });
}

/** Of CometD, where operations are no paths. */
export function unknownOperationAnswer(operation: string, known: Iterable<string>): Answer {
  const shown = JSON.stringify(operation.slice(0, OPERATION_CHARS_SHOWN));
  return notFoundAnswer(`there is no operation ${shown}; there are ${[...known].join(', ')}`);
}

export function unsupportedMediaTypeAnswer(
  advice = 'send application/x-www-form-urlencoded; a chat may also be requested with multipart/form-data, and a file is uploaded with it',
): Answer {
  return failure({
    status: 415,
    outcome: 'unsupported-media-type',
    statusCode: 2,
    code: errorCodes.unsupportedMediaType,
    advice,
  });
}

/** Nothing of it was done; a better connection may bring it. */
export function tooSlowAnswer(advice: string, chatId?: string): Answer {
  return failure({
    status: 408,
    outcome: 'too-slow',
    statusCode: 1,
    code: errorCodes.badRequest,
    advice,
    chatId,
  });
}

/** This replica takes no more at the moment; another may. */
export function unavailableAnswer(advice: string, chatId?: string): Answer {
  return failure({
    status: 503,
    outcome: 'busy',
    statusCode: 1,
    code: errorCodes.unavailable,
    advice,
    chatId,
    headers: { 'retry-after': RETRY_AFTER_S },
  });
}

/** The gate has not let the request in. */
export function notEnteredAnswer(entry: 'full' | 'closed', chatId?: string): Answer {
  const advice = entry === 'full' ? 'too many requests are under way' : 'this server is stopping';
  return unavailableAnswer(`${advice}; the same request may be retried`, chatId);
}

/** C6 and R4 of the contract: nothing is known to be lost, and the same request may be repeated. */
export function retryAnswer(outcome: 'timeout' | 'log-refused', chatId?: string): Answer {
  return failure({
    status: 200,
    outcome,
    statusCode: 1,
    code: errorCodes.mediaServer,
    advice: 'temporarily unavailable; the same request may be retried',
    chatId,
  });
}

type SessionFailure = 'unknown-session' | 'unknown-participant' | 'bad-key' | 'removed';

/**
 * The flex codes of CONTRACT 1.6. An unknown session and an unknown participant look alike, so that a stranger does
 * not learn which chats exist.
 */
const sessionFailureAdvice: Record<SessionFailure, string> = {
  'unknown-session': '8201: no such user in the session',
  'unknown-participant': '8201: no such user in the session',
  'bad-key': '8210: bad secure key',
  removed: '8209: the user was logged out earlier',
};

/** R4: HTTP 200, but this chat is over for the caller. */
export function sessionFailureAnswer(
  outcome: SessionFailure,
  context: { chatId: string; alias?: string },
): Answer {
  return failure({
    status: 200,
    outcome,
    statusCode: 2,
    chatEnded: true,
    code: errorCodes.mediaServer,
    advice: sessionFailureAdvice[outcome],
    ...context,
  });
}

/** Who is told of a reply: what stands in the answer beside it. */
export interface AnsweredCaller {
  sessionId: string;
  userId: string;
  secureKey: string;
}

/** The fold's reply as the contract's response (CONTRACT 1.3). The secure key goes back to its owner only. */
export function replyAnswer(
  { reply, alias, messages }: Pick<CallReply, 'reply' | 'alias' | 'messages'>,
  caller: AnsweredCaller,
): Answer {
  const chatId = caller.sessionId;
  switch (reply.outcome) {
    case 'ok':
      return {
        status: 200,
        outcome: 'ok',
        ...(reply.hasAgent === undefined ? {} : { hasAgent: reply.hasAgent }),
        body: {
          statusCode: 0,
          chatId,
          userId: caller.userId,
          secureKey: caller.secureKey,
          alias,
          messages: reply.notices ? [...messages, ...reply.notices] : messages,
          chatEnded: reply.chatEnded,
          monitored: reply.monitored,
          ...(reply.nextPosition === undefined ? {} : { nextPosition: reply.nextPosition }),
          ...(reply.userData === undefined ? {} : { userData: reply.userData }),
        },
      };
    case 'unknown-session':
    case 'unknown-participant':
    case 'bad-key':
    case 'removed':
      return sessionFailureAnswer(reply.outcome, { chatId, alias });
    case 'refused':
      return failure({
        // Validation or the session's own no (CONTRACT 6 #38).
        status: reply.code === errorCodes.mediaServer ? 200 : 400,
        outcome: 'refused',
        statusCode: 2,
        code: reply.code ?? errorCodes.badRequest,
        advice: reply.reason ?? 'the request was refused',
        chatId,
        chatEnded: reply.chatEnded,
        alias,
      });
    default:
      return reply.outcome satisfies never;
  }
}
