import { BOUNDS, type InternalRecord } from '@flexpush/contracts';
import type { Reply, Work } from './effects';
import { deleteFile, fileLimits, noSuchFile, permitDownload, uploadFile } from './files';
import { follow, goAway } from './follow';
import { noteRequest } from './inactivity';
import { confirm, isSubscribed, reachesDevice, startSchedule } from './push';
import { pageFrom, refused, reply } from './reply';
import { findParticipant, type Participant, type Session } from './session';
import { hasRoom, quitReasons, removeParticipant, say } from './transcript';
import { changeUserData } from './user-data-change';

/** What a customer's program asks by REST or CometD. */
export type RequestRecord = Extract<InternalRecord, { type: `request.${string}` }>;

export function isRequest(record: { type: string }): record is RequestRecord {
  return record.type.startsWith('request.');
}

/** The answer for a request that is known already: from the present state, without any change. */
export function answerAgain(session: Session, record: RequestRecord): Reply {
  const participant = findParticipant(session, record.userId);
  if (!participant) return reply(session, 'unknown-participant');
  if (participant.keyHash !== record.keyHash) return reply(session, 'bad-key');
  if (record.type === 'request.disconnect') return reply(session, 'ok', { chatEnded: true });
  if (participant.status === 'out' && session.status === 'open') return reply(session, 'removed');
  switch (record.type) {
    case 'request.refresh':
    case 'request.follow':
      return reply(session, 'ok', pageFrom(session, participant, record.transcriptPosition));
    case 'request.send':
      return answerSend(session, participant, record);
    case 'request.fileUpload':
      return session.files?.some(({ fileId }) => fileId === record.file.fileId)
        ? reply(session, 'ok', { userData: { 'file-id': record.file.fileId } })
        : noSuchFile(session);
    default:
      return reply(session, 'ok');
  }
}

/** With the transcript when it was asked for. */
function answerSend(
  session: Session,
  participant: Participant,
  { transcriptPosition }: { transcriptPosition?: number | undefined },
): Reply {
  const page = transcriptPosition === undefined ? {} : pageFrom(session, participant, transcriptPosition);
  return reply(session, 'ok', page);
}

/** Folds a request. A wrong key changes nothing; it removes the participant only if an option says so (CONTRACT, departures). */
export function foldRequest(work: Work, record: RequestRecord): Reply {
  const participant = findParticipant(work.session, record.userId);
  if (!participant) return reply(work.session, 'unknown-participant');
  if (participant.keyHash === undefined || participant.keyHash !== record.keyHash) {
    const isRemoval = work.options.removeOnBadKey && participant.keyHash !== undefined;
    if (isRemoval && participant.status === 'in')
      removeParticipant(work, participant, { own: false, reason: quitReasons.badKey });
    return reply(work.session, 'bad-key');
  }
  // No request of the customer's: its chat-api says that the connection is gone.
  if (record.type === 'request.away') {
    if (isSubscribed(participant) && participant.subscription.address === record.address)
      goAway(work, participant, { lastPosition: record.transcriptPosition });
    return reply(work.session, 'ok');
  }
  if (participant.status === 'out') return foldLateRequest(work, participant, record);
  noteRequest(work, participant);
  switch (record.type) {
    case 'request.refresh':
      foldPreview(work, participant, record.preview);
      return retrieve(work, participant, record.transcriptPosition);
    case 'request.follow':
      return follow(work, participant, record);
    case 'request.readReceipt':
      return noteRead(work, participant, record.transcriptPosition);
    case 'request.updateData':
      return updateData(work, participant, record.userData);
    case 'request.fileLimits':
      return fileLimits(work, participant);
    case 'request.fileDownload':
      return permitDownload(work, record.fileId);
    case 'request.disconnect':
      removeParticipant(work, participant, { own: true, reason: quitReasons.byItself });
      // It has said goodbye; that its connection ends too is no news for its device.
      if (isSubscribed(participant)) participant.subscription.address = undefined;
      return reply(work.session, 'ok', { chatEnded: true });
    default:
      return foldUtterance(work, participant, record);
  }
}

type Utterance = Exclude<
  RequestRecord,
  {
    type: `request.${
      | 'refresh'
      | 'follow'
      | 'away'
      | 'readReceipt'
      | 'updateData'
      | 'fileLimits'
      | 'fileDownload'
      | 'disconnect'}`;
  }
>;

/** Requests that become events, and so need room in the transcript. */
function foldUtterance(work: Work, participant: Participant, record: Utterance): Reply {
  const isTyping = record.type === 'request.startTyping' || record.type === 'request.stopTyping';
  if (!hasRoom(work))
    return isTyping
      ? reply(work.session, 'ok')
      : refused(work.session, { reason: 'the chat has reached its limit of events' });
  switch (record.type) {
    case 'request.send':
      participant.typing = false;
      say(work, participant, {
        type: 'Message',
        text: record.text,
        messageType: record.messageType ?? 'text',
      });
      // CONTRACT 6 #5: the reply has the transcript as that of a refresh has, but only an option makes it count as one.
      return record.transcriptPosition !== undefined && work.options.confirmOnSend
        ? retrieve(work, participant, record.transcriptPosition)
        : answerSend(work.session, participant, record);
    case 'request.startTyping':
    case 'request.stopTyping':
      sayTyping(work, participant, { on: record.type === 'request.startTyping', text: record.text });
      return reply(work.session, 'ok');
    case 'request.pushUrl':
      say(work, participant, { type: 'PushUrl', text: record.url });
      return reply(work.session, 'ok');
    case 'request.customNotice':
      say(work, participant, { type: 'CustomNotice', text: record.text });
      return reply(work.session, 'ok');
    case 'request.updateNickname':
      participant.nickname = record.nickname;
      say(work, participant, { type: 'NicknameUpdated', text: record.nickname });
      return reply(work.session, 'ok');
    case 'request.fileUpload':
      return uploadFile(work, participant, record.file);
    case 'request.fileDelete':
      return deleteFile(work, participant, record.fileId);
    default:
      return record satisfies never;
  }
}

/**
 * Requests of someone who is out. A late refresh acknowledges the removal (CONTRACT 6 #14); after the end of the chat it
 * still gets the rest of the transcript (#39), and its files.
 */
function foldLateRequest(work: Work, participant: Participant, record: RequestRecord): Reply {
  if (record.type === 'request.disconnect') return reply(work.session, 'ok', { chatEnded: true });
  const isEnded = work.session.status === 'ended';
  if (record.type === 'request.fileDownload' && isEnded) return permitDownload(work, record.fileId);
  if (record.type !== 'request.refresh' && record.type !== 'request.follow')
    return reply(work.session, 'removed');
  if (isEnded) return retrieve(work, participant, record.transcriptPosition);
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
    subscription.status === 'open' &&
    reachesDevice(work, participant)
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

/** Keeps the furthest position, and tells agents of it without an event (CONTRACT 6 #37). */
function noteRead(work: Work, participant: Participant, transcriptPosition: number): Reply {
  const { session, atMs } = work;
  const position = Math.min(transcriptPosition, session.nextPosition - 1);
  if (position > (participant.readPosition ?? 0)) {
    participant.readPosition = position;
    const { participantId, userId } = participant;
    work.effects.push({
      kind: 'announce',
      sessionId: session.sessionId,
      notice: { type: 'read-receipt', userId, participantId, position, utcTime: atMs },
    });
  }
  return reply(session, 'ok');
}

/** Push keys that come later change no subscription (CONTRACT 6 #41). */
function updateData(work: Work, participant: Participant, userData: Record<string, string>): Reply {
  const merged = { ...work.session.userData, ...userData };
  if (Object.keys(merged).length > BOUNDS.userDataKeys * 2)
    return refused(work.session, {
      reason: `a chat keeps at most ${BOUNDS.userDataKeys * 2} user data keys`,
    });
  changeUserData(work, merged, participant);
  return reply(work.session, 'ok');
}
