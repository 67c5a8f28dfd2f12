import { BOUNDS } from '@flexpush/contracts';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { Readable } from 'node:stream';
import { FORM_FIELDS_MAX, NOT_UTF8, TOO_MANY_FIELDS, type FormFields } from './form';
import type { UploadSpool } from './upload-spool';

export interface UploadedFile {
  name: string;
  /** To be read to its end, or destroyed. Throws `UploadError` when the upload breaks off. */
  content: Readable;
}

export type FormStart =
  | { kind: 'file'; file: UploadedFile; fields: FormFields }
  | { kind: 'invalid'; advice: string }
  /** There is no room now for uploads that send the file first. */
  | { kind: 'busy'; advice: string };

/** The client sent something that is no upload, or stopped sending; `busy`: others need its place. */
export class UploadError extends Error {
  readonly code = 'UPLOAD';
  readonly retryable = false;
  readonly kind: 'invalid' | 'too-slow' | 'busy';

  constructor(message: string, options: { kind?: UploadError['kind']; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.kind = options.kind ?? 'invalid';
  }
}

const FIELD_BYTES_MAX = BOUNDS.userDataValueChars * 4;
/** Of all fields of an upload; more would not fit into a record anyway. */
const FIELDS_BYTES_MAX = BOUNDS.recordBytes;
const HEADER_BYTES_MAX = 8_192;
/** Small, so that what waits between the socket and the store stays small. */
const HIGH_WATER_BYTES = 65_536;
const FILE_FIELD = 'file';
/** What the parser makes of bytes that are no UTF-8. Who sends the character itself has lost the text already. */
const REPLACEMENT_CHARACTER = '\ufffd';
/** Line ends and the like would go into headers and logs. */
const CONTROL_CHARACTERS = /[\u0000-\u001f\u007f]/g;

/**
 * One `multipart/form-data` body with a file, read as it comes.
 *
 * U1. The content of the file is read only as fast as it is taken.
 * U2. `begin` gives the file once the needed fields are known. Where they stand behind the file, it waits in the spool;
 *     what has no room there is told to send them first.
 * U3. When the body breaks off, whoever waits or reads hears of it.
 */
export class UploadForm {
  private readonly fields = new Map<string, string>();
  private readonly started: Promise<FormStart>;
  private readonly ended: Promise<void>;
  private start!: (start: FormStart) => void;
  private failStart!: (error: UploadError) => void;
  private finish!: () => void;
  private failEnd!: (error: UploadError) => void;
  private readonly parser: BusboyInstance | undefined;
  private file: Readable | undefined;
  private problem: string | undefined;
  private isSpooling = false;
  private fieldBytes = 0;

  constructor(
    private readonly body: Readable,
    contentType: string,
    private readonly options: { needed: readonly string[]; spool: UploadSpool },
  ) {
    this.started = new Promise((resolve, reject) => {
      this.start = resolve;
      this.failStart = reject;
    });
    this.ended = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.failEnd = reject;
    });
    // Nobody may be waiting when it breaks off.
    this.started.catch(() => undefined);
    this.ended.catch(() => undefined);
    this.parser = this.open(contentType);
    if (this.parser) this.read(this.parser);
    else this.refuse('the multipart form names no boundary');
  }

  begin(): Promise<FormStart> {
    return this.started;
  }

  /** The file has come before the needed fields, and is waiting for them. */
  get isFileFirst(): boolean {
    return this.isSpooling;
  }

  /** After the content was read: all fields, those behind the file too. */
  async end(): Promise<{ kind: 'fields'; fields: FormFields } | { kind: 'invalid'; advice: string }> {
    await this.ended;
    return this.problem === undefined
      ? { kind: 'fields', fields: this.fields }
      : { kind: 'invalid', advice: this.problem };
  }

  /** Ends it, wherever it is: whoever reads hears the reason. What is left of the body stays unread. */
  fail(error: UploadError): void {
    this.file?.destroy(error);
    this.failStart(error);
    this.failEnd(error);
  }

  /** Lets go of the body. Resolves when the room of a file that came first is given back. */
  close(): Promise<void> {
    if (this.parser) this.body.unpipe(this.parser);
    this.file?.destroy();
    return this.options.spool.close();
  }

  /** By hand, because a pipeline would destroy the request, and with it the way back for the answer. */
  private read(parser: BusboyInstance): void {
    const { body } = this;
    const brokeOff = (cause?: unknown) => this.fail(new UploadError('the request broke off', { cause }));
    body.once('error', brokeOff);
    body.once('close', () => {
      if (!body.readableEnded) brokeOff();
    });
    parser.once('error', (cause: unknown) => {
      body.unpipe(parser);
      this.fail(new UploadError('the multipart form cannot be read', { cause }));
    });
    parser.once('finish', () => {
      if (!this.file) this.refuse('a part "file" with a file name is required');
      this.finish();
    });
    body.pipe(parser);
  }

  private open(contentType: string): BusboyInstance | undefined {
    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: { 'content-type': contentType },
        fileHwm: HIGH_WATER_BYTES,
        highWaterMark: HIGH_WATER_BYTES,
        limits: {
          files: 1,
          fields: FORM_FIELDS_MAX,
          parts: FORM_FIELDS_MAX + 1,
          fieldSize: FIELD_BYTES_MAX,
          headerPairs: 32,
          headerSize: HEADER_BYTES_MAX,
        },
      });
    } catch {
      // It throws for a content type without a boundary only.
      return undefined;
    }
    parser.on('field', (name, value, _nameTruncated, isTruncated) =>
      this.takeField(name, value, isTruncated),
    );
    parser.on('file', (field, stream, name) => this.takeFile(field, stream as Readable, name));
    // Whatever it says after the first error.
    parser.on('error', () => undefined);
    parser.on('fieldsLimit', () => this.refuse(TOO_MANY_FIELDS));
    parser.on('partsLimit', () => this.refuse(TOO_MANY_FIELDS));
    parser.on('filesLimit', () => this.refuse('one file may be uploaded at a time'));
    return parser;
  }

  private takeField(name: string | undefined, value: string, isTruncated: boolean | undefined): void {
    if (name === undefined) this.refuse('a part of the multipart form has no name');
    else if (isTruncated || (this.fieldBytes += Buffer.byteLength(value)) > FIELDS_BYTES_MAX)
      this.refuse(`${name.slice(0, 80)} is too long`);
    else if ((name + value).includes(REPLACEMENT_CHARACTER)) this.refuse(NOT_UTF8);
    else this.fields.set(name, value);
  }

  private takeFile(field: string | undefined, stream: Readable, name: string | undefined): void {
    stream.on('error', () => undefined);
    this.file = stream;
    const shown = name?.replace(CONTROL_CHARACTERS, '').trim() ?? '';
    const problem =
      field !== FILE_FIELD
        ? 'the file must be the part "file"'
        : shown === ''
          ? 'the file has no name'
          : shown.includes(REPLACEMENT_CHARACTER)
            ? NOT_UTF8
            : shown.length > BOUNDS.fileNameChars
              ? `the name of the file may have at most ${BOUNDS.fileNameChars} characters`
              : undefined;
    if (problem !== undefined) {
      this.refuse(problem);
      stream.resume();
      return;
    }
    if (this.options.needed.every((needed) => this.fields.has(needed)))
      this.start({ kind: 'file', file: { name: shown, content: stream }, fields: this.fields });
    else
      void this.spool(shown, stream).catch((cause: unknown) =>
        this.fail(new UploadError('the request broke off', { cause })),
      );
  }

  /** Keeps a file that came before its credentials until all is read. */
  private async spool(name: string, stream: Readable): Promise<void> {
    this.isSpooling = true;
    const { spool } = this.options;
    for await (const part of stream as AsyncIterable<Buffer>) {
      const written = await spool.write(part);
      if (written === 'taken') continue;
      if (written === 'too-large') this.refuse(this.tooLargeToWait());
      else this.start({ kind: 'busy', advice: noRoom[written] });
      return;
    }
    await this.ended;
    const content = Readable.from(readAgain(spool), { objectMode: false, highWaterMark: HIGH_WATER_BYTES });
    content.on('error', () => undefined);
    this.file = content;
    this.start({ kind: 'file', file: { name, content }, fields: this.fields });
  }

  private tooLargeToWait(): string {
    const { needed, spool } = this.options;
    return `of a file that comes before ${needed.join(' and ')} at most ${spool.bytesMax} bytes are taken; send them before the file`;
  }

  /** A refusal before the file is the answer; one behind it waits for `end`. */
  private refuse(advice: string): void {
    this.problem ??= advice;
    this.start({ kind: 'invalid', advice });
  }
}

const noRoom = {
  full: 'too many uploads send the file before their credentials; send them first, or try again later',
  failed: 'a file cannot wait for its credentials now; send them first, or try again later',
};

async function* readAgain(spool: UploadSpool): AsyncGenerator<Buffer> {
  try {
    yield* spool.read();
  } catch (cause) {
    throw new UploadError(noRoom.failed, { kind: 'busy', cause });
  }
}
