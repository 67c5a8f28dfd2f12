import type { DrillHistory, ReceivedPost, SessionHistory } from './history';

/** The markers that the customer learnt of, each with when. */
export function toldMarkers(session: SessionHistory): Map<string, number> {
  const told = new Map<string, number>();
  const note = (marker: string, atMs: number) => {
    if (!told.has(marker)) told.set(marker, atMs);
  };
  switch (session.customer) {
    case 'refreshing':
      // It refreshes only when it was told to.
      for (const { markers, answeredAtMs } of session.refreshes)
        for (const marker of markers) note(marker, answeredAtMs);
      return told;
    case 'plain':
      for (const { marker, atMs } of session.posts) if (marker !== undefined) note(marker, atMs);
      return told;
    case 'silent': {
      const positions = new Map(session.transcript?.map(({ marker, position }) => [marker, position]));
      for (const { marker, sentAtMs } of session.events) {
        const position = positions.get(marker);
        const post = session.posts.find((p) => p.atMs >= sentAtMs && p.position <= (position ?? -1));
        if (post) note(marker, post.atMs);
      }
      return told;
    }
    default:
      return session.customer satisfies never;
  }
}

/**
 * How late each push was: that of an event counts from its acknowledgement, a resend from the attempt before plus the
 * delay. An event that came with the refresh for another one counts from then.
 */
export function latenessOf(
  session: SessionHistory,
  history: DrillHistory,
): { atMs: number; latenessMs: number }[] {
  const latenesses: { atMs: number; latenessMs: number }[] = [];
  const note = (atMs: number, dueAtMs: number) =>
    latenesses.push({ atMs, latenessMs: Math.max(0, atMs - dueAtMs) });
  const told = toldMarkers(session);
  for (const { marker, sentAtMs, ackedAtMs } of session.events) {
    const toldAtMs = told.get(marker);
    if (toldAtMs === undefined || ackedAtMs === undefined) continue;
    const push = session.posts.find(({ atMs }) => atMs >= sentAtMs && atMs <= toldAtMs);
    note(push?.atMs ?? toldAtMs, ackedAtMs);
  }
  let before: ReceivedPost | undefined;
  for (const post of session.posts) {
    const attempt = post.attempt ?? 0;
    if (attempt > 0 && before?.attempt === attempt - 1 && before.position === post.position)
      note(post.atMs, before.atMs + history.resendDelayMs);
    before = post;
  }
  return latenesses;
}
