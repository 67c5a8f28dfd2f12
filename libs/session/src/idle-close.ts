import { userDataKeys } from '@flexpush/contracts';
import type { Work } from './effects';
import { idleOptions, isAsync } from './idle-watch';
import { LATE_MS } from './inactivity';
import { closeSession, quitReasons, say, SYSTEM } from './transcript';
import { changeUserData } from './user-data-change';

/** `GCTI_Chat_AsyncStatus` of a chat whose alert has been said (CONTRACT 4.2c). */
const ASYNC_ALERTED = '3';

/** The watch's timer fired: an alert, perhaps a second one, the close. */
export function climbIdle(work: Work): void {
  const { idle } = work.session;
  if (!idle || work.session.status !== 'open') return;
  const options = idleOptions(work);
  // Switched off meanwhile.
  if (!options) {
    work.session.idle = undefined;
    return;
  }
  const { alertMs, alert2Ms, closeMs } = options;
  const isLate = work.atMs - idle.dueAtMs > LATE_MS;
  switch (idle.step) {
    case 'quiet': {
      const quietUntilMs = idle.lastActivityAtMs + alertMs;
      if (quietUntilMs > work.atMs) idle.dueAtMs = quietUntilMs;
      else if (isLate) idle.dueAtMs = work.atMs + alertMs;
      else {
        idle.step = 'alerted';
        idle.dueAtMs = work.atMs + (alert2Ms > 0 ? alert2Ms : closeMs);
        noteAlert(work, idle.dueAtMs);
        say(work, SYSTEM, { type: 'IdleAlert', text: work.options.idleTexts.alert });
      }
      return;
    }
    case 'alerted':
      if (isLate) idle.dueAtMs = work.atMs + (alert2Ms > 0 ? alert2Ms : closeMs);
      else if (alert2Ms > 0) {
        idle.step = 'alerted-twice';
        idle.dueAtMs = work.atMs + closeMs;
        say(work, SYSTEM, { type: 'IdleAlert', text: work.options.idleTexts.alert2 });
      } else close(work);
      return;
    case 'alerted-twice':
      if (isLate) idle.dueAtMs = work.atMs + closeMs;
      else close(work);
      return;
    default:
      idle.step satisfies never;
  }
}

function close(work: Work): void {
  say(work, SYSTEM, { type: 'IdleClose', text: work.options.idleTexts.close });
  closeSession(work, quitReasons.chatIdle);
}

/** The workflow behind an asynchronous chat finds in the user data that it should look, and when. */
function noteAlert(work: Work, checkAtMs: number): void {
  if (!isAsync(work.session)) return;
  changeUserData(work, {
    ...work.session.userData,
    [userDataKeys.asyncStatus]: ASYNC_ALERTED,
    [userDataKeys.asyncCheckAt]: String(checkAtMs),
  });
}
