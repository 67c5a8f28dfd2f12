import { BOUNDS, errorCodes } from '@flexpush/contracts';
import { invalid, ok, optionalField, userDataFields, type Parsed } from './field-parser';
import type { FormFields } from './form';

/** One field of a form: how it is checked, and what the OpenAPI document says of it. */
export interface FieldSpec {
  readonly name: string;
  readonly kind: 'text' | 'position' | 'userData';
  readonly charsMax?: number;
  readonly isRequired?: true;
  /** Otherwise 400. */
  readonly missingCode?: number;
  /** Of such a code the advice is the limit itself, as clients expect (CONTRACT 1.6). */
  readonly tooLongCode?: number;
  readonly refuses?: { readonly pattern: RegExp; readonly advice: string; readonly code?: number };
  readonly meaning: string;
}

/** What was read: an absent or empty field has no entry. */
export interface FieldValues {
  readonly texts: Readonly<Record<string, string | undefined>>;
  readonly positions: Readonly<Record<string, number | undefined>>;
  readonly userData: Record<string, string>;
}

export const messageField = (meaning: string): FieldSpec => ({
  name: 'message',
  kind: 'text',
  charsMax: BOUNDS.textChars,
  tooLongCode: errorCodes.messageTooLong,
  meaning,
});

export const positionField = (meaning: string): FieldSpec => ({
  name: 'transcriptPosition',
  kind: 'position',
  meaning,
});

export const userDataField = (meaning: string): FieldSpec => ({
  name: 'userData',
  kind: 'userData',
  meaning,
});

export function required(spec: FieldSpec, missingCode?: number): FieldSpec {
  return { ...spec, isRequired: true, ...(missingCode === undefined ? {} : { missingCode }) };
}

/** Ten digits are far beyond any transcript and safely an integer. */
export const POSITION_PATTERN = /^\d{1,10}$/;

/** Reads the fields of an operation; the first that is wrong is told. */
export function readFields(fields: FormFields, specs: readonly FieldSpec[]): Parsed<FieldValues> {
  const texts: Record<string, string> = {};
  const positions: Record<string, number> = {};
  let userData: Record<string, string> = {};
  for (const spec of specs) {
    if (spec.kind === 'userData') {
      const read = readUserData(fields, spec);
      if (read.kind === 'invalid') return read;
      userData = read.value;
      continue;
    }
    const read = readText(fields, spec);
    if (read.kind === 'invalid') return read;
    if (read.value === undefined) continue;
    if (spec.kind === 'text') texts[spec.name] = read.value;
    else if (POSITION_PATTERN.test(read.value)) positions[spec.name] = Number(read.value);
    else return invalid(`${spec.name} must be an integer from 0`);
  }
  return ok({ texts, positions, userData });
}

function readText(fields: FormFields, spec: FieldSpec): Parsed<string | undefined> {
  const { name, charsMax, tooLongCode, missingCode, refuses } = spec;
  const given = optionalField(fields, name);
  const value = spec.kind === 'position' ? given?.trim() || undefined : given;
  if (value === undefined)
    return spec.isRequired ? invalid(`${name} is required`, missingCode) : ok(undefined);
  if (charsMax !== undefined && value.length > charsMax)
    return tooLongCode === undefined
      ? invalid(`${name} may have at most ${charsMax} characters`)
      : invalid(String(charsMax), tooLongCode);
  return refuses?.pattern.test(value) ? invalid(`${name} ${refuses.advice}`, refuses.code) : ok(value);
}

function readUserData(fields: FormFields, spec: FieldSpec): Parsed<Record<string, string>> {
  const read = userDataFields(fields);
  if (read.kind === 'invalid') return read;
  return spec.isRequired && read.value.size === 0
    ? invalid('userData[KEY]=VALUE is required')
    : ok(Object.fromEntries(read.value));
}
