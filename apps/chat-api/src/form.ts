import { unescape } from 'node:querystring';

/** The fields of a form by name; of several with one name the last counts. */
export type FormFields = ReadonlyMap<string, string>;

export type Form =
  | { kind: 'form'; encoding: 'urlencoded' | 'multipart'; fields: FormFields }
  | { kind: 'malformed'; encoding: 'urlencoded' | 'multipart'; reason: string };

export const NO_FIELDS: FormFields = new Map();

/** Fields in one form, repeated ones counted. */
export const FORM_FIELDS_MAX = 256;
export const TOO_MANY_FIELDS = `the form has more than ${FORM_FIELDS_MAX} fields`;

/**
 * Reads `application/x-www-form-urlencoded` as browsers write it. It is as lenient as their own parser: a stray
 * percent sign stands for itself, and bytes that are no UTF-8 become U+FFFD.
 */
export function parseUrlEncoded(body: string): Form {
  const fields = new Map<string, string>();
  const pairs = body.split('&', FORM_FIELDS_MAX + 1);
  if (pairs.length > FORM_FIELDS_MAX)
    return { kind: 'malformed', encoding: 'urlencoded', reason: TOO_MANY_FIELDS };
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 0) fields.set(decode(pair), '');
    else fields.set(decode(pair.slice(0, equals)), decode(pair.slice(equals + 1)));
  }
  return { kind: 'form', encoding: 'urlencoded', fields };
}

/** Most names and values of a refresh have nothing to decode. */
function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  return spaced.includes('%') ? unescape(spaced) : spaced;
}
