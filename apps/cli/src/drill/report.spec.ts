import { actorDrills } from './drills-actor';
import type { DrillHistory, SessionHistory } from './history';
import { judge } from './judge';
import { checkLimits, strictLimits } from './limits';
import { niceStep } from './report-chart';
import { reportHtml } from './report-html';
import { seriesOf } from './report-series';
import type { DrillResult } from './run-drill';

const T0 = 1_800_000_000_000;
const drill = actorDrills[0];
if (!drill) throw new Error('there is no drill');

/** One event a second for ten seconds; nothing is pushed from second 4 to 6. */
function history(): DrillHistory {
  const numbers = Array.from({ length: 10 }, (_, n) => n);
  const pushedAtMs = (n: number) => T0 + (n === 4 || n === 5 ? 6_000 : n * 1_000 + 5);
  const session: SessionHistory = {
    sessionId: 'chat-1',
    customer: 'plain',
    shard: 3,
    receiver: 0,
    events: numbers.map((n) => ({
      marker: `e${n}`,
      sentAtMs: T0 + n * 1_000,
      ackedAtMs: T0 + n * 1_000 + 1,
    })),
    posts: numbers.map((n) => ({ atMs: pushedAtMs(n), jobAtMs: 0, position: n + 1, marker: `e${n}` })),
    refreshes: [],
    transcript: numbers.map((n) => ({ marker: `e${n}`, position: n + 1 })),
  };
  return {
    sessions: [session],
    faults: [{ what: 'kill <it> & "wait"', atMs: T0 + 4_000, affected: new Set([3]) }],
    resendDelayMs: 2_000,
    resendAttemptMax: 3,
    watchedUntilMs: T0 + 10_000,
    timedReceivers: new Set([0]),
    receiverDelays: [],
  };
}

function resultOf(of: DrillHistory): DrillResult {
  const judgement = judge(of);
  const limits = checkLimits(judgement, { ...strictLimits, takeoverMs: 1_000 });
  return {
    drill: 'kill-owner',
    verdict: limits.every(({ ok }) => ok) ? 'pass' : 'fail',
    ...judgement,
    limits,
    sessions: 1,
    ratePerS: 1,
    seconds: 10,
    seed: 7,
    target: 'a test',
    skipped: 0,
    ownDelayP99Ms: 1,
    ownDelayMaxMs: 12,
    receiverDelayMaxMs: 0,
    events: of.faults.map(({ what, atMs }) => ({ what, atMs })),
  };
}

describe('the series of the charts', () => {
  const series = seriesOf(history());
  const total = (of: 'events' | 'pushes') => series.buckets.reduce((sum, bucket) => sum + bucket[of], 0);

  it('has every event and every push once', () => {
    expect([total('events'), total('pushes')]).toEqual([10, 10]);
  });

  it('shows the lateness where the push came', () => {
    const late = series.buckets
      .map(({ latenessMaxMs }, n) => ({ latenessMaxMs, atS: n * series.bucketS }))
      .filter(({ latenessMaxMs }) => latenessMaxMs > 100);
    expect(late).toEqual([{ latenessMaxMs: 1_999, atS: 6 }]);
  });

  it('marks the fault, and the time until the first push of an affected session', () => {
    expect(series.faults).toEqual([{ what: 'kill <it> & "wait"', atS: 4, gapEndS: 6 }]);
  });

  it.each([
    { span: 0, step: 1 },
    { span: 3, step: 1 },
    { span: 47, step: 20 },
    { span: 1_999, step: 500 },
  ])('has ticks of $step for up to $span', ({ span, step }) => {
    expect(niceStep(span, 4)).toBe(step);
  });
});

describe('the page', () => {
  const page = reportHtml(drill, resultOf(history()), history());

  it('needs nothing from outside', () => {
    expect(page).not.toMatch(/<script|<link|<img|src=|@import|url\(|https?:/);
  });

  it('shows the verdict, every limit, and which is broken', () => {
    expect(page).toContain('class="verdict fail"');
    expect(
      [...page.matchAll(/<tr class="(\w*)"><td>(\w+)/g)].map(([, state, name]) => [name, state]),
    ).toEqual([
      ['lost', 'ok'],
      ['duplicated', 'ok'],
      ['inversions', 'ok'],
      ['afterConfirm', 'ok'],
      ['overAttempts', 'ok'],
      ['stranded', 'ok'],
      ['takeoverMs', 'broken'],
      ['latenessP99Ms', ''],
      ['latenessMaxMs', ''],
    ]);
  });

  it('has two charts with the fault and its gap, and texts that cannot break it', () => {
    expect(page.match(/<svg/g)).toHaveLength(2);
    expect(page.match(/class="gap"/g)).toHaveLength(2);
    expect(page).toContain('kill &lt;it&gt; &amp; &quot;wait&quot;');
    expect(page).not.toContain('<it>');
    expect(page).not.toContain('NaN');
  });
});
