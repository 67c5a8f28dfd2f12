import { ANSWER_BYTES_MAX, ANSWER_KEPT_BYTES } from './bounds';
import type { PostOutcome } from './channel';

/** The answer to one POST: its status decides; of its body a provider may want the beginning. It is told of once. */
export class AnswerReader {
  status: number | undefined;
  private bytes = 0;
  private readonly kept: Buffer[] | undefined;
  private isTold = false;

  constructor(
    keepsBody: boolean,
    private readonly done: (outcome: PostOutcome) => void,
  ) {
    this.kept = keepsBody ? [] : undefined;
  }

  get told(): boolean {
    return this.isTold;
  }

  /** The next part of the body; a text has a character for each byte. 'too-long': nobody reads so much of an answer. */
  take(chunk: Buffer | string): 'taken' | 'too-long' {
    // Copied: whoever has read it may use the memory again.
    if (this.kept !== undefined && this.bytes < ANSWER_KEPT_BYTES)
      this.kept.push(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : Buffer.from(chunk));
    this.bytes += chunk.length;
    return this.bytes > ANSWER_BYTES_MAX ? 'too-long' : 'taken';
  }

  /** With the status known the receiver has decided, whatever became of the rest of its answer. */
  end(otherwise: PostOutcome): void {
    if (this.status === undefined) this.tell(otherwise);
    else if (this.kept === undefined) this.tell({ kind: 'answered', status: this.status });
    else {
      const answer = Buffer.concat(this.kept).subarray(0, ANSWER_KEPT_BYTES).toString('utf8');
      this.tell({ kind: 'answered', status: this.status, answer });
    }
  }

  /** All of it has come. */
  complete(): void {
    this.end({ kind: 'answered', status: 0 });
  }

  tell(outcome: PostOutcome): void {
    if (this.isTold) return;
    this.isTold = true;
    this.done(outcome);
  }
}
