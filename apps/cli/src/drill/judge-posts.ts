import type { PublishedEvent, ReceivedPost, SessionHistory } from './history';

interface PostCounts {
  repeated: number;
  inversions: number;
  overAttempts: number;
}

/** The log's clock and ours may differ by a little, and an event is stored between its sending and its acknowledgement. */
const STORED_ALLOWANCE_MS = 1_500;

/** Order, repeats and attempts among the POSTs of one subscription, in the order of their arrival. */
export function judgePosts(session: SessionHistory, attemptMax: number): PostCounts {
  return session.customer === 'plain' ? judgePlain(session) : judgeTriggers(session, attemptMax);
}

function judgePlain({ posts }: SessionHistory): PostCounts {
  const counts = { repeated: 0, inversions: 0, overAttempts: 0 };
  const seen = new Set<string>();
  let highest = 0;
  for (const { marker, position } of posts) {
    if (marker === undefined) continue;
    if (seen.has(marker)) counts.repeated++;
    else if (position < highest) counts.inversions++;
    seen.add(marker);
    highest = Math.max(highest, position);
  }
  return counts;
}

function judgeTriggers({ posts, events }: SessionHistory, attemptMax: number): PostCounts {
  const counts = { repeated: 0, inversions: 0, overAttempts: 0 };
  const seen = new Map<string, number>();
  let newest: ReceivedPost | undefined;
  for (const post of posts) {
    // -1 tells of a removal, which no drill causes by itself.
    if (post.position < 1) continue;
    const attempt = post.attempt ?? 0;
    if (attempt > attemptMax) counts.overAttempts++;
    const key = `${attempt} ${post.position} ${post.jobAtMs}`;
    const times = (seen.get(key) ?? 0) + 1;
    seen.set(key, times);
    if (times > timesAllowed(post, events)) counts.repeated++;
    else if (newest && (post.position < newest.position || post.jobAtMs < newest.jobAtMs))
      counts.inversions++;
    if (!newest || post.jobAtMs >= newest.jobAtMs) newest = post;
  }
  return counts;
}

/**
 * A notification carries no id that the outside could see: attempt, position and the second of its record name it.
 * Attempt 0 is sent anew for each event, so it may come as often as there are events that may be of that second.
 */
function timesAllowed({ attempt, jobAtMs }: ReceivedPost, events: readonly PublishedEvent[]): number {
  if (attempt !== 0) return 1;
  const fromMs = jobAtMs - STORED_ALLOWANCE_MS;
  const toMs = jobAtMs + 1_000 + STORED_ALLOWANCE_MS;
  const possible = events.filter(
    ({ sentAtMs, ackedAtMs }) => sentAtMs <= toMs && (ackedAtMs ?? Number.POSITIVE_INFINITY) >= fromMs,
  );
  return Math.max(1, possible.length);
}
