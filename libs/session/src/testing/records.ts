import type { ChatFile, LogRecord, SubscriptionRequest } from '@flexpush/contracts';
import type { FoldInput, TimerFire } from '../transition';
import type { TimerKind } from '../timers';

export const SESSION_ID = 'chat-1';
export const SERVICE = 'support-web';
export const SECURE_KEY = '5be07d19c2f8a4360e77';
export const OBFUSCATED_KEY = 'b3BhcXVlLWtleS1vZi1taXJh';
export const KEY_HASH = 'a1'.repeat(32);
export const WRONG_KEY_HASH = 'b2'.repeat(32);

type InputOf<T extends FoldInput['type']> = Extract<FoldInput, { type: T }>;
/** What a test may say of a record: any field, ids as plain text. */
type Given<T extends LogRecord['type'] & FoldInput['type']> = {
  [K in keyof InputOf<T>]?: InputOf<T>[K] extends string | undefined ? string | undefined : InputOf<T>[K];
};

let lastId = 0;

/** Fills in what a test leaves open. Each record gets an id of its own, so only tests that say so repeat one. */
function build<T extends LogRecord['type'] & FoldInput['type']>(
  type: T,
  defaults: Given<T>,
  given: Given<T> | undefined,
): InputOf<T> {
  lastId += 1;
  const envelope = { v: 1, id: `record-${lastId}`, sessionId: SESSION_ID, type };
  return { ...envelope, ...defaults, ...given } as unknown as InputOf<T>;
}

/** A reliable customhttp registration that does not push the customer's own activity. */
export function registration(given: Partial<SubscriptionRequest> = {}): SubscriptionRequest {
  return {
    deviceId: 'dev-7f31c2',
    deviceType: 'customhttp',
    nodeGroup: 'gms-cluster-a',
    notifyRequestor: false,
    includePayload: true,
    resend: true,
    debug: false,
    ...given,
  };
}

/** Mira asks for a chat, with a reliable registration unless the test says otherwise. */
export const create = (given?: Given<'session.create'>) =>
  build(
    'session.create',
    {
      service: SERVICE,
      userId: 'mira',
      secureKey: SECURE_KEY,
      keyHash: KEY_HASH,
      obfuscatedKey: OBFUSCATED_KEY,
      nickname: 'Mira',
      userData: {},
      subscription: registration(),
    },
    given,
  );

/** As `create`, with another registration. */
export const createWith = (given: Partial<SubscriptionRequest>) =>
  create({ subscription: registration(given) });

export const join = (given?: Given<'participant.join'>) =>
  build('participant.join', { userId: 'jonas', nickname: 'Jonas', participantType: 'Agent' }, given);
export const leave = (given?: Given<'participant.leave'>) =>
  build('participant.leave', { userId: 'jonas' }, given);
export const message = (given?: Given<'message.send'>) =>
  build('message.send', { userId: 'jonas', text: 'Hello' }, given);
export const typingStart = (given?: Given<'typing.start'>) =>
  build('typing.start', { userId: 'jonas' }, given);
export const typingStop = (given?: Given<'typing.stop'>) => build('typing.stop', { userId: 'jonas' }, given);
export const notice = (given?: Given<'notice.custom'>) =>
  build('notice.custom', { userId: 'jonas', text: 'looked-up' }, given);
export const url = (given?: Given<'url.push'>) =>
  build('url.push', { userId: 'jonas', url: 'https://example.org/offer' }, given);
export const end = (given?: Given<'session.end'>) => build('session.end', {}, given);

const mira = { userId: 'mira', keyHash: KEY_HASH };
export const refresh = (given?: Given<'request.refresh'>) => build('request.refresh', mira, given);
export const send = (given?: Given<'request.send'>) =>
  build('request.send', { ...mira, text: 'My order is late' }, given);
export const startTyping = (given?: Given<'request.startTyping'>) =>
  build('request.startTyping', mira, given);
export const stopTyping = (given?: Given<'request.stopTyping'>) => build('request.stopTyping', mira, given);
export const disconnect = (given?: Given<'request.disconnect'>) => build('request.disconnect', mira, given);

export const pushUrl = (given?: Given<'request.pushUrl'>) =>
  build('request.pushUrl', { ...mira, url: 'https://example.org/photo' }, given);
export const updateNickname = (given?: Given<'request.updateNickname'>) =>
  build('request.updateNickname', { ...mira, nickname: 'Mira K.' }, given);
export const customNotice = (given?: Given<'request.customNotice'>) =>
  build('request.customNotice', { ...mira, text: 'looks at the cart' }, given);
export const updateData = (given?: Given<'request.updateData'>) =>
  build('request.updateData', { ...mira, userData: { Order: '17' } }, given);
export const readReceipt = (given?: Given<'request.readReceipt'>) =>
  build('request.readReceipt', { ...mira, transcriptPosition: 1 }, given);
export const fileLimits = (given?: Given<'request.fileLimits'>) => build('request.fileLimits', mira, given);
export const fileUpload = (file: Partial<ChatFile> = {}, given?: Given<'request.fileUpload'>) =>
  build(
    'request.fileUpload',
    { ...mira, file: { fileId: 'file-1', name: 'bill.pdf', sizeBytes: 1_000, ...file } },
    given,
  );
export const fileDownload = (given?: Given<'request.fileDownload'>) =>
  build('request.fileDownload', { ...mira, fileId: 'file-1' }, given);
export const fileDelete = (given?: Given<'request.fileDelete'>) =>
  build('request.fileDelete', { ...mira, fileId: 'file-1' }, given);
export const agentFile = (file: Partial<ChatFile> = {}, given?: Given<'file.upload'>) =>
  build(
    'file.upload',
    { userId: 'jonas', file: { fileId: 'file-a', name: 'offer.pdf', sizeBytes: 2_000, ...file } },
    given,
  );
export const agentFileDelete = (given?: Given<'file.delete'>) =>
  build('file.delete', { userId: 'jonas', fileId: 'file-a' }, given);

/** Where Mira's CometD client is connected. */
export const ADDRESS = 'chat-api-1/client-1';
export const follow = (given?: Given<'request.follow'>) =>
  build('request.follow', { ...mira, address: ADDRESS }, given);
export const away = (given?: Given<'request.away'>) =>
  build('request.away', { ...mira, address: ADDRESS }, given);
export const gone = (given?: Given<'push.gone'>) =>
  build('push.gone', { userId: 'mira', deviceId: ADDRESS }, given);

export function timerFire(kind: TimerKind, scoreMs: number, userId = 'mira'): TimerFire {
  return {
    type: 'timer.fire',
    kind,
    sessionId: SESSION_ID,
    userId: kind === 'purge' || kind.startsWith('idle-') ? '-' : userId,
    scoreMs,
  };
}
