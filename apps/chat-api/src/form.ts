import { isUtf8 } from 'node:buffer';

/** The fields of a form by name; of several with one name the last counts. */
export type FormFields = ReadonlyMap<string, string>;

export type Form =
  | { kind: 'form'; encoding: 'urlencoded' | 'multipart'; fields: FormFields }
  | { kind: 'malformed'; encoding: 'urlencoded' | 'multipart'; reason: string };

export const NO_FIELDS: FormFields = new Map();

/** Fields in one form, repeated ones counted. */
export const FORM_FIELDS_MAX = 256;
export const TOO_MANY_FIELDS = `the form has more than ${FORM_FIELDS_MAX} fields`;

const CHARSET_PATTERN = /;\s*charset\s*=\s*"?([^\s;"]*)/i;
/** ASCII is a part of UTF-8. */
const UTF8_NAMES = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/** Whether a body of this content type says that its texts are in another charset than UTF-8. */
export function namesForeignCharset(contentType: string): boolean {
  const charset = CHARSET_PATTERN.exec(contentType)?.[1];
  return charset !== undefined && !UTF8_NAMES.has(charset.toLowerCase());
}

/** Nobody can know what was meant, and guessed texts would stand in the transcript for ever. */
export const NOT_UTF8 = 'the texts of the form are not UTF-8; encode them in UTF-8';

/**
 * Reads `application/x-www-form-urlencoded` as browsers write it. It is as lenient as their own parser with a stray
 * percent sign, which stands for itself; texts that are no UTF-8 are refused.
 */
export function parseUrlEncoded(body: Buffer): Form {
  const fields = new Map<string, string>();
  // Byte by byte: what stands behind percent signs is a part of the same text.
  const pairs = body.toString('latin1').split('&', FORM_FIELDS_MAX + 1);
  if (pairs.length > FORM_FIELDS_MAX) return malformed(TOO_MANY_FIELDS);
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
    if (name === undefined || value === undefined) return malformed(NOT_UTF8);
    fields.set(name, value);
  }
  return { kind: 'form', encoding: 'urlencoded', fields };
}

function malformed(reason: string): Form {
  return { kind: 'malformed', encoding: 'urlencoded', reason };
}

const ESCAPE_PATTERN = /%[0-9a-f]{2}/gi;
const unescape = (escape: string) => String.fromCharCode(Number.parseInt(escape.slice(1), 16));
const TO_DECODE_PATTERN = /[%\x80-\xff]/;

/** Most names and values of a refresh have nothing to decode. */
function decode(bytes: string): string | undefined {
  const spaced = bytes.includes('+') ? bytes.replaceAll('+', ' ') : bytes;
  if (!TO_DECODE_PATTERN.test(spaced)) return spaced;
  const text = Buffer.from(spaced.replace(ESCAPE_PATTERN, unescape), 'latin1');
  return isUtf8(text) ? text.toString('utf8') : undefined;
}
