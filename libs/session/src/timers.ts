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

/** A timer of a session that is known. */
export interface ArmedTimer extends Pick<TimerName, 'kind' | 'userId'> {
  /** Epoch ms. */
  dueAtMs: number;
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

/** Every timer the session wants armed. The timers are a function of the state alone. */
export function armedTimers(session: Session): ArmedTimer[] {
  const timers: ArmedTimer[] = [];
  for (const participant of session.participants) {
    const { userId, subscription, inactivity } = participant;
    if (subscription?.schedule?.status === 'armed')
      timers.push({ kind: 'resend', userId, dueAtMs: subscription.schedule.dueAtMs });
    if (inactivity && participant.status === 'in') {
      // One of them at a time; a polling client has no ping.
      const kind = inactivity.step !== 'leaving' && isPushClient(participant) ? 'ping' : 'disconnect';
      timers.push({ kind, userId, dueAtMs: inactivity.dueAtMs });
    }
  }
  if (session.idle && session.status === 'open') {
    const kind = session.idle.step === 'quiet' ? 'idle-alert' : 'idle-close';
    timers.push({ kind, userId: NO_USER, dueAtMs: session.idle.dueAtMs });
  }
  if (session.status === 'ended') timers.push({ kind: 'purge', userId: NO_USER, dueAtMs: session.purgeAtMs });
  return timers;
}

/** When one of these timers is due, epoch ms; undefined: it is not armed. They are few, so a search costs less than a map. */
export function dueAtMsOf(
  timers: readonly ArmedTimer[],
  { kind, userId }: Pick<TimerName, 'kind' | 'userId'>,
): number | undefined {
  return timers.find((timer) => timer.kind === kind && timer.userId === userId)?.dueAtMs;
}

/** Every timer the session wants armed: its member, and when it is due, epoch ms. */
export function timersOf(session: Session): Map<string, number> {
  const { sessionId } = session;
  return new Map(armedTimers(session).map((timer) => [timerMember({ sessionId, ...timer }), timer.dueAtMs]));
}
