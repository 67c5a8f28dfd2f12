import { BOUNDS, errorCodes } from '@flexpush/contracts';
import type { FormFields } from './form';

/** A value, or what the caller did wrong. */
export type Parsed<T> = { kind: 'ok'; value: T } | Invalid;

export interface Invalid {
  kind: 'invalid';
  code: number;
  advice: string;
}

export function ok<T>(value: T): Parsed<T> {
  return { kind: 'ok', value };
}

export function invalid(advice: string, code: number = errorCodes.badRequest): Invalid {
  return { kind: 'invalid', code, advice };
}

/** The field, or undefined: clients send fields that they do not use as empty ones. */
export function optionalField(fields: FormFields, name: string): string | undefined {
  const value = fields.get(name);
  return value === undefined || value === '' ? undefined : value;
}

/** An optional field of at most so many characters. */
export function boundedField(fields: FormFields, name: string, charsMax: number): Parsed<string | undefined> {
  const value = optionalField(fields, name);
  return value !== undefined && value.length > charsMax
    ? invalid(`${name} may have at most ${charsMax} characters`)
    : ok(value);
}

/** Chat text; the advice of "too long" is the limit itself, as clients expect of such codes (CONTRACT 1.6). */
export function textField(fields: FormFields, name: string): Parsed<string | undefined> {
  const value = optionalField(fields, name);
  return value !== undefined && value.length > BOUNDS.textChars
    ? invalid(String(BOUNDS.textChars), errorCodes.messageTooLong)
    : ok(value);
}

const USER_DATA_PREFIX = 'userData[';

/** `userData[KEY]=VALUE`, within the bounds of a record. */
export function userDataFields(fields: FormFields): Parsed<Map<string, string>> {
  const userData = new Map<string, string>();
  for (const [name, value] of fields) {
    if (!name.startsWith(USER_DATA_PREFIX) || !name.endsWith(']')) continue;
    const key = name.slice(USER_DATA_PREFIX.length, -1);
    if (key === '') return invalid('a user data key is empty; write userData[KEY]=VALUE');
    if (key.length > BOUNDS.userDataKeyChars)
      return invalid(`a user data key may have at most ${BOUNDS.userDataKeyChars} characters`);
    if (value.length > BOUNDS.userDataValueChars)
      return invalid(
        `the user data value of ${JSON.stringify(key)} may have at most ${BOUNDS.userDataValueChars} characters`,
      );
    userData.set(key, value);
  }
  return userData.size > BOUNDS.userDataKeys ? tooManyKeys() : ok(userData);
}

export function tooManyKeys(): Invalid {
  return invalid(
    `at most ${BOUNDS.userDataKeys} user data keys are accepted, subject, emailAddress, endpoint, firstName and lastName included`,
  );
}
