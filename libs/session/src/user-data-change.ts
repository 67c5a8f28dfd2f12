import { secretUserDataKeys } from '@flexpush/contracts';
import type { Work } from './effects';
import type { Participant } from './session';

type UserData = Readonly<Record<string, string>>;

/**
 * Replaces the user data of the chat, and announces what is different: nobody outside could read it otherwise. `author`
 * is absent where the server itself changes it. A notice is no larger than the record that caused it.
 */
export function changeUserData(
  work: Work,
  userData: Record<string, string>,
  author?: Pick<Participant, 'userId' | 'participantId'>,
): void {
  const before = work.session.userData;
  work.session.userData = userData;
  announceUserData(work, before, author);
}

/** Announces how the user data differ from what they were. */
export function announceUserData(
  work: Work,
  before: UserData,
  author?: Pick<Participant, 'userId' | 'participantId'>,
): void {
  const { sessionId, userData } = work.session;
  const isNews = ([key, value]: [string, string]) => !secretUserDataKeys.has(key) && before[key] !== value;
  const changed = Object.entries(userData).filter(isNews);
  const removed = Object.keys(before).filter(
    (key) => !secretUserDataKeys.has(key) && !Object.hasOwn(userData, key),
  );
  if (changed.length === 0 && removed.length === 0) return;
  work.effects.push({
    kind: 'announce',
    sessionId,
    notice: {
      type: 'user-data',
      ...(author ? { userId: author.userId, participantId: author.participantId } : {}),
      userData: Object.fromEntries(changed),
      ...(removed.length > 0 ? { removed } : {}),
      utcTime: work.atMs,
    },
  });
}
