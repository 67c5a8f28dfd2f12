import { isPushClient } from './push';
import type { Session } from './session';

export const timerKinds = ['resend', 'ping', 'disconnect', 'idle-alert', 'idle-close', 'purge'] as const;
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
  for (const participant of session.participants) {
    const { userId, subscription, inactivity } = participant;
    if (subscription?.schedule?.status === 'armed')
      timers.set(timerMember({ kind: 'resend', sessionId, userId }), subscription.schedule.dueAtMs);
    if (inactivity && participant.status === 'in') {
      // One of them at a time; a polling client has no ping.
      const kind = inactivity.step !== 'leaving' && isPushClient(participant) ? 'ping' : 'disconnect';
      timers.set(timerMember({ kind, sessionId, userId }), inactivity.dueAtMs);
    }
  }
  if (session.idle && session.status === 'open') {
    const kind = session.idle.step === 'quiet' ? 'idle-alert' : 'idle-close';
    timers.set(timerMember({ kind, sessionId, userId: NO_USER }), session.idle.dueAtMs);
  }
  if (session.status === 'ended')
    timers.set(timerMember({ kind: 'purge', sessionId, userId: NO_USER }), session.purgeAtMs);
  return timers;
}
