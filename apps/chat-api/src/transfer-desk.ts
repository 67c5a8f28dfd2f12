import { IncomingMessage, type IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { unavailableAnswer, type Answer } from './answer';
import { EvictingRoom } from './evicting-room';
import { RequestGate } from './request-gate';
import { UploadError, UploadForm } from './upload-form';
import type { SpoolRoom } from './upload-spool';

/** A body that is read as it comes, and what says how. */
export interface UploadRequest {
  raw: Readable;
  headers: IncomingHttpHeaders;
}

export interface TransferBounds {
  transfersMax: number;
  /** Uploads that have not shown their credentials, or were refused and are read out; more send the oldest away. */
  strangersMax: number;
  /** An upload must have shown its credentials by then; one that sends the file first must keep the pace instead. */
  startTimeoutMs: number;
  /** Nothing has moved for this long: the other side has gone. */
  idleTimeoutMs: number;
  /** An upload must come at a pace even then when it moves; it is the average over so long. */
  paceWindowMs: number;
  /** Of a whole transfer, however steadily it drips. */
  timeoutMs: number;
}

/** An upload that has begun, and its way to a transfer. */
export interface UploadPlace {
  form: UploadForm;
  /** To be called once the session has accepted the uploader. Undefined: the upload counts as a transfer now. */
  admit(uploader: { chatId: string; userId: string | undefined }): Answer | undefined;
}

/** Of one process. Far more than honest clients ever have between a request's head and its first fields. */
export const STRANGERS_MAX = 256;
/** A file that comes before its credentials must come at this pace; mobile networks at their worst are faster. */
const FILE_FIRST_BYTES_PER_S_MIN = 8_192;
/**
 * Behind the credentials, where a place is held; a file at the default limit would take longer than a whole transfer may
 * below some 3.5 KiB/s anyway.
 */
export const UPLOAD_BYTES_PER_S_MIN = 2_048;
/** Chats can be had for the asking: who has one may not take all transfers. As many as the default limit of files, and one. */
export const UPLOADS_PER_PARTICIPANT_MAX = 4;
const TOO_MANY_OF_ONE = 'too many files of this participant are under way; the same request may be retried';
const EVICTED = 'too many uploads wait for their credentials; the same request may be retried';
const TOO_MANY = 'too many files are under way; the same request may be retried';
/**
 * A client that writes before it reads, as browsers do, sees an early answer only when somebody takes what it sends.
 * So much of a refused upload is read and thrown away before the answer, for so long; then the connection closes.
 */
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;
const DISCARD_TIMEOUT_MS = 10_000;

/**
 * Bounds the transfers of files: how many at once, and for how long (I9).
 *
 * T1. An upload is a transfer only from when the session has accepted its credentials. Before that, and when it has been
 *     refused, it keeps nobody else out: who comes later takes its place.
 * T2. Every phase has its time: that before the credentials, that without a byte, that below the pace, and the whole. The
 *     pace does not count while the upload waits for us, nor the time without a byte once all has come.
 */
export class TransferDesk {
  private readonly gate: RequestGate;
  private readonly strangers: EvictingRoom;
  /** Uploads that are transfers, by participant. */
  private readonly admitted = new Map<string, number>();

  constructor(
    private readonly bounds: TransferBounds,
    private readonly spools: SpoolRoom,
  ) {
    this.gate = new RequestGate(bounds.transfersMax);
    this.strangers = new EvictingRoom(bounds.strangersMax);
  }

  inFlight(): number {
    return this.gate.inFlight();
  }

  /** Hands the form of the request over, and reads what that leaves unread. */
  async upload(
    { raw, headers }: UploadRequest,
    { needed, chatId }: { needed: readonly string[]; chatId: string | undefined },
    perform: (place: UploadPlace) => Promise<Answer>,
  ): Promise<Answer> {
    const spool = this.spools.open(peerOf(raw));
    const form = new UploadForm(raw, headers['content-type'] ?? '', { needed, spool });
    const hurry = this.hurry(form, raw, needed);
    let leave: () => void = () => undefined;
    const admit: UploadPlace['admit'] = (uploader) => {
      const place = this.admit(`${uploader.chatId}:${uploader.userId}`);
      if (typeof place === 'string') return unavailableAnswer(place, chatId);
      leave = place;
      return undefined;
    };
    try {
      return await perform({ form, admit });
    } finally {
      hurry.end();
      await form.close();
      leave();
      if (!hurry.hasEndedIt()) await this.discardRest(raw);
    }
  }

  /** Returns how to leave, or why there is no place. */
  private admit(participant: string): (() => void) | string {
    const count = this.admitted.get(participant) ?? 0;
    if (count >= UPLOADS_PER_PARTICIPANT_MAX) return TOO_MANY_OF_ONE;
    if (this.gate.enter() !== 'entered') return TOO_MANY;
    this.admitted.set(participant, count + 1);
    return () => {
      this.gate.leave();
      const left = (this.admitted.get(participant) ?? 1) - 1;
      if (left > 0) this.admitted.set(participant, left);
      else this.admitted.delete(participant);
    };
  }

  /** The answer's content counts as under way until it has gone. */
  async download({ chatId }: { chatId: string }, perform: () => Promise<Answer>): Promise<Answer> {
    if (this.gate.enter() !== 'entered') return unavailableAnswer(TOO_MANY, chatId);
    let isSending = false;
    try {
      const answer = await perform();
      const stream = answer.content?.stream;
      if (!stream) return answer;
      isSending = true;
      const watch = this.watch((reason) => stream.destroy(new Error(reason)));
      // Not by its data, which would set it flowing before it is sent.
      const push = stream.push.bind(stream);
      stream.push = (...part) => {
        watch.moved();
        return push(...part);
      };
      stream.once('close', () => {
        watch.end();
        this.gate.leave();
      });
      return answer;
    } finally {
      if (!isSending) this.gate.leave();
    }
  }

  /** Ends the form when it takes too long, or its place is wanted before it has shown who it is (T1, T2). */
  private hurry(
    form: UploadForm,
    raw: Readable,
    needed: readonly string[],
  ): { hasEndedIt(): boolean; end(): void } {
    const { startTimeoutMs } = this.bounds;
    let hasEnded = false;
    const giveUp = (error: UploadError) => {
      hasEnded = true;
      form.fail(error);
    };
    const tooSlow = (reason: string) => giveUp(new UploadError(reason, { kind: 'too-slow' }));
    const watch = this.watch(tooSlow);
    const leave = this.strangers.enter(() => giveUp(new UploadError(EVICTED, { kind: 'busy' })));
    let bytes = 0;
    const start = setInterval(() => {
      const isSteady = form.isFileFirst && bytes * 1_000 >= FILE_FIRST_BYTES_PER_S_MIN * startTimeoutMs;
      bytes = 0;
      if (isSteady) return;
      tooSlow(`${needed.join(' and ')} did not come within ${startTimeoutMs} ms; send them before the file`);
    }, startTimeoutMs);
    let hasLeft = false;
    let endPace: () => void = () => undefined;
    const shown = () => {
      clearInterval(start);
      leave();
    };
    form.begin().then(() => {
      shown();
      if (!hasLeft) endPace = this.watchPace(raw, tooSlow);
    }, shown);
    const take = (part: Buffer) => {
      bytes += part.length;
      watch.moved();
    };
    raw.on('data', take).once('end', watch.allCame);
    return {
      hasEndedIt: () => hasEnded,
      end: () => {
        hasLeft = true;
        shown();
        endPace();
        watch.end();
        raw.off('data', take).off('end', watch.allCame);
      },
    };
  }

  /** Of an upload that has shown its credentials. */
  private watchPace(raw: Readable, onTooSlow: (reason: string) => void): () => void {
    const { paceWindowMs } = this.bounds;
    let bytes = 0;
    const take = (part: Buffer) => void (bytes += part.length);
    const timer = setInterval(() => {
      const isSteady = bytes * 1_000 >= UPLOAD_BYTES_PER_S_MIN * paceWindowMs;
      bytes = 0;
      // Paused it waits for the store.
      if (isSteady || raw.readableEnded || raw.isPaused()) return;
      onTooSlow(`less than ${UPLOAD_BYTES_PER_S_MIN} bytes per second have come for ${paceWindowMs} ms`);
    }, paceWindowMs);
    raw.on('data', take);
    return () => {
      clearInterval(timer);
      raw.off('data', take);
    };
  }

  private watch(onTooSlow: (reason: string) => void): {
    moved: () => void;
    /** What is still to be done is not the other side's. */
    allCame: () => void;
    end: () => void;
  } {
    const { idleTimeoutMs, timeoutMs } = this.bounds;
    const idle = setTimeout(() => onTooSlow(`nothing has come for ${idleTimeoutMs} ms`), idleTimeoutMs);
    const whole = setTimeout(() => onTooSlow(`the transfer took more than ${timeoutMs} ms`), timeoutMs);
    return {
      moved: () => void idle.refresh(),
      allCame: () => clearTimeout(idle),
      end: () => {
        clearTimeout(idle);
        clearTimeout(whole);
      },
    };
  }

  private async discardRest(body: Readable): Promise<void> {
    if (body.readableEnded || body.destroyed) return;
    let bytes = 0;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        leave();
        resolve();
      };
      const timer = setTimeout(end, DISCARD_TIMEOUT_MS);
      const leave = this.strangers.enter(end);
      body.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > DISCARDED_BYTES_MAX) end();
      });
      body.once('end', end);
      body.once('close', end);
      body.resume();
    });
    body.pause();
  }
}

/** Empty where the body has no connection of its own. */
function peerOf(raw: Readable): string {
  return raw instanceof IncomingMessage ? (raw.socket.remoteAddress ?? '') : '';
}
