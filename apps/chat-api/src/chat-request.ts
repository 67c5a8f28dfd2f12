import {
  BOUNDS,
  errorCodes,
  parseCometSubscription,
  parseSubscription,
  userDataKeys,
  type RecordOf,
} from '@flexpush/contracts';
import { invalid, ok, optionalField, tooManyKeys, type Parsed } from './field-parser';
import type { FormFields } from './form';
import { keyHashOf, type Identity } from './identity';
import type { KeyObfuscator } from './obfuscated-key';
import {
  messageField,
  readFields,
  userDataField,
  type FieldSpec,
  type FieldValues,
} from './operation-fields';

/** What the client asks for when it requests a chat, checked and within bounds. */
export interface ChatRequest {
  nickname: string;
  subject?: string;
  /** The first message. */
  text?: string;
  userData: Record<string, string>;
}

/** Fields of the request that agents need, and the user data keys under which they find them. */
const fieldsKeptAsUserData = [
  ['subject', 'Subject'],
  ['emailAddress', 'EmailAddress'],
  ['endpoint', '_chat_endpoint'],
  ['firstName', 'FirstName'],
  ['lastName', 'LastName'],
] as const;

const kept = (name: string, meaning: string, charsMax: number = BOUNDS.userDataValueChars): FieldSpec => ({
  name,
  kind: 'text',
  charsMax,
  meaning,
});

/** Nickname or both names are needed; that and the address have codes of their own. */
export const chatRequestFields: readonly FieldSpec[] = [
  {
    name: 'nickname',
    kind: 'text',
    charsMax: BOUNDS.nicknameChars,
    meaning: 'How the customer is shown; required without firstName and lastName.',
  },
  kept(
    'firstName',
    `Kept as user data FirstName; with lastName it makes the nickname where there is none, together and with a blank between them of at most ${BOUNDS.nicknameChars} characters.`,
    BOUNDS.nicknameChars,
  ),
  kept('lastName', 'Kept as user data LastName; see firstName.', BOUNDS.nicknameChars),
  kept('subject', 'Kept as user data Subject.'),
  kept('emailAddress', 'Kept as user data EmailAddress; must look like one.'),
  kept('endpoint', 'Kept as user data _chat_endpoint.'),
  { ...messageField('The first message.'), name: 'text' },
  userDataField('User data; GCTI_Chat_PushSubscribe and GCTI_GMS_* keys ask for pushes.'),
];

/** One `@` between parts without blanks: what is beyond this only a mail server knows. */
const EMAIL_PATTERN = /^[^\s@]{1,64}@[^\s@]{1,255}$/;

export function parseChatRequest(fields: FormFields): Parsed<ChatRequest> {
  const nickname = parseNickname(fields);
  if (nickname.kind === 'invalid') return nickname;
  const email = optionalField(fields, 'emailAddress');
  if (email !== undefined && !EMAIL_PATTERN.test(email))
    return invalid('emailAddress is not a valid e-mail address', errorCodes.emailInvalid);
  const read = readFields(fields, chatRequestFields);
  if (read.kind === 'invalid') return read;
  const { texts } = read.value;
  const userData = withKeptFields(read.value);
  if (userData.kind === 'invalid') return userData;
  return ok({
    nickname: nickname.value,
    ...(texts['subject'] === undefined ? {} : { subject: texts['subject'] }),
    ...(texts['text'] === undefined ? {} : { text: texts['text'] }),
    userData: userData.value,
  });
}

/** The codes name the part that is missing (CONTRACT 1.6). */
function parseNickname(fields: FormFields): Parsed<string> {
  const trimmed = (name: string) => optionalField(fields, name)?.trim() || undefined;
  const firstName = trimmed('firstName');
  const lastName = trimmed('lastName');
  let nickname = trimmed('nickname');
  if (nickname === undefined) {
    if (firstName === undefined && lastName === undefined)
      return invalid('nickname is required', errorCodes.nicknameMissing);
    if (lastName === undefined) return invalid('lastName is required', errorCodes.lastNameMissing);
    if (firstName === undefined) return invalid('firstName is required', errorCodes.firstNameMissing);
    nickname = `${firstName} ${lastName}`;
  }
  return nickname.length > BOUNDS.nicknameChars
    ? invalid(`nickname may have at most ${BOUNDS.nicknameChars} characters`)
    : ok(nickname);
}

/** What the client itself put under a key is never overwritten. */
function withKeptFields({ texts, userData: given }: FieldValues): Parsed<Record<string, string>> {
  const userData = new Map(Object.entries(given));
  for (const [field, key] of fieldsKeptAsUserData) {
    const value = texts[field];
    if (value !== undefined && !userData.has(key)) userData.set(key, value);
  }
  return userData.size > BOUNDS.userDataKeys ? tooManyKeys() : ok(Object.fromEntries(userData));
}

/** The record that creates the session; the same request and identity always give the same record. */
export function createRecord(
  request: ChatRequest,
  context: {
    id: string;
    service: string;
    identity: Identity;
    replyTo: string;
    obfuscator: KeyObfuscator;
    /** Of the CometD client that asks. */
    address?: string | undefined;
  },
): RecordOf<'session.create'> {
  const { identity, service, address } = context;
  const push =
    address === undefined ? parseSubscription(request.userData) : parseCometSubscription(request.userData);
  const channel = request.userData[userDataKeys.clientChannel]?.trim();
  return {
    v: 1,
    id: context.id,
    sessionId: identity.sessionId,
    type: 'session.create',
    service,
    userId: identity.userId,
    secureKey: identity.secureKey,
    keyHash: keyHashOf(identity.secureKey),
    obfuscatedKey: context.obfuscator.encode({ ...identity, ...(channel ? { service } : {}) }),
    ...request,
    ...(push.kind === 'subscription'
      ? { subscription: push.subscription }
      : { subscriptionProblem: push.problem }),
    ...(address === undefined ? {} : { address }),
    replyTo: context.replyTo,
  };
}
