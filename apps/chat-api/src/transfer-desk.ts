import { unavailableAnswer, type Answer } from './answer';
import { RequestGate } from './request-gate';
import { SpoolBudget, SPOOLED_BYTES_MAX, UploadForm } from './upload-form';
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';

/** A body that is read as it comes, and what says how. */
export interface UploadRequest {
  raw: Readable;
  headers: IncomingHttpHeaders;
}

export interface TransferBounds {
  transfersMax: number;
  /** Nothing has moved for this long: the other side has gone. */
  idleTimeoutMs: number;
  /** Of a whole transfer, however steadily it drips. */
  timeoutMs: number;
}

const TOO_MANY = 'too many files are under way; the same request may be retried';
/**
 * A client that writes before it reads, as browsers do, sees an early answer only when somebody takes what it sends.
 * So much of a refused upload is read and thrown away before the answer, for so long; then the connection closes.
 */
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;
const DISCARD_TIMEOUT_MS = 10_000;

/** Bounds the transfers of files: how many at once, and for how long (I9). */
export class TransferDesk {
  private readonly gate: RequestGate;
  private readonly budget = new SpoolBudget(SPOOLED_BYTES_MAX);

  constructor(private readonly bounds: TransferBounds) {
    this.gate = new RequestGate(bounds.transfersMax);
  }

  inFlight(): number {
    return this.gate.inFlight();
  }

  /** Hands the form of the request over, and reads what that leaves unread. */
  async upload(
    { raw, headers }: UploadRequest,
    { needed, chatId }: { needed: readonly string[]; chatId: string | undefined },
    perform: (form: UploadForm) => Promise<Answer>,
  ): Promise<Answer> {
    if (this.gate.enter() !== 'entered') return unavailableAnswer(TOO_MANY, chatId);
    const form = new UploadForm(raw, headers['content-type'] ?? '', { needed, budget: this.budget });
    let isTooSlow = false;
    const watch = this.watch((reason) => {
      isTooSlow = true;
      form.fail(reason);
    });
    raw.on('data', watch.moved);
    try {
      return await perform(form);
    } finally {
      watch.end();
      raw.off('data', watch.moved);
      form.close();
      if (!isTooSlow) await discardRest(raw);
      this.gate.leave();
    }
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

  private watch(onTooSlow: (reason: string) => void): { moved: () => void; end: () => void } {
    const { idleTimeoutMs, timeoutMs } = this.bounds;
    const idle = setTimeout(() => onTooSlow(`nothing has come for ${idleTimeoutMs} ms`), idleTimeoutMs);
    const whole = setTimeout(() => onTooSlow(`the transfer took more than ${timeoutMs} ms`), timeoutMs);
    return {
      moved: () => void idle.refresh(),
      end: () => {
        clearTimeout(idle);
        clearTimeout(whole);
      },
    };
  }
}

async function discardRest(body: Readable): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  let bytes = 0;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, DISCARD_TIMEOUT_MS);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
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
