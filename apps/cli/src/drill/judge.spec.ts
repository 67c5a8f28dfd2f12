import type { DrillHistory, Fault, PublishedEvent, ReceivedPost, SessionHistory } from './history';
import { describeExample, IN_FLIGHT_ALLOWANCE_MS, judge, STANDSTILL_AFTER_MS } from './judge';
import { backlogsAfter } from './judge-takeover';
import { checkLimits, strictLimits } from './limits';

/** A whole second, so that job times are easy to write. */
const T0 = 1_800_000_000_000;
const DELAY_MS = 2_000;
const ATTEMPT_MAX = 3;

const event = (marker: string, atMs: number, ackedAfterMs: number | undefined = 2): PublishedEvent => ({
  marker,
  sentAtMs: T0 + atMs,
  ...(ackedAfterMs === undefined ? {} : { ackedAtMs: T0 + atMs + ackedAfterMs }),
});
const trigger = (atMs: number, position: number, attempt = 0, jobAtMs = atMs): ReceivedPost => ({
  atMs: T0 + atMs,
  jobAtMs: T0 + Math.floor(jobAtMs / 1_000) * 1_000,
  attempt,
  position,
});
const plain = (atMs: number, position: number, marker: string): ReceivedPost => ({
  atMs: T0 + atMs,
  jobAtMs: 0,
  position,
  marker,
});
const refresh = (answeredAtMs: number, nextPosition: number, markers: string[]) => ({
  startedAtMs: T0 + answeredAtMs - 3,
  answeredAtMs: T0 + answeredAtMs,
  nextPosition,
  markers,
});
const transcript = (...markers: string[]) => markers.map((marker, n) => ({ marker, position: n + 1 }));

/** Two events, each told by a trigger and fetched by a refresh. */
function good(): SessionHistory {
  return {
    sessionId: 'chat-1',
    customer: 'refreshing',
    shard: 1,
    receiver: 0,
    events: [event('e1', 100), event('e2', 3_000)],
    posts: [trigger(105, 1), trigger(3_006, 2)],
    refreshes: [refresh(110, 2, ['e1']), refresh(3_010, 3, ['e2'])],
    transcript: transcript('e1', 'e2'),
  };
}

function historyOf(session: SessionHistory, more: Partial<DrillHistory> = {}): DrillHistory {
  return {
    sessions: [session],
    faults: [],
    resendDelayMs: DELAY_MS,
    resendAttemptMax: ATTEMPT_MAX,
    watchedUntilMs: T0 + 5_000,
    timedReceivers: new Set([0]),
    receiverDelays: [],
    ...more,
  };
}
const judged = (changes: Partial<SessionHistory>, more: Partial<DrillHistory> = {}) =>
  judge(historyOf({ ...good(), ...changes }, more));

const nothingWrong = {
  lost: 0,
  duplicated: 0,
  inversions: 0,
  afterConfirm: 0,
  overAttempts: 0,
  stranded: 0,
};

it('finds nothing wrong where everybody was told of everything in order', () => {
  expect(judged({})).toMatchObject({
    ...nothingWrong,
    published: 2,
    unacknowledged: 0,
    delivered: 2,
    confirmed: 2,
    takeoverMs: null,
    latenessP50Ms: 3,
    latenessMaxMs: 4,
  });
});

describe('lost', () => {
  it('is an acknowledged event that the transcript does not have', () => {
    expect(judged({ transcript: transcript('e1') })).toMatchObject({ lost: 1, lostFromTranscript: 1 });
  });

  it('is everything when the transcript cannot be read', () => {
    const { transcript: _, ...unread } = good();
    expect(judge(historyOf(unread))).toMatchObject({ lost: 2, lostFromTranscript: 2 });
  });

  it('is an event that a refreshing customer was never told of', () => {
    const { posts, refreshes } = good();
    expect(judged({ posts: posts.slice(0, 1), refreshes: refreshes.slice(0, 1) })).toMatchObject({
      lost: 1,
      neverTold: 1,
    });
  });

  it('is not an event that came along with the refresh for another', () => {
    const both = { posts: [trigger(105, 1)], refreshes: [refresh(3_010, 3, ['e1', 'e2'])] };
    expect(judged(both)).toMatchObject(nothingWrong);
  });

  it('is not an event that the log never acknowledged, and such a one is counted apart', () => {
    const events = [event('e1', 100), { marker: 'e2', sentAtMs: T0 + 3_000 }];
    const gone = { events, transcript: transcript('e1'), posts: [trigger(105, 1)] };
    expect(judged(gone)).toMatchObject({ ...nothingWrong, published: 1, unacknowledged: 1 });
  });

  it('is an event of a plain subscription whose push did not come', () => {
    const customer = 'plain';
    const posts = [plain(105, 1, 'e1'), plain(3_006, 2, 'e2')];
    expect(judged({ customer, posts, refreshes: [] })).toMatchObject(nothingWrong);
    expect(judged({ customer, posts: posts.slice(1), refreshes: [] })).toMatchObject({ neverTold: 1 });
  });

  it('is an event of a silent customer after which no trigger came', () => {
    const silent: Partial<SessionHistory> = { customer: 'silent', refreshes: [] };
    expect(judged({ ...silent, posts: [trigger(105, 1), trigger(3_005, 1)] })).toMatchObject(nothingWrong);
    expect(judged({ ...silent, posts: [trigger(105, 1), trigger(2_105, 1, 1)] })).toMatchObject({
      neverTold: 1,
    });
  });
});

describe('duplicated', () => {
  it('is an event that the transcript has twice', () => {
    expect(judged({ transcript: transcript('e1', 'e1', 'e2') })).toMatchObject({
      ...nothingWrong,
      duplicated: 1,
      duplicatedEvents: 1,
    });
  });

  it('is a position that the transcript has twice', () => {
    const twice = [...transcript('e1', 'e2'), { marker: 'e2b', position: 2 }];
    expect(judged({ transcript: twice })).toMatchObject({ duplicatedEvents: 1 });
  });

  it('is a trigger that came again', () => {
    const { posts } = good();
    expect(judged({ posts: [...posts, trigger(3_009, 2)] })).toMatchObject({
      ...nothingWrong,
      duplicated: 1,
      repeatedPushes: 1,
    });
  });

  it('is a resend that came again', () => {
    const posts = [trigger(105, 1), trigger(2_105, 1, 1), trigger(2_110, 1, 1), trigger(3_006, 1)];
    expect(judged({ customer: 'silent', refreshes: [], posts })).toMatchObject({ repeatedPushes: 1 });
  });

  it('is not a fresh trigger for the same position that another event caused', () => {
    const events = [event('e1', 100), event('e2', 150)];
    const posts = [trigger(105, 1), trigger(155, 1)];
    expect(judged({ customer: 'silent', refreshes: [], events, posts })).toMatchObject(nothingWrong);
    const again = [...posts, trigger(160, 1)];
    expect(judged({ customer: 'silent', refreshes: [], events, posts: again })).toMatchObject({
      repeatedPushes: 1,
    });
  });

  it('is a plain push that came again', () => {
    const posts = [plain(105, 1, 'e1'), plain(106, 1, 'e1'), plain(3_006, 2, 'e2')];
    expect(judged({ customer: 'plain', refreshes: [], posts })).toMatchObject({
      ...nothingWrong,
      duplicated: 1,
    });
  });
});

describe('inversions', () => {
  it('are events in another order than they were published in', () => {
    expect(judged({ transcript: transcript('e2', 'e1') })).toMatchObject({ inversions: 1, lost: 0 });
  });

  it('are triggers with a position before that of an earlier one', () => {
    const posts = [trigger(3_006, 2), trigger(3_007, 1)];
    expect(judged({ posts })).toMatchObject({ inversions: 1 });
  });

  it('are triggers of a record before that of an earlier one', () => {
    const posts = [trigger(105, 1), trigger(3_005, 1, 0, 3_000), trigger(3_010, 1, 1, 2_100)];
    expect(judged({ customer: 'silent', refreshes: [], posts })).toMatchObject({ inversions: 1 });
  });

  it('are plain pushes out of order', () => {
    const posts = [plain(3_006, 2, 'e2'), plain(3_007, 1, 'e1')];
    expect(judged({ customer: 'plain', refreshes: [], posts })).toMatchObject({ inversions: 1 });
  });
});

describe('examples', () => {
  it('name chat, time and what was broken, and are none when nothing was', () => {
    expect(judge(historyOf(good())).examples).toEqual([]);
    const { examples } = judged({
      posts: [trigger(105, 1), trigger(3_006, 2), trigger(5_000, 1)],
      transcript: transcript('e1'),
      refreshes: [refresh(110, 2, ['e1'])],
    });
    expect(examples.map((example) => describeExample(example, T0))).toEqual([
      'lost: at 3.00 s, chat chat-1 of shard 1: e2 is not in the transcript',
      'afterConfirm: at 5.00 s, chat chat-1 of shard 1: attempt 0 for position 1 came 4890 ms after the refresh was answered',
    ]);
  });

  it('are the first ten', () => {
    const sessions = Array.from({ length: 20 }, () => ({ ...good(), transcript: transcript('e1') }));
    expect(judge({ ...historyOf(good()), sessions }).examples).toHaveLength(10);
  });
});

describe('afterConfirm', () => {
  const late = (afterMs: number) =>
    judged({
      posts: [trigger(105, 1), trigger(110 + afterMs, 1, 1, 2_105), trigger(3_006, 2)],
    });

  it('is a trigger that begins after the refresh that retrieved its position, beyond what may have been in flight', () => {
    expect(late(IN_FLIGHT_ALLOWANCE_MS + 1)).toMatchObject({ afterConfirm: 1 });
  });

  it('allows for as long as the receiver itself was slow meanwhile', () => {
    const slow = (fromMs: number, toMs: number) =>
      judged(
        {
          posts: [
            trigger(105, 1),
            trigger(110 + IN_FLIGHT_ALLOWANCE_MS + 500, 1, 1, 2_105),
            trigger(3_006, 2),
          ],
        },
        { receiverDelays: [[{ fromMs: T0 + fromMs, toMs: T0 + toMs }]] },
      );
    expect(slow(1_000, 1_500)).toMatchObject({ afterConfirm: 0 });
    expect(slow(1_000, 1_499)).toMatchObject({ afterConfirm: 1 });
    expect(slow(1_700, 3_000)).toMatchObject({ afterConfirm: 1 });
  });

  it('is not one that was on its way', () => {
    expect(late(IN_FLIGHT_ALLOWANCE_MS)).toMatchObject({ afterConfirm: 0 });
  });
});

it('overAttempts are attempts beyond the option', () => {
  const posts = [0, 1, 2, 3].map((attempt) => trigger(105 + attempt * DELAY_MS, 1, attempt));
  const silent: Partial<SessionHistory> = { customer: 'silent', refreshes: [], events: [event('e1', 100)] };
  expect(judged({ ...silent, posts })).toMatchObject({ overAttempts: 0 });
  expect(judged({ ...silent, posts: [...posts, trigger(105 + 4 * DELAY_MS, 1, 4)] })).toMatchObject({
    overAttempts: 1,
  });
});

it('stranded are those who did not confirm and whose resends stopped', () => {
  const posts = [trigger(105, 1), trigger(3_006, 1)];
  const silent: Partial<SessionHistory> = { customer: 'silent', refreshes: [], posts };
  const stopsAtMs = T0 + 3_006 + DELAY_MS + STANDSTILL_AFTER_MS;
  expect(judged(silent, { watchedUntilMs: stopsAtMs })).toMatchObject({ stranded: 0 });
  expect(judged(silent, { watchedUntilMs: stopsAtMs + 1 })).toMatchObject({ stranded: 1 });
  const exhausted = [...posts, ...[1, 2, 3].map((k) => trigger(3_006 + k * DELAY_MS, 1, k))];
  expect(judged({ ...silent, posts: exhausted }, { watchedUntilMs: stopsAtMs + 60_000 })).toMatchObject({
    stranded: 0,
  });
});

describe('lateness', () => {
  it('of a resend counts from the attempt before plus the delay', () => {
    const posts = [trigger(102, 1), trigger(102 + DELAY_MS + 70, 1, 1)];
    const silent: Partial<SessionHistory> = { customer: 'silent', refreshes: [], events: [event('e1', 100)] };
    expect(judged({ ...silent, posts })).toMatchObject({ latenessP50Ms: 0, latenessMaxMs: 70 });
  });

  it('is not taken from receivers that are broken on purpose', () => {
    expect(judged({}, { timedReceivers: new Set([1]) })).toMatchObject({
      latenessP99Ms: null,
      latenessMaxMs: null,
    });
  });
});

describe('takeoverMs', () => {
  const fault = (affected: Fault['affected']): Fault => ({ what: 'kill', atMs: T0 + 2_990, affected });

  it('runs from the fault to the first push of an affected session for an event after it', () => {
    expect(judged({}, { faults: [fault(new Set([1]))] }).takeoverMs).toBe(16);
    expect(judged({}, { faults: [fault('all')] }).takeoverMs).toBe(16);
  });

  it('is null when no session was affected', () => {
    expect(judged({}, { faults: [fault(new Set([2]))] }).takeoverMs).toBeNull();
    expect(judged({}, { faults: [fault('none')] }).takeoverMs).toBeNull();
  });

  it('does not count a push that was on its way when the fault came', () => {
    const posts = [trigger(105, 1), trigger(2_995, 1, 1), trigger(3_500, 2)];
    expect(judged({ posts }, { faults: [fault('all')] }).takeoverMs).toBe(510);
  });
});

describe('backlogs', () => {
  const faultAt = (atMs: number): Fault => ({ what: 'kill', atMs: T0 + atMs, affected: 'all' });
  /** An event at each of these times, pushed and fetched so much later. */
  const held = (...delays: [atMs: number, laterMs: number][]): SessionHistory => ({
    ...good(),
    events: delays.map(([atMs], n) => event(`e${n}`, atMs)),
    posts: delays.map(([atMs, laterMs], n) => trigger(atMs + laterMs, n + 1)),
    refreshes: delays.map(([atMs, laterMs], n) => refresh(atMs + laterMs + 5, n + 2, [`e${n}`])),
    transcript: transcript(...delays.map((_, n) => `e${n}`)),
  });
  const backlogs = (session: SessionHistory, ...atMs: number[]) =>
    backlogsAfter(historyOf(session, { faults: atMs.map(faultAt) }));

  it('last until the last push that was late', () => {
    expect(backlogs(held([1_000, 500], [1_600, 400], [2_100, 30]), 950)).toEqual([1_050]);
  });

  it('are none where no push was late', () => {
    expect(backlogs(held([1_000, 200]), 950)).toEqual([0]);
  });

  it('belong to the fault before them', () => {
    const session = held([100, 400], [1_000, 500], [5_000, 3], [9_000, 300]);
    expect(backlogs(session, 950, 4_900, 8_990)).toEqual([550, 0, 310]);
  });
});

describe('limits', () => {
  const broken = (limits: Parameters<typeof checkLimits>[1], changes: Partial<SessionHistory> = {}) =>
    checkLimits(judged(changes), limits)
      .filter(({ ok }) => !ok)
      .map(({ name }) => name);

  it('are broken by a figure above them only', () => {
    expect(broken(strictLimits)).toEqual([]);
    expect(broken({ ...strictLimits, latenessMaxMs: 4 })).toEqual([]);
    expect(broken({ ...strictLimits, latenessMaxMs: 3 })).toEqual(['latenessMaxMs']);
    expect(broken(strictLimits, { transcript: transcript('e1') })).toEqual(['lost']);
  });

  it('are broken by a figure that could not be measured', () => {
    expect(broken({ ...strictLimits, takeoverMs: 1_000 })).toEqual(['takeoverMs']);
  });
});
