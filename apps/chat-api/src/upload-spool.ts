import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** The default limit of a file: with it no file needs the disk. */
export const SPOOL_MEMORY_BYTES_MAX = 2_097_152;
/** Of all uploads at once. */
export const SPOOLED_MEMORY_BYTES_MAX = 8 * SPOOL_MEMORY_BYTES_MAX;
/** Read from disk at once. */
const BLOCK_BYTES = 65_536;
const FILE_PREFIX = 'flexpush-upload-';
const OWNER_ONLY = 0o600;

/**
 * Room for files that come before their credentials, shared by all uploads of a process. One address gets half of it at
 * most, so that a single stranger does not take it from everybody.
 */
export class SpoolBudget {
  private sum = 0;
  private readonly byPeer = new Map<string, number>();

  constructor(private readonly bytesMax: number) {}

  get taken(): number {
    return this.sum;
  }

  get peerMax(): number {
    return Math.floor(this.bytesMax / 2);
  }

  take(peer: string, bytes: number): boolean {
    const ofPeer = (this.byPeer.get(peer) ?? 0) + bytes;
    if (this.sum + bytes > this.bytesMax || ofPeer > this.peerMax) return false;
    this.sum += bytes;
    this.byPeer.set(peer, ofPeer);
    return true;
  }

  free(peer: string, bytes: number): void {
    this.sum -= bytes;
    const left = (this.byPeer.get(peer) ?? 0) - bytes;
    if (left > 0) this.byPeer.set(peer, left);
    else this.byPeer.delete(peer);
  }
}

/** Where files wait that come before their credentials. Of one process. */
export class SpoolRoom {
  readonly memory = new SpoolBudget(SPOOLED_MEMORY_BYTES_MAX);
  readonly disk: SpoolBudget;

  constructor(
    private readonly options: {
      folder: string;
      diskBytesMax: number;
      /** The folder cannot be used. */
      onFailed: (error: unknown) => void;
    },
  ) {
    this.disk = new SpoolBudget(options.diskBytesMax);
  }

  /** Of one file. */
  get fileBytesMax(): number {
    return Math.max(SPOOL_MEMORY_BYTES_MAX, this.disk.peerMax);
  }

  open(peer: string): UploadSpool {
    return new UploadSpool(this, peer);
  }

  /** A file of no name: it goes with its handle, however the process ends. */
  async openFile(): Promise<FileHandle> {
    const path = join(this.options.folder, `${FILE_PREFIX}${randomUUID()}`);
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, OWNER_ONLY);
    try {
      await rm(path, { force: true });
    } catch (error) {
      await handle.close();
      throw error;
    }
    return handle;
  }

  /** What a process has left that was killed between making a file and taking its name away. */
  async clear(): Promise<void> {
    const { folder } = this.options;
    try {
      const left = (await readdir(folder)).filter((name) => name.startsWith(FILE_PREFIX));
      for (const name of left) await rm(join(folder, name), { force: true });
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error: unknown): void {
    this.options.onFailed(error);
  }
}

/**
 * One file that waits for its credentials: in memory while it is small and there is room, else on disk.
 *
 * P1. What it has taken of the budgets it gives back when it is closed, and not before the disk has its bytes back.
 */
export class UploadSpool {
  private parts: Buffer[] = [];
  private file: FileHandle | undefined;
  private bytes = 0;
  private memoryBytes = 0;
  private diskBytes = 0;
  private writing: Promise<unknown> = Promise.resolve();
  private closed: Promise<void> | undefined;

  constructor(
    private readonly room: SpoolRoom,
    private readonly peer: string,
  ) {}

  get bytesMax(): number {
    return this.room.fileBytesMax;
  }

  /** The next part, when the one before was taken. What is not taken ends the file. */
  async write(part: Buffer): Promise<'taken' | 'too-large' | 'full' | 'failed'> {
    if (this.closed) return 'failed';
    if (this.bytes + part.length > this.room.fileBytesMax) return 'too-large';
    if (this.fitsMemory(part)) {
      this.parts.push(part);
      this.memoryBytes += part.length;
    } else {
      // With the first part on disk comes all that was in memory.
      const diskBytes = this.file ? part.length : this.bytes + part.length;
      if (!this.room.disk.take(this.peer, diskBytes)) return 'full';
      this.diskBytes += diskBytes;
      const written = this.writeToDisk(part);
      this.writing = written.catch(() => undefined);
      try {
        await written;
      } catch (error) {
        this.room.failed(error);
        return 'failed';
      }
    }
    this.bytes += part.length;
    return 'taken';
  }

  /** Throws when the disk fails, or the spool is closed meanwhile. */
  async *read(): AsyncGenerator<Buffer> {
    yield* this.parts;
    for (let at = 0; this.file && at < this.bytes;) {
      const block = Buffer.allocUnsafe(BLOCK_BYTES);
      const { bytesRead } = await this.file.read(block, 0, BLOCK_BYTES, at);
      if (bytesRead === 0) throw new Error('the file of an upload is shorter than it was');
      at += bytesRead;
      yield block.subarray(0, bytesRead);
    }
  }

  close(): Promise<void> {
    return (this.closed ??= this.release());
  }

  private async release(): Promise<void> {
    await this.writing;
    this.parts = [];
    this.freeMemory();
    await this.file?.close().catch((error: unknown) => this.room.failed(error));
    this.room.disk.free(this.peer, this.diskBytes);
  }

  private fitsMemory({ length }: Buffer): boolean {
    if (this.file || this.bytes + length > SPOOL_MEMORY_BYTES_MAX) return false;
    return this.room.memory.take(this.peer, length);
  }

  private async writeToDisk(part: Buffer): Promise<void> {
    if (!this.file) {
      this.file = await this.room.openFile();
      for (const early of this.parts) await this.file.appendFile(early);
      this.parts = [];
      this.freeMemory();
    }
    await this.file.appendFile(part);
  }

  private freeMemory(): void {
    this.room.memory.free(this.peer, this.memoryBytes);
    this.memoryBytes = 0;
  }
}
