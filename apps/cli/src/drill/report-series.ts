import type { DrillHistory } from './history';
import { latenessOf } from './lateness';
import { takeoverAfter } from './judge-takeover';

/** One column of the charts. */
export interface Bucket {
  events: number;
  pushes: number;
  /** Worst lateness of the pushes in it; 0 when there was none. */
  latenessMaxMs: number;
}

export interface FaultMark {
  readonly what: string;
  readonly atS: number;
  /** Until the first push of an affected session; undefined when nothing was taken over. */
  readonly gapEndS: number | undefined;
}

/** What the charts show; seconds from the first event on. */
export interface Series {
  readonly startMs: number;
  readonly bucketS: number;
  readonly buckets: readonly Bucket[];
  readonly faults: readonly FaultMark[];
}

const BUCKETS_WANTED = 160;
const BUCKET_MIN_MS = 100;
const BUCKET_STEP_MS = 50;

export function seriesOf(history: DrillHistory): Series {
  const startMs = firstEventMs(history);
  const endMs = Math.max(history.watchedUntilMs, startMs + BUCKET_MIN_MS);
  const exactMs = Math.max(BUCKET_MIN_MS, (endMs - startMs) / BUCKETS_WANTED);
  const bucketMs = Math.ceil(exactMs / BUCKET_STEP_MS) * BUCKET_STEP_MS;
  const buckets = Array.from({ length: Math.ceil((endMs - startMs) / bucketMs) }, (): Bucket => ({
    events: 0,
    pushes: 0,
    latenessMaxMs: 0,
  }));
  const at = (atMs: number) => buckets[Math.floor((atMs - startMs) / bucketMs)];
  const count = (atMs: number, what: 'events' | 'pushes') => {
    const bucket = at(atMs);
    if (bucket) bucket[what]++;
  };
  for (const session of history.sessions) {
    for (const { ackedAtMs } of session.events) if (ackedAtMs !== undefined) count(ackedAtMs, 'events');
    for (const { atMs } of session.posts) count(atMs, 'pushes');
    if (!history.timedReceivers.has(session.receiver)) continue;
    for (const { atMs, latenessMs } of latenessOf(session, history)) {
      const bucket = at(atMs);
      if (bucket) bucket.latenessMaxMs = Math.max(bucket.latenessMaxMs, latenessMs);
    }
  }
  return { startMs, bucketS: bucketMs / 1_000, buckets, faults: faultMarks(history, startMs) };
}

function faultMarks(history: DrillHistory, startMs: number): FaultMark[] {
  return history.faults.map((fault) => {
    const takeover = takeoverAfter(fault, history);
    return {
      what: fault.what,
      atS: (fault.atMs - startMs) / 1_000,
      gapEndS: takeover && (fault.atMs + takeover.firstMs - startMs) / 1_000,
    };
  });
}

export function firstEventMs({ sessions, watchedUntilMs }: DrillHistory): number {
  let firstMs = watchedUntilMs;
  for (const { events } of sessions) firstMs = Math.min(firstMs, events[0]?.sentAtMs ?? firstMs);
  return firstMs;
}
