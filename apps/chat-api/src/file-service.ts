import { errorCodes, TOKEN_PATTERN, isFileTypeAllowed } from '@flexpush/contracts';
import type { Logger } from '@flexpush/process';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { failure, invalidAnswer, tooSlowAnswer, unavailableAnswer, type Answer } from './answer';
import type { ChatService, SessionCaller } from './chat-service';
import { ok, userDataFields, invalid, type Parsed } from './field-parser';
import { readFileLimits, type FileLimits } from './file-limits';
import type { FormFields } from './form';
import { derivedRequestId, keyHashOf, randomRecordId } from './identity';
import { fileOperations, type RequestEnvelope, type RequestRecord } from './operations';
import type { UploadPlace } from './transfer-desk';
import { UploadError, type UploadForm } from './upload-form';

/** Where the content of files is. What it cannot do because it is away it throws, except in `put`. */
export interface FileStorePort {
  /** Throws what the source throws, and then keeps nothing. `overtaken`: meanwhile another wrote or deleted the file. */
  put(
    fileId: string,
    source: AsyncIterable<Uint8Array>,
  ): Promise<
    | { kind: 'stored'; sizeBytes: number }
    | { kind: 'overtaken' }
    | { kind: 'full' }
    | { kind: 'away'; reason: string }
  >;
  sizeOf(fileId: string): Promise<number | undefined>;
  get(fileId: string): Promise<{ sizeBytes: number; content: AsyncIterable<Uint8Array> } | undefined>;
  delete(fileId: string): Promise<void>;
}

const SAME_UNDER_WAY = 'the same upload is under way; the request may be retried';
const NO_STORE = 'files are not available now; the same request may be retried';
const GONE = { code: errorCodes.notFound, advice: 'the content of the file is no longer kept' };
const NO_AGENT = 'files can be uploaded when an agent has joined';

/** More than the limits of the chat allow. */
class TooLargeError extends Error {
  readonly code = 'TOO_LARGE';
  readonly retryable = false;
  constructor(readonly bytesMax: number) {
    super(`more than ${bytesMax} bytes`);
  }
}

/**
 * Files of chats: their content goes through the store, and everything else through the session like any request.
 *
 * D1. Nothing is stored for who has not shown its credentials, nor does it count as a transfer; the limits are asked for
 *     first, so most of what will be refused is refused before it is read.
 * D2. The fold decides. What it refuses, or what does not come to it, is deleted from the store; what it may have taken
 *     stays.
 * D3. A repeat with the same Idempotency-Key has the same file id: what is stored already stays as it is. Of repeats at
 *     the same time, here or at other processes, one stores its content and the others are told to try again.
 */
export class FileService {
  private readonly storing = new Set<string>();

  constructor(
    private readonly options: {
      chats: Pick<ChatService, 'perform'>;
      store: () => FileStorePort | undefined;
      log: Logger;
    },
  ) {}

  limits(caller: SessionCaller): Promise<Answer> {
    return this.options.chats.perform(
      { ...caller, operation: 'file/limits', idempotencyKey: undefined },
      (envelope) => ok({ type: 'request.fileLimits', ...envelope }),
    );
  }

  /** `callerOf` says who uploads, from the fields that the form was told to need. */
  async upload(
    { form, admit }: UploadPlace,
    callerOf: (fields: FormFields) => SessionCaller,
  ): Promise<Answer> {
    try {
      const start = await form.begin();
      if (start.kind === 'invalid')
        return invalidAnswer({ code: errorCodes.badRequest, advice: start.advice });
      if (start.kind === 'busy') return unavailableAnswer(start.advice);
      const caller = callerOf(start.fields);
      const store = this.options.store();
      if (!store) return unavailableAnswer(NO_STORE, caller.chatId);
      const answer = await this.limits(caller);
      const limits = readFileLimits(answer);
      if (!limits) return answer;
      return admit(caller) ?? (await this.store(form, { caller, limits, store, ...start.file }));
    } catch (error) {
      if (!(error instanceof UploadError)) throw error;
      return brokenOffAnswer(error);
    } finally {
      await form.close();
    }
  }

  /** On success the answer has `content`. */
  async download(caller: SessionCaller, fileId: string): Promise<Answer> {
    const store = this.options.store();
    if (!store) return unavailableAnswer(NO_STORE, caller.chatId);
    const answer = await this.perform(caller, 'download', (envelope) =>
      withFileId(fileId, { type: 'request.fileDownload', fileId, ...envelope }),
    );
    if (answer.body.statusCode !== 0) return answer;
    try {
      const found = await store.get(fileId);
      if (!found) return invalidAnswer(GONE, caller.chatId);
      const name = answer.body.userData?.['file-name'] ?? fileId;
      const stream = await begunStream(found.content);
      return { ...answer, content: { name, sizeBytes: found.sizeBytes, stream } };
    } catch (error) {
      this.options.log.warn({ err: error, sessionId: caller.chatId, fileId }, 'file.not-read');
      return unavailableAnswer(NO_STORE, caller.chatId);
    }
  }

  async delete(caller: SessionCaller, fileId: string): Promise<Answer> {
    const answer = await this.perform(caller, 'delete', (envelope) =>
      withFileId(fileId, { type: 'request.fileDelete', fileId, ...envelope }),
    );
    if (answer.body.statusCode === 0) await this.drop(fileId, caller);
    return answer;
  }

  private async store(form: UploadForm, upload: Upload): Promise<Answer> {
    const fileId = fileIdOf(upload.caller);
    // Repeats at the same time would mix their contents under one id.
    if (this.storing.has(fileId)) return unavailableAnswer(SAME_UNDER_WAY, upload.caller.chatId);
    this.storing.add(fileId);
    try {
      return await this.storeAlone(form, fileId, upload);
    } finally {
      this.storing.delete(fileId);
    }
  }

  private async storeAlone(form: UploadForm, fileId: string, upload: Upload): Promise<Answer> {
    const { caller, store, name, content } = upload;
    // After a repeat that was answered the first time, the limits count the file itself.
    const known = caller.idempotencyKey === undefined ? undefined : await knownSize(store, fileId);
    if (known === 'away') return unavailableAnswer(NO_STORE, caller.chatId);
    if (known === undefined) {
      const refused = refuseEarly(upload);
      if (refused) return refused;
    }
    const stored = known === undefined ? await this.put(fileId, upload) : await skip(content, known);
    if (stored.kind === 'answer') return stored.answer;
    const answer = await this.describe(form, { caller, fileId, name, sizeBytes: stored.sizeBytes });
    const isTaken = answer.body.statusCode === 0 || answer.outcome === 'timeout';
    if (!isTaken && known === undefined) await this.drop(fileId, caller);
    return answer;
  }

  private async put(
    fileId: string,
    { caller, limits, content, store }: Upload,
  ): Promise<{ kind: 'stored'; sizeBytes: number } | { kind: 'answer'; answer: Answer }> {
    const refuse = (answer: Answer) => ({ kind: 'answer' as const, answer });
    try {
      const stored = await store.put(fileId, counted(content, limits));
      if (stored.kind === 'stored') return stored;
      if (stored.kind === 'overtaken') return refuse(unavailableAnswer(SAME_UNDER_WAY, caller.chatId));
      this.options.log.warn({ ...stored, sessionId: caller.chatId, fileId }, 'file.not-stored');
      return refuse(
        stored.kind === 'full' ? storeFullAnswer(caller) : unavailableAnswer(NO_STORE, caller.chatId),
      );
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      return refuse(invalidAnswer(tooLarge(error.bytesMax), caller.chatId));
    }
  }

  /** The fields behind the file, and the record. */
  private async describe(
    form: UploadForm,
    { caller, ...file }: { caller: SessionCaller; fileId: string; name: string; sizeBytes: number },
  ): Promise<Answer> {
    const end = await form.end().catch((error: unknown) => {
      if (error instanceof UploadError) return { kind: 'broken' as const, error };
      throw error;
    });
    if (end.kind === 'broken') return brokenOffAnswer(end.error, caller.chatId);
    if (end.kind === 'invalid')
      return invalidAnswer({ code: errorCodes.badRequest, advice: end.advice }, caller.chatId);
    return this.perform(caller, 'upload', (envelope) => {
      const userData = userDataFields(end.fields);
      if (userData.kind === 'invalid') return userData;
      const more = userData.value.size === 0 ? {} : { userData: Object.fromEntries(userData.value) };
      return ok({ type: 'request.fileUpload', file: { ...file, ...more }, ...envelope });
    });
  }

  private perform(
    caller: SessionCaller,
    operation: keyof typeof fileOperations,
    parse: (envelope: RequestEnvelope) => Parsed<RequestRecord>,
  ): Promise<Answer> {
    return this.options.chats.perform({ ...caller, operation: fileOperations[operation] }, parse);
  }

  /** What cannot be deleted now goes with the age of the store. */
  private async drop(fileId: string, { chatId }: SessionCaller): Promise<void> {
    try {
      await this.options.store()?.delete(fileId);
    } catch (error) {
      this.options.log.warn({ err: error, sessionId: chatId, fileId }, 'file.not-deleted');
    }
  }
}

interface Upload {
  caller: SessionCaller;
  limits: FileLimits;
  store: FileStorePort;
  name: string;
  content: Readable;
}

/** Unguessable, or, for a repeat, the same as the first time. */
function fileIdOf({ chatId, userId = '', secureKey = '', idempotencyKey }: SessionCaller): string {
  const recordId =
    idempotencyKey === undefined
      ? randomRecordId()
      : derivedRequestId({
          sessionId: chatId,
          userId,
          keyHash: keyHashOf(secureKey),
          operation: fileOperations.upload,
          idempotencyKey,
        });
  return createHash('sha256').update(`file\0${recordId}`).digest('hex').slice(0, 32);
}

async function knownSize(store: FileStorePort, fileId: string): Promise<number | undefined | 'away'> {
  return store.sizeOf(fileId).catch(() => 'away');
}

/** What the limits refuse whatever the content is. The fold judges again, with the limits of its time. */
function refuseEarly({ caller, limits, name }: Upload): Answer | undefined {
  if (limits.lacksAgent) return noAgentAnswer(caller);
  if (limits.filesUsed >= limits.filesMax)
    return invalidAnswer({ code: errorCodes.tooManyFiles, advice: String(limits.filesMax) }, caller.chatId);
  if (!isFileTypeAllowed(limits.types, name))
    return invalidAnswer(
      { code: errorCodes.fileTypeNotAllowed, advice: limits.types.join(':') },
      caller.chatId,
    );
  return undefined;
}

/** In the words of the fold. */
function noAgentAnswer({ chatId }: SessionCaller): Answer {
  return failure({
    status: 200,
    outcome: 'refused',
    statusCode: 2,
    code: errorCodes.mediaServer,
    advice: NO_AGENT,
    chatId,
  });
}

function brokenOffAnswer({ kind, message }: UploadError, chatId?: string): Answer {
  switch (kind) {
    case 'invalid':
      return invalidAnswer({ code: errorCodes.badRequest, advice: message }, chatId);
    case 'too-slow':
      return tooSlowAnswer(message, chatId);
    case 'busy':
      return unavailableAnswer(message, chatId);
    default:
      return kind satisfies never;
  }
}

function tooLarge(bytesMax: number): { code: number; advice: string } {
  return { code: errorCodes.fileTooLarge, advice: String(bytesMax) };
}

function storeFullAnswer({ chatId }: SessionCaller): Answer {
  return failure({
    status: 200,
    outcome: 'store-full',
    statusCode: 1,
    code: errorCodes.mediaServer,
    advice: 'the file store is full; try again later',
    chatId,
  });
}

async function* counted(content: Readable, limits: FileLimits): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const part of content as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > limits.fileBytesMax) throw new TooLargeError(limits.fileBytesMax);
    if (bytes > limits.totalBytesMax - limits.totalBytesUsed) throw new TooLargeError(limits.totalBytesMax);
    yield part;
  }
}

/** Reads what is stored already past. */
async function skip(content: Readable, sizeBytes: number): Promise<{ kind: 'stored'; sizeBytes: number }> {
  for await (const _part of content);
  return { kind: 'stored', sizeBytes };
}

function withFileId(fileId: string, record: RequestRecord): Parsed<RequestRecord> {
  return TOKEN_PATTERN.test(fileId)
    ? ok(record)
    : invalid('there is no such file in this chat', errorCodes.notFound);
}

/** A stream whose first part has come: until then a failure can still be told. */
async function begunStream(content: AsyncIterable<Uint8Array>): Promise<Readable> {
  const parts = content[Symbol.asyncIterator]();
  const first = await parts.next();
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      for (let part = first; !part.done; part = await parts.next()) yield part.value;
    } finally {
      await parts.return?.();
    }
  }
  return Readable.from(all(), { objectMode: false, highWaterMark: 1 });
}
