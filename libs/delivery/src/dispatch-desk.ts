import {
  logIds,
  parseJson,
  termAnnouncementSchema,
  withdrawSchema,
  type DispatchAnswer,
} from '@flexpush/contracts';
import type { Delivery } from './delivery';
import type { DeliveryJob } from './delivery-job';
import { NODE_BOUNDS } from './node-bounds';
import { readDispatch, type ReadDispatch } from './dispatch-reader';
import type { RefusalLog } from './refusal-log';
import type { ResultBatcher } from './result-batcher';
import type { TermRegister } from './term-register';
import type { WakeGuard } from './wake-guard';

/** Why a dispatch or a job was not taken. */
export type Refusal = 'busy' | 'draining' | 'stale' | 'malformed' | 'malformed-job' | 'old-term';

export interface DeskParts {
  nowMs: () => number;
  delivery: Pick<Delivery, 'offer' | 'withdraw'>;
  terms: TermRegister;
  wake: WakeGuard;
  results: Pick<ResultBatcher, 'add'>;
  metrics: { refuse(reason: Refusal, count?: number): void };
  refusals: RefusalLog;
  /** The process has woken; calls back when everything that was sent meanwhile has been read. */
  catchUp: (done: () => void) => void;
}

const ACCEPTED: DispatchAnswer = { status: 'accepted', oldTerms: [] };
const BUSY: DispatchAnswer = { status: 'busy', retryAfterMs: NODE_BOUNDS.busyRetryAfterMs };

/**
 * Where messages for this node come in and are validated. Everything else behind it is typed.
 *
 * K1. (I3) A job whose shard is known with a higher term is refused, and the answer names that term.
 * K2. A dispatch is accepted as a whole, save for K1 and for jobs that cannot be read, or it is refused as a whole.
 * K3. A job that cannot be read settles as failed if it has an id, because its owner would send it for ever.
 * K4. What may have waited in the socket while the process was frozen is not taken (W2).
 */
export class DispatchDesk {
  private draining = false;

  constructor(private readonly parts: DeskParts) {}

  /** From now on every dispatch is answered `busy`. */
  beginDrain(): void {
    this.draining = true;
  }

  /** To be called a few times a second, so that a freeze is noticed. */
  tick(): void {
    this.lookAwake();
  }

  /** Answers one dispatch. */
  dispatch(text: string): DispatchAnswer {
    const receivedAtMs = this.lookAwake();
    const read = readDispatch(parseJson(text));
    if (read.kind === 'malformed') {
      this.refuse('malformed', { reason: read.reason });
      return { status: 'malformed', reason: read.reason };
    }
    const { accepted, oldTerms, oldJobs } = this.splitByTerm(read, receivedAtMs);
    const refusal = this.refusal(accepted);
    if (refusal !== undefined) {
      this.refuse(refusal, { jobs: accepted.length });
      return BUSY;
    }
    if (oldJobs > 0) this.parts.metrics.refuse('old-term', oldJobs);
    this.settleUnreadable(read);
    return oldTerms.length === 0 ? ACCEPTED : { status: 'accepted', oldTerms };
  }

  /** A confirm took back what is not wanted any more (I5). */
  withdraw(text: string): void {
    this.lookAwake();
    const parsed = withdrawSchema.safeParse(parseJson(text));
    if (!parsed.success) {
      this.refuse('malformed', { reason: 'not a withdrawal' });
      return;
    }
    for (const withdrawal of parsed.data.withdrawals) this.parts.delivery.withdraw(withdrawal);
  }

  /** A new owner tells its term before its first dispatch. */
  announceTerm(text: string): void {
    const parsed = termAnnouncementSchema.safeParse(parseJson(text));
    if (!parsed.success) {
      this.refuse('malformed', { reason: 'not a term announcement' });
      return;
    }
    this.parts.terms.note(parsed.data);
  }

  private lookAwake(): number {
    const { wake, catchUp } = this.parts;
    const { awakeAtMs, woke } = wake.seen(this.parts.nowMs());
    if (woke) catchUp(() => wake.caughtUp());
    return awakeAtMs;
  }

  private splitByTerm(
    read: Extract<ReadDispatch, { kind: 'dispatch' }>,
    receivedAtMs: number,
  ): { accepted: DeliveryJob[]; oldTerms: [number, number][]; oldJobs: number } {
    const { actorId, alias, shards } = read.dispatch;
    const accepted: DeliveryJob[] = [];
    const oldTerms: [number, number][] = [];
    let oldJobs = 0;
    for (const { shard, term, jobs } of shards) {
      const highest = this.parts.terms.note({ shard, term });
      if (highest > term) {
        oldTerms.push([shard, highest]);
        oldJobs += jobs.length;
        continue;
      }
      for (const job of jobs) accepted.push({ job, alias, actorId, shard, term, receivedAtMs });
    }
    return { accepted, oldTerms, oldJobs };
  }

  private refusal(jobs: DeliveryJob[]): Refusal | undefined {
    if (this.draining) return 'draining';
    if (this.parts.wake.stale) return 'stale';
    return this.parts.delivery.offer(jobs) === 'busy' ? 'busy' : undefined;
  }

  private settleUnreadable(read: Extract<ReadDispatch, { kind: 'dispatch' }>): void {
    const { unreadable, nameless, dispatch } = read;
    for (const { shard, id, reason } of unreadable) {
      const told = `malformed: ${reason}`.slice(0, NODE_BOUNDS.reasonChars);
      this.parts.results.add(dispatch.actorId, { id, shard, outcome: 'failed', reason: told });
    }
    const [first] = unreadable;
    if (first === undefined && nameless === 0) return;
    const count = unreadable.length + nameless;
    this.parts.metrics.refuse('malformed-job', count);
    this.parts.refusals.note(
      'dispatch.job-malformed',
      {
        logId: logIds.notPushed,
        notificationId: first?.id,
        reason: first?.reason,
        actorId: dispatch.actorId,
      },
      this.parts.nowMs(),
    );
  }

  private refuse(reason: Refusal, fields: object): void {
    this.parts.metrics.refuse(reason);
    this.parts.refusals.note(`dispatch.refused-${reason}`, fields, this.parts.nowMs());
  }
}
