import { errorCodes } from '@flexpush/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import {
  failure,
  invalidAnswer,
  notEnteredAnswer,
  sessionFailureAnswer,
  unknownOperationAnswer,
  type Answer,
} from '../answer';
import type { SessionCaller } from '../chat-service';
import { optionalField } from '../field-parser';
import { parseUrlEncoded, type Form, type FormFields } from '../form';
import { httpFailureAnswer, internalFailureAnswer, sendAnswer } from '../http-answer';
import { parseMultipart } from '../multipart-form';
import { sendBehind } from '../request-desk';
import type { RequestGate } from '../request-gate';
import type { RequestJournal } from '../request-journal';
import type { UploadRequest } from '../transfer-desk';
import { browserIdOf } from './cookie';
import type { ChatIdentity } from './followed-chat';

/** The file operations of REST. */
export interface NtfFiles {
  limits(caller: SessionCaller): Promise<Answer>;
  /** `callerOf` gets the needed fields, which may stand before or behind the file. */
  upload(
    request: UploadRequest,
    needed: readonly string[],
    callerOf: (fields: FormFields) => SessionCaller,
  ): Promise<Answer>;
  download(caller: SessionCaller, fileId: string): Promise<Answer>;
  delete(caller: SessionCaller, fileId: string): Promise<Answer>;
}

export interface ChatNtfOptions {
  appName: string;
  requestBytesMax: number;
  files: NtfFiles;
  gate: RequestGate;
  journal: RequestJournal;
  /** Does a connected client have this cookie? */
  knowsBrowser(browserId: string): boolean;
  identify(fields: FormFields): ChatIdentity | undefined;
}

/** Operations by the names of CONTRACT 2.3, and those that metrics know; an SDK writes the first one wrong. */
export const ntfOperations: ReadonlyMap<string, string> = new Map([
  ['fileGetLimits', 'file/limits'],
  ['fileGetsLimits', 'file/limits'],
  ['fileUpload', 'file'],
  ['fileDownload', 'file/download'],
  ['fileDelete', 'file/delete'],
]);
const UPLOAD = 'fileUpload';
const UPLOAD_NEEDS = ['operation', 'secureKey'];

/** The one path; its multipart bodies may carry a file. */
export function ntfRoute(appName: string): string {
  return `/${appName}/2/chat-ntf`;
}

const UNKNOWN_CLIENT = 402;
/** Of a key that says nothing of a chat. */
const NO_CHAT = '';

/**
 * File operations of CometD clients (CONTRACT 2.3): plain HTTP with the cookie of the handshake, one path for all of
 * them, and the obfuscated key in place of path and credentials.
 */
export class ChatNtf {
  constructor(private readonly options: ChatNtfOptions) {}

  async serve(fastify: FastifyInstance): Promise<void> {
    await fastify.register((scope, _options, done) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser(
        'application/x-www-form-urlencoded',
        { parseAs: 'buffer', bodyLimit: this.options.requestBytesMax },
        (_request, body, parsed) => parsed(null, parseUrlEncoded(Buffer.from(body))),
      );
      // Left unread: it may carry a file.
      scope.addContentTypeParser('multipart/form-data', (_request, payload, parsed) => parsed(null, payload));
      scope.setErrorHandler((error, request, reply) => this.refuse(error, request, reply));
      scope.post(ntfRoute(this.options.appName), (request, reply) => this.run(request, reply));
      done();
    });
  }

  private async run(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { gate, journal, knowsBrowser } = this.options;
    const browserId = browserIdOf(request.headers.cookie);
    if (browserId === undefined || !knowsBrowser(browserId)) {
      sendBehind(request, reply, journal.begin({ operation: 'unknown' })(unknownClientAnswer()));
      return;
    }
    const entry = gate.enter();
    if (entry !== 'entered') {
      sendBehind(request, reply, journal.begin({ operation: 'unknown' })(notEnteredAnswer(entry)));
      return;
    }
    try {
      sendBehind(request, reply, await this.perform(request));
      // A shutdown waits for what is being sent.
      await finished(reply.raw).catch(() => undefined);
    } finally {
      gate.leave();
    }
  }

  private async perform(request: FastifyRequest): Promise<Answer> {
    const form = await this.readForm(request);
    if (form.kind === 'upload') return this.upload(form.request);
    if (form.kind === 'malformed')
      return this.options.journal.begin({ operation: 'unknown' })(
        invalidAnswer({ code: errorCodes.badRequest, advice: form.reason }),
      );
    const name = form.fields.get('operation') ?? '';
    const done = this.options.journal.begin({ operation: ntfOperations.get(name) ?? 'unknown' });
    return done(await this.onFields(name, form.fields));
  }

  /** A small multipart form is read whole, to see whether there is a file in it; a larger one must have one. */
  private async readForm(
    request: FastifyRequest,
  ): Promise<Form | { kind: 'upload'; request: UploadRequest }> {
    const { body, headers, raw } = request;
    if (!(body instanceof Readable))
      return (body as Form | undefined) ?? { kind: 'form', encoding: 'urlencoded', fields: new Map() };
    const bytes = Number(headers['content-length'] ?? Infinity);
    if (bytes > this.options.requestBytesMax) return { kind: 'upload', request: { raw, headers } };
    const parts: Buffer[] = [];
    for await (const part of raw as AsyncIterable<Buffer>) parts.push(part);
    const whole = Buffer.concat(parts);
    const form = parseMultipart(whole, headers['content-type'] ?? '');
    if (form.kind === 'form') return form;
    return { kind: 'upload', request: { raw: Readable.from([whole], { objectMode: false }), headers } };
  }

  private async upload(request: UploadRequest): Promise<Answer> {
    const done = this.options.journal.begin({ operation: 'file' });
    let identity: ChatIdentity | undefined;
    let refusal: Answer | undefined;
    const answer = await this.options.files.upload(request, UPLOAD_NEEDS, (fields) => {
      identity = this.options.identify(fields);
      if (fields.get('operation') !== UPLOAD)
        refusal = invalidAnswer({
          code: errorCodes.badRequest,
          advice: `only ${UPLOAD} takes a file`,
        });
      else if (!identity) refusal = sessionFailureAnswer('bad-key', { chatId: NO_CHAT });
      // Without credentials nothing is stored.
      return callerOf(refusal ? undefined : identity, 'file');
    });
    return done(refusal ?? shown(answer, identity));
  }

  private async onFields(name: string, fields: FormFields): Promise<Answer> {
    const operation = ntfOperations.get(name);
    if (operation === undefined) return unknownOperationAnswer(name, ntfOperations.keys());
    const identity = this.options.identify(fields);
    if (!identity) return sessionFailureAnswer('bad-key', { chatId: NO_CHAT });
    const caller = callerOf(identity, operation);
    const { files } = this.options;
    if (operation === 'file/limits') return shown(await files.limits(caller), identity);
    if (name === UPLOAD) return invalidFields(caller, 'a part "file" with a file name is required');
    const fileId = optionalField(fields, 'fileId');
    if (fileId === undefined) return invalidFields(caller, 'fileId is required');
    return shown(
      await (operation === 'file/delete' ? files.delete(caller, fileId) : files.download(caller, fileId)),
      identity,
    );
  }

  private refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const given = (error as { statusCode?: unknown } | null)?.statusCode;
    const known = httpFailureAnswer(typeof given === 'number' ? given : 500, this.options);
    if (!known) this.options.journal.failed(error);
    const answer = known ?? internalFailureAnswer();
    this.options.journal.turnedAway({
      method: request.method,
      outcome: answer.outcome,
      httpStatus: answer.status,
    });
    if (!reply.sent) sendAnswer(reply, answer);
  }
}

function callerOf(identity: ChatIdentity | undefined, operation: string): SessionCaller {
  return {
    operation,
    service: identity?.service ?? 'chat-ntf',
    chatId: identity?.sessionId ?? NO_CHAT,
    userId: identity?.userId,
    secureKey: identity?.secureKey,
    idempotencyKey: undefined,
  };
}

/** As everywhere in CometD, the key is the one that the client knows. */
function shown(answer: Answer, identity: ChatIdentity | undefined): Answer {
  if (!identity || answer.body.secureKey === undefined) return answer;
  return { ...answer, body: { ...answer.body, secureKey: identity.obfuscatedKey } };
}

function invalidFields({ chatId }: SessionCaller, advice: string): Answer {
  return invalidAnswer({ code: errorCodes.badRequest, advice }, chatId);
}

/** The same words as on the Bayeux path, in the shape of this one. */
function unknownClientAnswer(): Answer {
  return failure({
    status: 400,
    outcome: 'unknown-client',
    statusCode: 2,
    code: UNKNOWN_CLIENT,
    advice: '402::Unknown client; handshake first, and send the cookie BAYEUX_BROWSER',
  });
}
