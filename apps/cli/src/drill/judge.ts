import { percentile, round } from '../bench/statistics';
import type { DrillHistory, PublishedEvent, ReceivedPost, SessionHistory } from './history';
import { latenessOf, toldMarkers } from './lateness';
import { judgePosts } from './judge-posts';
import { takeoverOf, type Takeover } from './judge-takeover';

/**
 * A POST may have been on its way when the refresh was answered: in the burst after an outage, over fresh connections, one
 * was seen to take 630 ms from its start at the GMS node to the receiver.
 */
export const IN_FLIGHT_ALLOWANCE_MS = 1_000;
/** A resend that is later than this has stopped. */
export const STANDSTILL_AFTER_MS = 6_000;

export interface Judgement {
  /** Events that the log acknowledged. */
  readonly published: number;
  /** Events that the log did not acknowledge, however often they were sent. They may or may not be there. */
  readonly unacknowledged: number;
  /** POSTs received. */
  readonly delivered: number;
  /** Refreshes answered. */
  readonly confirmed: number;
  /** Acknowledged events that are not in the transcript, or that the customer was never told of. */
  readonly lost: number;
  readonly lostFromTranscript: number;
  readonly neverTold: number;
  /** Events twice in a transcript, and notifications POSTed again. */
  readonly duplicated: number;
  readonly duplicatedEvents: number;
  readonly repeatedPushes: number;
  readonly inversions: number;
  readonly afterConfirm: number;
  readonly overAttempts: number;
  /** Unconfirmed subscriptions whose resends stopped before the last attempt. */
  readonly stranded: number;
  readonly takeoverMs: number | null;
  readonly takeover: Takeover | null;
  readonly latenessP50Ms: number | null;
  readonly latenessP99Ms: number | null;
  readonly latenessMaxMs: number | null;
  /** The first few places where something was broken. */
  readonly examples: readonly Example[];
}

/** One thing that went wrong: which figure counts it, when (epoch ms), in which chat, and what. */
export interface Example {
  readonly figure: 'lost' | 'afterConfirm' | 'stranded';
  readonly atMs: number;
  readonly sessionId: string;
  readonly shard: number;
  readonly what: string;
}

const EXAMPLES_MAX = 10;

type Counts = Omit<
  Judgement,
  'lost' | 'duplicated' | 'takeoverMs' | 'takeover' | `lateness${string}Ms` | 'examples'
>;

/** Judges from outside: nothing but what was published, received and refreshed. */
export function judge(history: DrillHistory): Judgement {
  const total: { -readonly [K in keyof Counts]: number } = {
    published: 0,
    unacknowledged: 0,
    delivered: 0,
    confirmed: 0,
    lostFromTranscript: 0,
    neverTold: 0,
    duplicatedEvents: 0,
    repeatedPushes: 0,
    inversions: 0,
    afterConfirm: 0,
    overAttempts: 0,
    stranded: 0,
  };
  const latenessesMs: number[] = [];
  const examples: Example[] = [];
  for (const session of history.sessions) {
    const faults = faultsOf(session, history);
    const counts = judgeSession(session, history, faults);
    if (examples.length < EXAMPLES_MAX) examples.push(...examplesOf(session, faults));
    for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
    if (history.timedReceivers.has(session.receiver))
      for (const { latenessMs } of latenessOf(session, history)) latenessesMs.push(latenessMs);
  }
  const takeover = takeoverOf(history);
  return {
    ...total,
    lost: total.lostFromTranscript + total.neverTold,
    duplicated: total.duplicatedEvents + total.repeatedPushes,
    takeoverMs: takeover?.firstMs ?? null,
    takeover,
    ...latenessFigures(latenessesMs),
    examples: examples.slice(0, EXAMPLES_MAX),
  };
}

function latenessFigures(latenessesMs: readonly number[]) {
  const figure = (p: number) => (latenessesMs.length === 0 ? null : round(percentile(latenessesMs, p), 1));
  return { latenessP50Ms: figure(50), latenessP99Ms: figure(99), latenessMaxMs: figure(100) };
}

function judgeSession(session: SessionHistory, history: DrillHistory, faults: SessionFaults): Counts {
  const { acked, missing, untold, needless, stranded } = faults;
  const transcript = judgeTranscript(session);
  const posts = judgePosts(session, history.resendAttemptMax);
  return {
    published: acked.length,
    unacknowledged: session.events.length - acked.length,
    delivered: session.posts.length,
    confirmed: session.refreshes.length,
    lostFromTranscript: missing.length,
    neverTold: untold.length,
    duplicatedEvents: transcript.duplicated,
    repeatedPushes: posts.repeated,
    inversions: transcript.inversions + posts.inversions,
    afterConfirm: needless.length,
    overAttempts: posts.overAttempts,
    stranded: stranded ? 1 : 0,
  };
}

/** Position and order in the transcript; the publisher sends the next event of a session after the last was acknowledged. */
function judgeTranscript(session: SessionHistory): { duplicated: number; inversions: number } {
  const order = new Map(session.events.map(({ marker }, n) => [marker, n]));
  const markers = new Set<string>();
  const positions = new Set<number>();
  let duplicated = 0;
  let inversions = 0;
  let newest = -1;
  for (const { marker, position } of session.transcript ?? []) {
    if (markers.has(marker) || positions.has(position)) duplicated++;
    else {
      const n = order.get(marker) ?? newest;
      if (n < newest) inversions++;
      newest = Math.max(newest, n);
    }
    markers.add(marker);
    positions.add(position);
  }
  return { duplicated, inversions };
}

/** What is counted and may be shown as an example. */
interface SessionFaults {
  /** Events that the log acknowledged; of these, those not in the transcript, and those that are and were never told. */
  readonly acked: readonly PublishedEvent[];
  readonly missing: readonly PublishedEvent[];
  readonly untold: readonly PublishedEvent[];
  readonly needless: readonly { readonly post: ReceivedPost; readonly afterMs: number }[];
  /** The resend that none came after. */
  readonly stranded: ReceivedPost | undefined;
}

function faultsOf(session: SessionHistory, history: DrillHistory): SessionFaults {
  const inTranscript = new Set(session.transcript?.map(({ marker }) => marker));
  const told = toldMarkers(session);
  const acked = session.events.filter(({ ackedAtMs }) => ackedAtMs !== undefined);
  return {
    acked,
    missing: acked.filter(({ marker }) => !inTranscript.has(marker)),
    untold: acked.filter(({ marker }) => inTranscript.has(marker) && !told.has(marker)),
    needless: needlessTriggers(session, history),
    stranded: strandedAt(session, history),
  };
}

/** Triggers that began after the refresh that retrieved their position had been answered, and how long after the first. */
function needlessTriggers(
  { posts, refreshes, receiver }: SessionHistory,
  { receiverDelays }: DrillHistory,
): { post: ReceivedPost; afterMs: number }[] {
  return posts.flatMap((post) => {
    if (post.attempt === undefined || post.position < 1) return [];
    const confirmed = refreshes.find(({ nextPosition }) => post.position < nextPosition);
    const afterMs = confirmed ? post.atMs - confirmed.answeredAtMs : 0;
    if (afterMs <= IN_FLIGHT_ALLOWANCE_MS) return [];
    // A receiver that was slow itself has seen it so much later than it was sent.
    const delaysMs = (receiverDelays[receiver] ?? [])
      .filter(({ fromMs, toMs }) => fromMs <= post.atMs && toMs >= post.atMs - afterMs)
      .map(({ fromMs, toMs }) => toMs - fromMs);
    return afterMs > IN_FLIGHT_ALLOWANCE_MS + Math.max(0, ...delaysMs) ? [{ post, afterMs }] : [];
  });
}

/** `at 12.34 s, chat c1 of shard 7: ...` */
export function describeExample({ figure, atMs, sessionId, shard, what }: Example, startMs: number): string {
  return `${figure}: at ${((atMs - startMs) / 1_000).toFixed(2)} s, chat ${sessionId} of shard ${shard}: ${what}`;
}

function examplesOf(
  { sessionId, shard }: SessionHistory,
  { missing, untold, needless, stranded }: SessionFaults,
): Example[] {
  const example = (figure: Example['figure'], atMs: number, what: string) => ({
    figure,
    atMs,
    sessionId,
    shard,
    what,
  });
  return [
    ...missing.map(({ marker, sentAtMs }) => example('lost', sentAtMs, `${marker} is not in the transcript`)),
    ...untold.map(({ marker, sentAtMs }) => example('lost', sentAtMs, `nobody was told of ${marker}`)),
    ...needless.map(({ post, afterMs }) =>
      example(
        'afterConfirm',
        post.atMs,
        `attempt ${post.attempt} for position ${post.position} came ${Math.round(afterMs)} ms after the refresh was answered`,
      ),
    ),
    ...(stranded ? [example('stranded', stranded.atMs, 'no resend came after this one')] : []),
  ];
}

/** I6 from outside: whoever has not confirmed goes on being told until the attempts are used up. */
function strandedAt(session: SessionHistory, history: DrillHistory): ReceivedPost | undefined {
  if (session.customer !== 'silent' || session.events.length === 0) return undefined;
  const last = session.posts.at(-1);
  if (last?.attempt === undefined || last.attempt >= history.resendAttemptMax) return undefined;
  const dueAtMs = last.atMs + history.resendDelayMs;
  return history.watchedUntilMs > dueAtMs + STANDSTILL_AFTER_MS ? last : undefined;
}
