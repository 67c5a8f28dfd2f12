import { subscriptionKey, type ChatEvent } from '@flexpush/contracts';
import { timersOf, type Session } from '@flexpush/session';
import type { ShardStore } from './ports';
import { parseSession } from './session-cache';

/** What a look at some stored sessions has found. */
export interface AuditFindings {
  sessions: number;
  /** Timers that the fold wants and the store has not, or has for much later. */
  timers: [member: string, dueAtMs: number][];
  /** Timers that are stored and long due: nobody claims them, or what was claimed does not get into the log. */
  late: number;
  oldestLateMs: number;
  /** Open subscriptions with unretrieved content and neither schedule nor outbox entry (I6). */
  stranded: string[];
}

export interface AuditRules {
  nowMs: number;
  hasEntry(outboxKey: string): boolean;
  /** Since when messages of others are pushed in chats of this service; undefined: they are not. */
  pushesMessagesSinceMs(service: string): number | undefined;
}

/** A claim moves a timer's due time behind the visibility time, which may be set to ten minutes. */
const CLAIM_SLACK_MS = 15 * 60_000;
/** Claims and appends of a timer that is due take so long at most while all is well, also behind a short outage. */
export const TIMER_LATE_MS = 60_000;
const EVENTS_LOOKED_AT = 20;

/**
 * Compares stored sessions with the stored timers and the outbox. To be called between two commits of the shard by its
 * owner: nobody else adds or removes what is compared, and a claim only moves a timer back. So what is missing is missing.
 */
export async function auditSessions(
  store: Pick<ShardStore, 'loadSessions' | 'timerScores' | 'loadTranscript'>,
  shard: number,
  sessionIds: readonly string[],
  rules: AuditRules,
): Promise<AuditFindings> {
  const texts = await store.loadSessions(shard, sessionIds);
  const sessions = sessionIds.flatMap(
    (sessionId, i) => parseSession(sessionId, texts[i] ?? null).session ?? [],
  );
  const wanted = sessions.flatMap((session) => [...timersOf(session)]);
  const scores = await store.timerScores(
    shard,
    wanted.map(([member]) => member),
  );
  const findings: AuditFindings = {
    sessions: sessions.length,
    timers: [],
    late: 0,
    oldestLateMs: 0,
    stranded: [],
  };
  wanted.forEach(([member, dueAtMs], i) => {
    const scoreMs = scores[i];
    const lateMs = rules.nowMs - dueAtMs;
    if (scoreMs === undefined || scoreMs > Math.max(dueAtMs, rules.nowMs) + CLAIM_SLACK_MS)
      findings.timers.push([member, dueAtMs]);
    else if (lateMs > TIMER_LATE_MS) {
      findings.late++;
      findings.oldestLateMs = Math.max(findings.oldestLateMs, lateMs);
    }
  });
  for (const session of sessions) findings.stranded.push(...(await strandedIn(store, shard, session, rules)));
  return findings;
}

/**
 * A reliable subscription without a schedule has retrieved everything that was to be pushed. What surely was are messages
 * of other participants, if the options have said so ever since.
 */
async function strandedIn(
  store: Pick<ShardStore, 'loadTranscript'>,
  shard: number,
  session: Session,
  rules: AuditRules,
): Promise<string[]> {
  const sinceMs = rules.pushesMessagesSinceMs(session.service);
  if (sinceMs === undefined) return [];
  const stranded: string[] = [];
  for (const { userId, participantId, subscription } of session.participants) {
    if (!subscription?.resend || subscription.status !== 'open' || subscription.schedule) continue;
    // A connected CometD client gets its events without a schedule; without a device nothing is announced at all.
    if (subscription.address !== undefined || subscription.deviceType === 'comet') continue;
    const key = subscriptionKey(session.sessionId, userId);
    const last = session.nextPosition - 1;
    if (subscription.unread > last || rules.hasEntry(key)) continue;
    const first = Math.max(subscription.unread, last - EVENTS_LOOKED_AT + 1);
    const events = await store.loadTranscript(shard, session.sessionId, { first, last });
    const isContent = (json: string | null): boolean => {
      if (json === null) return false;
      const { type, from, utcTime } = JSON.parse(json) as ChatEvent;
      return type === 'Message' && from.participantId !== participantId && utcTime > sinceMs;
    };
    if (events.some(isContent)) stranded.push(key);
  }
  return stranded;
}
