import { BOUNDS, replyKeys, type LogRecord, type PublicRecord, type RecordOf } from '@flexpush/contracts';
import type { FoldContext, Outcome, Reply, Work } from './effects';
import { dropFile, findFile, isFull, keepFile } from './files';
import { deviceProblem, foldGone, startSubscription } from './follow';
import { climbIdle } from './idle-close';
import { startIdle } from './idle-watch';
import { climb, startInactivity } from './inactivity';
import { isSubscribed, resend, wantsPayload } from './push';
import { noteId } from './recent-ids';
import { answerAgain, foldRequest, isRequest, sayTyping, type RequestRecord } from './requests';
import { reply } from './reply';
import { copySession, findParticipant, SESSION_VERSION, type Participant, type Session } from './session';
import { closeSession, hasRoom, PURGE_DELAY_MS, quitReasons, removeParticipant, say } from './transcript';
import { armedTimers, dueAtMsOf, type TimerName } from './timers';
import { announceUserData } from './user-data-change';

/** One timer of a `timers.fired` record. */
export interface TimerFire extends TimerName {
  type: 'timer.fire';
  /** The score that the claim read, epoch ms. */
  scoreMs: number;
}

export type FoldInput = PublicRecord | RequestRecord | RecordOf<'session.create' | 'push.gone'> | TimerFire;

/** From which position on this record is folded with the transcript; undefined: it does not look at it. */
export function needsTranscript(record: LogRecord): number | undefined {
  switch (record.type) {
    case 'request.away':
      return record.transcriptPosition === undefined ? undefined : record.transcriptPosition + 1;
    case 'push.gone':
      return record.position;
    default:
      return undefined;
  }
}

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
  const work: Work = { session: copySession(session), effects: [], ...context };
  work.session.recent = recent;
  if (isRequest(record)) {
    const answer = foldRequest(work, record);
    if (answer.outcome === 'ok') return { session: work.session, effects: work.effects, reply: answer };
    // What was not accepted does not use its id up: it may be asked again, and no stranger can make another's look known.
    work.session.recent = session.recent;
    const isUntouched = work.effects.length === 0 && answer.outcome !== 'refused';
    return { session: isUntouched ? session : work.session, effects: work.effects, reply: answer };
  }
  if (record.type === 'push.gone') {
    const participant = findParticipant(work.session, record.userId);
    const isNews = participant !== undefined && foldGone(work, participant, record);
    return isNews ? { session: work.session, effects: work.effects } : { session, effects: [] };
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
    const answer: Reply = isRepeat
      ? createReply(session)
      : { outcome: 'refused', chatEnded: false, monitored: false, reason: 'the chat exists already' };
    return { session, effects: [], reply: answer };
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
    userData: withEndpoint(record.userData, options.chatEndpoint),
    recent: noteId({ sinceMs: atMs, now: '', before: '' }, record.id, atMs) ?? {
      sinceMs: atMs,
      now: '',
      before: '',
    },
  };
  const work: Work = { session: started, effects: [], atMs, options };
  const isComet = record.address !== undefined;
  if (isComet && !options.pushEnabled) {
    const reason = 'new push registrations are switched off (flex-push-enabled)';
    return { session, effects: [], reply: reply(started, 'refused', { reason }) };
  }
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
    obfuscatedKey: record.obfuscatedKey,
  };
  // What the reply says of push is not the customer's, and comes behind.
  announceUserData(work, {}, customer);
  if (isComet || problem === undefined)
    customer.subscription = startSubscription(
      problem === undefined ? record.subscription : undefined,
      record.address,
    );
  if (problem !== undefined && !(isComet && problem === 'not-requested')) {
    work.session.userData = { ...work.session.userData, [replyKeys.pushReason]: problem };
    work.effects.push({
      kind: 'tell',
      fact: 'chat.started-without-push',
      fields: { sessionId: record.sessionId, reason: problem },
    });
  }
  if (customer.subscription?.resend && !wantsPayload(context, customer.subscription)) {
    work.effects.push({
      kind: 'tell',
      fact: 'push.resend-without-payload',
      fields: { sessionId: record.sessionId },
    });
  }
  customer.inactivity = startInactivity(work, customer);
  work.session.participants.push(customer);
  startIdle(work);
  say(work, customer, { type: 'ParticipantJoined' });
  if (record.text) say(work, customer, { type: 'Message', text: record.text, messageType: 'text' });
  return { session: work.session, effects: work.effects, reply: createReply(work.session) };
}

/** What the client itself named is never overwritten. */
function withEndpoint(
  userData: Record<string, string>,
  endpoint: string | undefined,
): Record<string, string> {
  return endpoint === undefined ? userData : { _chat_endpoint: endpoint, ...userData };
}

/** Why nothing is pushed to a device of this chat, if so (CONTRACT 6 #9-#11). */
function pushProblem(record: RecordOf<'session.create'>, { options }: FoldContext): string | undefined {
  if (!record.subscription) return record.subscriptionProblem ?? 'not-requested';
  const problem = deviceProblem(options, record.subscription);
  if (problem !== undefined) return problem;
  return options.pushOnJoin || record.address !== undefined ? undefined : 'on-join-disabled';
}

/** As sample R1: no events, and the client asks from position 1. Without push the user data says so, and why. */
function createReply(session: Session): Reply {
  const reason = session.userData[replyKeys.pushReason];
  const told =
    reason === undefined
      ? {}
      : { userData: { [replyKeys.pushStatus]: 'off', [replyKeys.pushReason]: reason } };
  return reply(session, 'ok', { nextPosition: 1, page: { first: 1, last: 0 }, ...told });
}

/** Folds a record of the agent side; returns why it is refused, if it is. */
function foldPublic(work: Work, record: PublicRecord): string | undefined {
  if (work.session.status === 'ended') return 'session-ended';
  if (record.type === 'session.end') {
    closeSession(work, record.userId === undefined ? quitReasons.byServer : quitReasons.byParticipant);
    return undefined;
  }
  if (record.type === 'participant.join') return join(work, record);
  const participant = findParticipant(work.session, record.userId);
  if (!participant) return 'unknown-participant';
  if (participant.status === 'out') return 'participant-left';
  if (record.type === 'participant.leave') {
    // A customer acts by REST: if the agent side says it leaves, it is removed.
    const own = participant.type !== 'Client';
    const isByItself = own && (record.removedBy === undefined || record.removedBy === record.userId);
    const reason = isByItself ? quitReasons.byItself : quitReasons.byParticipant;
    removeParticipant(work, participant, { own, reason });
    return undefined;
  }
  if (participant.silent) return 'silent-monitor';
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
    case 'file.upload':
      if (isFull(work)) return 'too-many-files';
      if (findFile(work, record.file.fileId)) return 'file-exists';
      keepFile(work, participant, record.file);
      return undefined;
    case 'file.delete':
      if (!findFile(work, record.fileId)) return 'unknown-file';
      dropFile(work, participant, record.fileId);
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
  const { nickname, participantType: type, style, silent } = record;
  if (known) {
    Object.assign(known, { status: 'in', nickname, type });
    known.lastPosition = undefined;
    known.style = undefined;
    known.silent = undefined;
    welcome(work, known, { style, silent });
    return undefined;
  }
  if (work.session.participants.length >= BOUNDS.participantsPerSession) return 'too-many-participants';
  const participant: Participant = {
    userId: record.userId,
    participantId: work.session.nextParticipantId++,
    nickname,
    type,
    status: 'in',
    typing: false,
  };
  work.session.participants.push(participant);
  welcome(work, participant, { style, silent });
  return undefined;
}

/** A silent monitor comes without a word. */
function welcome(
  work: Work,
  participant: Participant,
  { style, silent }: { style: 'BOT' | undefined; silent: true | undefined },
): void {
  if (style) participant.style = style;
  if (silent) participant.silent = silent;
  else say(work, participant, { type: 'ParticipantJoined' });
}

/** A fire matches when its timer is armed and the claimed score is not before the armed due time (DESIGN section 8). */
function fireTimer(session: Session | undefined, fire: TimerFire, context: FoldContext): Outcome {
  const armedDueAtMs = session && dueAtMsOf(armedTimers(session), fire);
  if (!session || armedDueAtMs === undefined || fire.scoreMs < armedDueAtMs) return { session, effects: [] };
  const work: Work = { session: copySession(session), effects: [], ...context };
  const participant = findParticipant(work.session, fire.userId);
  switch (fire.kind) {
    case 'purge':
      return purge(work);
    case 'idle-alert':
    case 'idle-close':
      climbIdle(work);
      break;
    case 'resend':
      if (participant && isSubscribed(participant)) resend(work, participant);
      break;
    case 'ping':
    case 'disconnect':
      if (participant) climb(work, participant);
      break;
    default:
      fire.kind satisfies never;
  }
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
