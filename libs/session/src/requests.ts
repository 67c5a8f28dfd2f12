import { BOUNDS, type RecordOf } from '@flexpush/contracts';
import type { Reply, Work } from './effects';
import { noteRequest } from './inactivity';
import { confirm, isSubscribed, startSchedule } from './push';
import { findParticipant, type Participant, type Session } from './session';
import { hasRoom, removeParticipant, say } from './transcript';

/** What a customer's program asks by REST. */
export type RequestRecord = RecordOf<
  'request.refresh' | 'request.send' | 'request.startTyping' | 'request.stopTyping' | 'request.disconnect'
>;

export function isRequest(record: { type: string }): record is RequestRecord {
  return record.type.startsWith('request.');
}

function reply(session: Session, outcome: Reply['outcome'], more: Partial<Reply> = {}): Reply {
  // Silent monitoring is not built yet, so nobody monitors (CONTRACT 6 #36).
  return { outcome, chatEnded: session.status === 'ended', monitored: false, ...more };
}

/**
 * The part of the transcript from a position on, and the position to ask for next. A long one comes in several refreshes;
 * who is out reads up to its own leave, for the others may have gone on without it.
 */
function pageFrom(
  session: Session,
  { lastPosition }: Participant,
  transcriptPosition: number | undefined,
): Partial<Reply> {
  const end = lastPosition === undefined ? session.nextPosition : lastPosition + 1;
  const first = Math.min(Math.max(transcriptPosition ?? 1, 1), end);
  const last = Math.min(end, first + BOUNDS.eventsPerReply) - 1;
  return { page: { first, last }, nextPosition: last + 1 };
}

/** The answer for a request that is known already: from the present state, without any change. */
export function answerAgain(session: Session, record: RequestRecord): Reply {
  const participant = findParticipant(session, record.userId);
  if (!participant) return reply(session, 'unknown-participant');
  if (participant.keyHash !== record.keyHash) return reply(session, 'bad-key');
  if (record.type === 'request.disconnect') return reply(session, 'ok', { chatEnded: true });
  if (participant.status === 'out' && session.status === 'open') return reply(session, 'removed');
  const hasPage =
    record.type === 'request.refresh' ||
    (record.type === 'request.send' && record.transcriptPosition !== undefined);
  return reply(session, 'ok', hasPage ? pageFrom(session, participant, record.transcriptPosition) : {});
}

/** Folds a request. A wrong key changes nothing, and does not remove the participant (CONTRACT, departures). */
export function foldRequest(work: Work, record: RequestRecord): Reply {
  const participant = findParticipant(work.session, record.userId);
  if (!participant) return reply(work.session, 'unknown-participant');
  if (participant.keyHash === undefined || participant.keyHash !== record.keyHash)
    return reply(work.session, 'bad-key');
  if (participant.status === 'out') return foldLateRequest(work, participant, record);
  noteRequest(work, participant);
  switch (record.type) {
    case 'request.refresh':
      foldPreview(work, participant, record.preview);
      return retrieve(work, participant, record.transcriptPosition);
    case 'request.send':
      if (!hasRoom(work))
        return reply(work.session, 'refused', { reason: 'the chat has reached its limit of events' });
      participant.typing = false;
      say(work, participant, {
        type: 'Message',
        text: record.text,
        messageType: record.messageType ?? 'text',
      });
      return reply(
        work.session,
        'ok',
        record.transcriptPosition === undefined
          ? {}
          : pageFrom(work.session, participant, record.transcriptPosition),
      );
    case 'request.startTyping':
    case 'request.stopTyping':
      if (hasRoom(work))
        sayTyping(work, participant, { on: record.type === 'request.startTyping', text: record.text });
      return reply(work.session, 'ok');
    case 'request.disconnect':
      removeParticipant(work, participant, { own: true });
      return reply(work.session, 'ok', { chatEnded: true });
    default:
      return record satisfies never;
  }
}

/**
 * Requests of someone who is out. A late refresh acknowledges the removal (CONTRACT 6 #14); after the end of the chat it
 * still gets the rest of the transcript (#39).
 */
function foldLateRequest(work: Work, participant: Participant, record: RequestRecord): Reply {
  if (record.type === 'request.disconnect') return reply(work.session, 'ok', { chatEnded: true });
  if (record.type !== 'request.refresh') return reply(work.session, 'removed');
  if (work.session.status === 'ended') return retrieve(work, participant, record.transcriptPosition);
  if (isSubscribed(participant)) confirm(work, participant);
  return reply(work.session, 'removed');
}

/** A refresh: the transcript from the position asked for, and the confirmation of what was pushed (CONTRACT 6 #5, #6). */
function retrieve(work: Work, participant: Participant, transcriptPosition: number | undefined): Reply {
  const answer = reply(work.session, 'ok', pageFrom(work.session, participant, transcriptPosition));
  if (!isSubscribed(participant)) return answer;
  confirm(work, participant);
  const { subscription } = participant;
  subscription.unread = answer.nextPosition ?? work.session.nextPosition;
  // More than fits into one reply is waiting: it is announced anew, or the client would never ask for it (I6).
  if (
    subscription.unread < work.session.nextPosition &&
    subscription.resend &&
    subscription.status === 'open'
  )
    startSchedule(work, participant);
  return answer;
}

/** The preview text of a refresh: typing begins when it appears and stops when it is given empty. */
function foldPreview(work: Work, participant: Participant, preview: string | undefined): void {
  if (preview === undefined || !hasRoom(work)) return;
  const isTyping = preview !== '';
  if (isTyping !== participant.typing) sayTyping(work, participant, { on: isTyping, text: preview });
}

/** Typing notices take a position, as in sample R2; the filter keeps them from causing pushes (CONTRACT 6 #35). */
export function sayTyping(
  work: Work,
  participant: Participant,
  typing: { on: boolean; text: string | undefined },
): void {
  participant.typing = typing.on;
  say(work, participant, {
    type: typing.on ? 'TypingStarted' : 'TypingStopped',
    ...(typing.text ? { text: typing.text } : {}),
  });
}
