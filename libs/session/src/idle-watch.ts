import { userDataKeys, type IdleOptions, type NoticeLevel } from '@flexpush/contracts';
import type { PositionedEvent, Work } from './effects';
import type { Idle, Session } from './session';
import { changeUserData } from './user-data-change';

/** The notices of each level; each has those of the levels before it (CONTRACT 4.2). */
const noticesOf: Record<NoticeLevel, readonly string[]> = {
  none: [],
  major: ['PushUrl', 'FileUploaded', 'FileDeleted'],
  major2: ['PushUrl', 'FileUploaded', 'FileDeleted', 'CustomNotice'],
  typing: ['PushUrl', 'FileUploaded', 'FileDeleted', 'CustomNotice', 'TypingStarted', 'TypingStopped'],
  all: [
    ...['PushUrl', 'FileUploaded', 'FileDeleted', 'CustomNotice', 'TypingStarted', 'TypingStopped'],
    'NicknameUpdated',
  ],
};

export function isAsync(session: Session): boolean {
  return session.userData[userDataKeys.asyncMode]?.trim().toLowerCase() === 'true';
}

/** By what rules this chat is closed for inactivity; undefined: it is not. */
export function idleOptions({ session, options }: Work): IdleOptions | undefined {
  return isAsync(session) ? options.asyncIdle : options.idle;
}

/** Messages count always, comings and goings of agents too, notices as the options say. */
function isActivity(event: PositionedEvent, { notices }: IdleOptions): boolean {
  if (event.type === 'Message') return true;
  if (event.type === 'ParticipantJoined' || event.type === 'ParticipantLeft')
    return event.from.type !== 'Client';
  return noticesOf[notices].includes(event.type);
}

/** The chat begins to be watched. */
export function startIdle(work: Work): void {
  const options = idleOptions(work);
  if (options) work.session.idle = watching(work, options);
}

function watching({ atMs }: Work, { alertMs }: IdleOptions): Idle {
  return { lastActivityAtMs: atMs, step: 'quiet', dueAtMs: atMs + alertMs };
}

/** Activity begins the watch anew; while nobody is alerted only its time is noted, and the fire arms the timer anew. */
export function noteActivity(work: Work, event: PositionedEvent): void {
  if (work.session.status !== 'open') return;
  const options = idleOptions(work);
  if (!options || !isActivity(event, options)) return;
  const { idle } = work.session;
  if (idle?.step === 'quiet') {
    idle.lastActivityAtMs = work.atMs;
    idle.dueAtMs = Math.min(idle.dueAtMs, work.atMs + options.alertMs);
    return;
  }
  work.session.idle = watching(work, options);
  if (!idle || !isAsync(work.session)) return;
  const {
    [userDataKeys.asyncStatus]: _status,
    [userDataKeys.asyncCheckAt]: _checkAt,
    ...userData
  } = work.session.userData;
  changeUserData(work, userData);
}
