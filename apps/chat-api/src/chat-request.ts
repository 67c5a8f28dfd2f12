import {
  BOUNDS,
  errorCodes,
  parseCometSubscription,
  parseSubscription,
  userDataKeys,
  type RecordOf,
} from '@flexpush/contracts';
import {
  boundedField,
  invalid,
  ok,
  optionalField,
  textField,
  tooManyKeys,
  userDataFields,
  type Parsed,
} from './field-parser';
import type { FormFields } from './form';
import { keyHashOf, type Identity } from './identity';
import type { KeyObfuscator } from './obfuscated-key';

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

/** One `@` between parts without blanks: what is beyond this only a mail server knows. */
const EMAIL_PATTERN = /^[^\s@]{1,64}@[^\s@]{1,255}$/;

export function parseChatRequest(fields: FormFields): Parsed<ChatRequest> {
  const nickname = parseNickname(fields);
  if (nickname.kind === 'invalid') return nickname;
  const email = optionalField(fields, 'emailAddress');
  if (email !== undefined && !EMAIL_PATTERN.test(email))
    return invalid('emailAddress is not a valid e-mail address', errorCodes.emailInvalid);
  const text = textField(fields, 'text');
  if (text.kind === 'invalid') return text;
  const userData = parseUserData(fields);
  if (userData.kind === 'invalid') return userData;
  const subject = optionalField(fields, 'subject');
  return ok({
    nickname: nickname.value,
    ...(subject === undefined ? {} : { subject }),
    ...(text.value === undefined ? {} : { text: text.value }),
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
function parseUserData(fields: FormFields): Parsed<Record<string, string>> {
  const given = userDataFields(fields);
  if (given.kind === 'invalid') return given;
  const userData = given.value;
  for (const [field, key] of fieldsKeptAsUserData) {
    const value = boundedField(fields, field, BOUNDS.userDataValueChars);
    if (value.kind === 'invalid') return value;
    if (value.value !== undefined && !userData.has(key)) userData.set(key, value.value);
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
