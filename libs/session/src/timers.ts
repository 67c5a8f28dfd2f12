import type { Session } from './session';

export const timerKinds = ['resend', 'ping', 'disconnect', 'purge'] as const;
export type TimerKind = (typeof timerKinds)[number];

/** Stands for the user in timers of the whole session. */
const NO_USER = '-';

export interface TimerName {
  kind: TimerKind;
  sessionId: string;
  userId: string;
}

/** `kind:sessionId:userId`, the member in the sorted set. */
export function timerMember(name: TimerName): string {
  return `${name.kind}:${name.sessionId}:${name.userId}`;
}

export function parseTimerMember(member: string): TimerName | undefined {
  const [kind, sessionId, userId, ...rest] = member.split(':');
  if (!timerKinds.includes(kind as TimerKind) || !sessionId || !userId || rest.length > 0) return undefined;
  return { kind: kind as TimerKind, sessionId, userId };
}

/** Every timer the session wants armed, with its due time (epoch ms). The timers are a function of the state alone. */
export function timersOf(session: Session): Map<string, number> {
  const timers = new Map<string, number>();
  const { sessionId } = session;
  for (const { userId, subscription } of session.participants) {
    if (!subscription) continue;
    const { schedule, inactivity } = subscription;
    if (schedule?.status === 'armed')
      timers.set(timerMember({ kind: 'resend', sessionId, userId }), schedule.dueAtMs);
    if (subscription.status === 'open') {
      const kind = inactivity.step === 'leaving' ? 'disconnect' : 'ping';
      timers.set(timerMember({ kind, sessionId, userId }), inactivity.dueAtMs);
    }
  }
  if (session.status === 'ended')
    timers.set(timerMember({ kind: 'purge', sessionId, userId: NO_USER }), session.purgeAtMs);
  return timers;
}
