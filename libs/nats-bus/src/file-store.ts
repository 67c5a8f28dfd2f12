import { FILE_BUCKET, parseJson } from '@flexpush/contracts';
import { AckPolicy, DeliverPolicy, headers, nanos, NatsError, type JetStreamManager } from 'nats';
import { createHash, randomBytes } from 'node:crypto';
import type { NatsBus } from './bus';
import { refusal } from './store-message';

/**
 * What became of a file: `overtaken` when another upload under its id, or its deletion, came between; `full` when the store
 * takes no more, `away` when it does not answer or is not there.
 */
export type StoreResult =
  | { kind: 'stored'; sizeBytes: number }
  | { kind: 'overtaken' }
  | { kind: 'full' }
  | { kind: 'away'; reason: string };

export interface StoredContent {
  sizeBytes: number;
  /** To be read once. Throws when a part does not come, or when the content is not what was stored. */
  content: AsyncIterable<Uint8Array>;
}

/** What stands under an object's subject; the format of JetStream object stores (ADR-20), which `nats object` reads too. */
interface ObjectInfo {
  name: string;
  bucket: string;
  /** In the subject of its chunks. */
  nuid: string;
  size: number;
  chunks: number;
  digest: string;
  mtime: string;
  deleted?: boolean;
  options: { max_chunk_size: number };
}

const STREAM = `OBJ_${FILE_BUCKET}`;
const CHUNK_BYTES = 128 * 1024;
/** Chunks on their way to the store; with what is being gathered they are all that an upload keeps in memory. */
const CHUNKS_UNSTORED_MAX = 4;
/** Chunks fetched at once by a download. */
const CHUNKS_FETCHED_MAX = 4;
const PUBLISH_TIMEOUT_MS = 5_000;
const FETCH_EXPIRES_MS = 3_000;
/** A reader slower than this between two fetches has gone. */
const CONSUMER_INACTIVE_MS = 120_000;
const NO_MESSAGE = 10_037;
const WRONG_LAST_SEQUENCE = 10_071;
/** Of a deletion, when uploads under the same id come between. */
const DELETE_TRIES_MAX = 5;
const STORE_FULL = new Set([10_023, 10_047, 10_077]);

/**
 * The content of files, in a JetStream object store. The client's own object store publishes an upload as fast as it
 * comes and queues a download as fast as the server sends it, so a slow side would fill the memory with whole files;
 * this one writes and reads the same format with few chunks at a time.
 *
 * F1. A file is there whole or not at all: its description is written after the last chunk is stored.
 * F2. At most CHUNKS_UNSTORED_MAX chunks of an upload and CHUNKS_FETCHED_MAX of a download are in memory.
 * F3. What an upload leaves behind that does not end is purged, or else goes with the bucket's age.
 * F4. The content under an id is that of one upload, whoever else writes it at the same time: chunks stand under a name of
 *     each upload, and a description is only written over the one that was there when its upload began. Who comes too late
 *     purges its own chunks and no others.
 */
export class FileStore {
  private constructor(
    private readonly bus: NatsBus,
    private readonly jsm: JetStreamManager,
  ) {}

  /** The bucket may be made later; until then everything is `away`. */
  static async open(bus: NatsBus): Promise<FileStore> {
    return new FileStore(bus, await bus.connection.jetstreamManager({ checkAPI: false }));
  }

  /** Stores what the source yields. Throws what the source throws; then nothing is kept. */
  async put(fileId: string, source: AsyncIterable<Uint8Array>): Promise<StoreResult> {
    const nuid = randomBytes(16).toString('hex');
    const upload = new Upload(this.bus, chunkSubject(nuid));
    try {
      const before = await this.find(fileId);
      for await (const bytes of source) await upload.add(bytes);
      const { size, chunks, digest } = await upload.finish();
      const info: ObjectInfo = {
        name: fileId,
        bucket: FILE_BUCKET,
        nuid,
        size,
        chunks,
        digest,
        mtime: new Date().toISOString(),
        options: { max_chunk_size: CHUNK_BYTES },
      };
      const described = await this.describeNew(info, before.seq);
      if (described === 'overtaken') {
        await this.purgeIfPossible(nuid);
        return { kind: 'overtaken' };
      }
      if (before.info) await this.purgeIfPossible(before.info.nuid);
      return { kind: 'stored', sizeBytes: size };
    } catch (error) {
      await upload.settle();
      if (!(error instanceof UnknownOutcomeError)) await this.purgeIfPossible(nuid);
      const cause = error instanceof UnknownOutcomeError ? error.cause : error;
      if (!(cause instanceof NatsError)) throw cause;
      if (STORE_FULL.has(cause.api_error?.err_code ?? 0)) return { kind: 'full' };
      return { kind: 'away', reason: refusal(cause) };
    }
  }

  /** Bytes of the file, or undefined when there is none. Throws when the store does not answer. */
  async sizeOf(fileId: string): Promise<number | undefined> {
    return (await this.find(fileId)).info?.size;
  }

  /** Undefined when there is no such file. Throws when the store does not answer. */
  async get(fileId: string): Promise<StoredContent | undefined> {
    const { info } = await this.find(fileId);
    return info && { sizeBytes: info.size, content: this.read(info) };
  }

  /** Without effect when there is no such file. Throws when the store does not answer. */
  async delete(fileId: string): Promise<void> {
    for (let tries = 0; tries < DELETE_TRIES_MAX; tries++) {
      const { info, seq } = await this.find(fileId);
      if (!info) return;
      const deleted = { ...info, size: 0, chunks: 0, digest: '', deleted: true };
      if ((await this.describe(deleted, seq)) === 'overtaken') continue;
      await this.purge(info.nuid);
      return;
    }
    throw new Error(`file ${fileId} is written faster than it can be deleted`);
  }

  private async *read(info: ObjectInfo): AsyncGenerator<Uint8Array> {
    const name = `flexpush-file-${randomBytes(6).toString('hex')}`;
    await this.jsm.consumers.add(STREAM, {
      name,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.All,
      filter_subject: chunkSubject(info.nuid),
      inactive_threshold: nanos(CONSUMER_INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    });
    try {
      const consumer = await this.bus.connection.jetstream().consumers.get(STREAM, name);
      const hash = createHash('sha256');
      let bytes = 0;
      for (let left = info.chunks; left > 0;) {
        const max_messages = Math.min(left, CHUNKS_FETCHED_MAX);
        const before = left;
        for await (const { data } of await consumer.fetch({ max_messages, expires: FETCH_EXPIRES_MS })) {
          hash.update(data);
          // More than was announced would be taken for the next answer on the connection.
          if ((bytes += data.length) > info.size)
            throw new Error(`file ${info.name} is longer than described`);
          // Before the last chunk goes out: a damaged file must not arrive as a complete one.
          if (--left === 0 && (bytes !== info.size || digestOf(hash.digest()) !== info.digest))
            throw new Error(`the content of file ${info.name} is not what was stored`);
          yield data;
        }
        if (left === before) throw new Error(`${left} chunks of file ${info.name} did not come`);
      }
    } finally {
      // The server forgets it by itself; deleting it now only spares memory.
      this.jsm.consumers.delete(STREAM, name).catch(() => undefined);
    }
  }

  /** The description that is there, and its place; 0 when there was never one. */
  private async find(fileId: string): Promise<{ info?: ObjectInfo; seq: number }> {
    try {
      const message = await this.jsm.streams.getMessage(STREAM, { last_by_subj: infoSubject(fileId) });
      const info = parseJson(message.string());
      // Whoever may write to the store may have written it.
      if (!isInfo(info)) throw new Error(`the description of file ${fileId} cannot be read`);
      return info.deleted ? { seq: message.seq } : { info, seq: message.seq };
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === NO_MESSAGE) return { seq: 0 };
      throw error;
    }
  }

  /**
   * Describes what has just been stored. Without an answer nobody knows whether the description is there, or comes yet: then
   * its chunks must stay (F1).
   */
  private async describeNew(info: ObjectInfo, lastSeq: number): Promise<'described' | 'overtaken'> {
    try {
      return await this.describe(info, lastSeq);
    } catch (error) {
      if (error instanceof NatsError && error.api_error) throw error;
      const found = await this.find(info.name).catch(() => undefined);
      if (found?.info?.nuid === info.nuid) return 'described';
      throw new UnknownOutcomeError('the store did not say whether it has the description', { cause: error });
    }
  }

  /** Over the description that is expected and no other. The roll-up leaves the newest one only. */
  private async describe(info: ObjectInfo, lastSeq: number): Promise<'described' | 'overtaken'> {
    const rollup = headers();
    rollup.set('Nats-Rollup', 'sub');
    try {
      await this.bus.connection.jetstream().publish(infoSubject(info.name), JSON.stringify(info), {
        headers: rollup,
        timeout: PUBLISH_TIMEOUT_MS,
        expect: { lastSubjectSequence: lastSeq },
      });
      return 'described';
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === WRONG_LAST_SEQUENCE) return 'overtaken';
      throw error;
    }
  }

  /** What cannot be purged now goes with the bucket's age (F3). */
  private async purgeIfPossible(nuid: string): Promise<void> {
    await this.purge(nuid).catch(() => undefined);
  }

  private async purge(nuid: string): Promise<void> {
    await this.jsm.streams.purge(STREAM, { filter: chunkSubject(nuid) });
  }
}

/** Its cause may have come after the deed. */
class UnknownOutcomeError extends Error {
  readonly code = 'UNKNOWN_OUTCOME';
  readonly retryable = true;
}

/** The chunks of one file on their way. */
class Upload {
  private readonly hash = createHash('sha256');
  private gathered: Uint8Array[] = [];
  private gatheredBytes = 0;
  private size = 0;
  private chunks = 0;
  private readonly unstored = new Set<Promise<void>>();
  private failure: { error: unknown } | undefined;

  constructor(
    private readonly bus: NatsBus,
    private readonly subject: string,
  ) {}

  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + CHUNK_BYTES - this.gatheredBytes);
      this.gathered.push(part);
      this.gatheredBytes += part.length;
      at += part.length;
      if (this.gatheredBytes === CHUNK_BYTES) await this.send();
    }
  }

  async finish(): Promise<{ size: number; chunks: number; digest: string }> {
    if (this.gatheredBytes > 0) await this.send();
    await this.settle();
    if (this.failure) throw this.failure.error;
    return { size: this.size, chunks: this.chunks, digest: digestOf(this.hash.digest()) };
  }

  /** Resolves when nothing is on its way any more. */
  async settle(): Promise<void> {
    await Promise.all(this.unstored);
  }

  private async send(): Promise<void> {
    while (this.unstored.size >= CHUNKS_UNSTORED_MAX) await Promise.race(this.unstored);
    if (this.failure) throw this.failure.error;
    const chunk = Buffer.concat(this.gathered);
    this.gathered = [];
    this.gatheredBytes = 0;
    this.hash.update(chunk);
    this.size += chunk.length;
    this.chunks++;
    const stored: Promise<void> = this.bus.connection
      .jetstream()
      .publish(this.subject, chunk, { timeout: PUBLISH_TIMEOUT_MS })
      .then(
        () => void this.unstored.delete(stored),
        (error: unknown) => {
          this.failure ??= { error };
          this.unstored.delete(stored);
        },
      );
    this.unstored.add(stored);
  }
}

function isInfo(value: unknown): value is ObjectInfo {
  const { name, nuid, size, chunks, digest } = (value ?? {}) as Partial<Record<keyof ObjectInfo, unknown>>;
  const isCount = (count: unknown) => Number.isSafeInteger(count) && (count as number) >= 0;
  const isToken = typeof nuid === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(nuid);
  return (
    typeof name === 'string' && isToken && isCount(size) && isCount(chunks) && typeof digest === 'string'
  );
}

function chunkSubject(nuid: string): string {
  return `$O.${FILE_BUCKET}.C.${nuid}`;
}

function infoSubject(fileId: string): string {
  return `$O.${FILE_BUCKET}.M.${base64Url(Buffer.from(fileId))}`;
}

function digestOf(sha256: Buffer): string {
  return `SHA-256=${base64Url(sha256)}`;
}

/** With padding, as the format has it. */
function base64Url(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}
