import { BOUNDS, replyKeys, type PublicRecord, type RecordOf } from '@flexpush/contracts';
import type { FoldContext, Outcome, Reply, Work } from './effects';
import { climb, startInactivity } from './inactivity';
import { isSubscribed, resend, wantsPayload } from './push';
import { noteId } from './recent-ids';
import { answerAgain, foldRequest, isRequest, sayTyping, type RequestRecord } from './requests';
import { copySession, findParticipant, SESSION_VERSION, type Participant, type Session } from './session';
import { closeSession, hasRoom, PURGE_DELAY_MS, removeParticipant, say } from './transcript';
import { timerMember, timersOf, type TimerName } from './timers';

/** One timer of a `timers.fired` record. */
export interface TimerFire extends TimerName {
  type: 'timer.fire';
  /** The score that the claim read, epoch ms. */
  scoreMs: number;
}

export type FoldInput = PublicRecord | RequestRecord | RecordOf<'session.create'> | TimerFire;

/**
 * Folds one record into one session. Pure and total: time is the record's, ids and keys come in with it. A record that
 * is known already, too late or not allowed returns the same session and no effects.
 */
export function transition(session: Session | undefined, record: FoldInput, context: FoldContext): Outcome {
  if (record.type === 'timer.fire') return fireTimer(session, record, context);
  if (record.type === 'session.create') return create(session, record, context);
  if (!session) {
    if (!isRequest(record)) return { session, effects: [], refusal: 'unknown-session' };
    return { session, effects: [], reply: { outcome: 'unknown-session', chatEnded: true, monitored: false } };
  }
  const recent = noteId(session.recent, record.id, context.atMs);
  if (!recent)
    return { session, effects: [], ...(isRequest(record) ? { reply: answerAgain(session, record) } : {}) };
  const work: Work = { ...context, session: copySession(session), effects: [] };
  work.session.recent = recent;
  if (isRequest(record)) {
    const reply = foldRequest(work, record);
    if (reply.outcome === 'ok') return { session: work.session, effects: work.effects, reply };
    // What was not accepted does not use its id up: it may be asked again, and no stranger can make another's look known.
    work.session.recent = session.recent;
    const isUntouched = work.effects.length === 0 && reply.outcome !== 'refused';
    return { session: isUntouched ? session : work.session, effects: work.effects, reply };
  }
  const refusal = foldPublic(work, record);
  return refusal === undefined
    ? { session: work.session, effects: work.effects }
    : { session, effects: [], refusal };
}

function create(
  session: Session | undefined,
  record: RecordOf<'session.create'>,
  context: FoldContext,
): Outcome {
  if (session) {
    const owner = findParticipant(session, record.userId);
    const isRepeat = owner !== undefined && owner.keyHash === record.keyHash;
    const reply: Reply = isRepeat
      ? createReply(session, owner)
      : { outcome: 'refused', chatEnded: false, monitored: false, reason: 'the chat exists already' };
    return { session, effects: [], reply };
  }
  const { atMs, options } = context;
  const started: Session = {
    v: SESSION_VERSION,
    status: 'open',
    sessionId: record.sessionId,
    service: record.service,
    createdAtMs: atMs,
    nextPosition: 1,
    nextParticipantId: 2,
    participants: [],
    userData: record.userData,
    recent: noteId({ sinceMs: atMs, now: '', before: '' }, record.id, atMs) ?? {
      sinceMs: atMs,
      now: '',
      before: '',
    },
  };
  const work: Work = { session: started, effects: [], atMs, options };
  const problem = pushProblem(record, context);
  const customer: Participant = {
    userId: record.userId,
    participantId: 1,
    nickname: record.nickname,
    type: 'Client',
    status: 'in',
    typing: false,
    secureKey: record.secureKey,
    keyHash: record.keyHash,
  };
  if (problem === undefined && record.subscription) {
    customer.subscription = {
      ...record.subscription,
      obfuscatedKey: record.obfuscatedKey,
      lastN: 0,
      unread: 1,
      status: 'open',
      inactivity: startInactivity(work),
    };
  } else {
    work.session.userData = { ...work.session.userData, [replyKeys.pushReason]: problem ?? 'not-requested' };
    work.effects.push({
      kind: 'tell',
      fact: 'chat.started-without-push',
      fields: { sessionId: record.sessionId, reason: problem ?? 'not-requested' },
    });
  }
  if (customer.subscription?.resend && !wantsPayload(context, customer.subscription)) {
    work.effects.push({
      kind: 'tell',
      fact: 'push.resend-without-payload',
      fields: { sessionId: record.sessionId },
    });
  }
  work.session.participants.push(customer);
  say(work, customer, { type: 'ParticipantJoined' });
  if (record.text) say(work, customer, { type: 'Message', text: record.text, messageType: 'text' });
  return { session: work.session, effects: work.effects, reply: createReply(work.session, customer) };
}

/** Why this chat starts without push, if it does (CONTRACT 6 #9, #10). */
function pushProblem(record: RecordOf<'session.create'>, { options }: FoldContext): string | undefined {
  if (!record.subscription) return record.subscriptionProblem ?? 'not-requested';
  if (!options.pushEnabled) return 'push-disabled';
  return options.pushOnJoin ? undefined : 'on-join-disabled';
}

/** As sample R1: no events, and the client asks from position 1. Without push the user data says so, and why. */
function createReply(session: Session, customer: Participant): Reply {
  const reason = session.userData[replyKeys.pushReason];
  const told =
    customer.subscription || reason === undefined
      ? {}
      : { userData: { [replyKeys.pushStatus]: 'off', [replyKeys.pushReason]: reason } };
  return {
    outcome: 'ok',
    chatEnded: session.status === 'ended',
    monitored: false,
    nextPosition: 1,
    page: { first: 1, last: 0 },
    ...told,
  };
}

/** Folds a record of the agent side; returns why it is refused, if it is. */
function foldPublic(work: Work, record: PublicRecord): string | undefined {
  if (work.session.status === 'ended') return 'session-ended';
  if (record.type === 'session.end') {
    closeSession(work);
    return undefined;
  }
  if (record.type === 'participant.join') return join(work, record);
  const participant = findParticipant(work.session, record.userId);
  if (!participant) return 'unknown-participant';
  if (participant.status === 'out') return 'participant-left';
  if (record.type === 'participant.leave') {
    // A customer acts by REST: if the agent side says it leaves, it is removed.
    removeParticipant(work, participant, { own: participant.type !== 'Client' });
    return undefined;
  }
  if (!hasRoom(work)) return 'session-full';
  switch (record.type) {
    case 'message.send':
      participant.typing = false;
      say(work, participant, {
        type: 'Message',
        text: record.text,
        messageType: record.messageType ?? 'text',
      });
      return undefined;
    case 'typing.start':
    case 'typing.stop':
      sayTyping(work, participant, { on: record.type === 'typing.start', text: record.text });
      return undefined;
    case 'notice.custom':
      say(work, participant, { type: 'CustomNotice', text: record.text });
      return undefined;
    case 'url.push':
      say(work, participant, { type: 'PushUrl', text: record.url });
      return undefined;
    default:
      return record satisfies never;
  }
}

function join(work: Work, record: Extract<PublicRecord, { type: 'participant.join' }>): string | undefined {
  const known = findParticipant(work.session, record.userId);
  if (known?.status === 'in') return 'already-joined';
  if (known?.keyHash !== undefined) return 'not-an-agent';
  if (!hasRoom(work)) return 'session-full';
  if (known) {
    known.status = 'in';
    known.nickname = record.nickname;
    known.type = record.participantType;
    delete known.lastPosition;
    say(work, known, { type: 'ParticipantJoined' });
    return undefined;
  }
  if (work.session.participants.length >= BOUNDS.participantsPerSession) return 'too-many-participants';
  const participant: Participant = {
    userId: record.userId,
    participantId: work.session.nextParticipantId++,
    nickname: record.nickname,
    type: record.participantType,
    status: 'in',
    typing: false,
  };
  work.session.participants.push(participant);
  say(work, participant, { type: 'ParticipantJoined' });
  return undefined;
}

/** A fire matches when its timer is armed and the claimed score is not before the armed due time (DESIGN section 8). */
function fireTimer(session: Session | undefined, fire: TimerFire, context: FoldContext): Outcome {
  const armedDueAtMs = session && timersOf(session).get(timerMember(fire));
  if (!session || armedDueAtMs === undefined || fire.scoreMs < armedDueAtMs) return { session, effects: [] };
  const work: Work = { ...context, session: copySession(session), effects: [] };
  if (fire.kind === 'purge') return purge(work);
  const participant = findParticipant(work.session, fire.userId);
  if (!participant || !isSubscribed(participant)) return { session, effects: [] };
  if (fire.kind === 'resend') resend(work, participant);
  else climb(work, participant);
  return { session: work.session, effects: work.effects };
}

/** The grace time is over: the session goes, unless some removal is still being told. */
function purge(work: Work): Outcome {
  const isTelling = work.session.participants.some(
    ({ subscription }) => subscription?.schedule?.status === 'armed',
  );
  if (!isTelling) return { session: undefined, effects: [] };
  if (work.session.status === 'ended') work.session.purgeAtMs = work.atMs + PURGE_DELAY_MS;
  return { session: work.session, effects: work.effects };
}
