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
