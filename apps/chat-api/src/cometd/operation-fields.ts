import { errorCodes } from '@flexpush/contracts';
import { invalid, ok, type Parsed } from '../field-parser';
import { FORM_FIELDS_MAX, TOO_MANY_FIELDS, type FormFields } from '../form';

/** CometD operations that are those of REST, by their names there. */
export const restOperations: ReadonlyMap<string, string> = new Map([
  ['sendMessage', 'send'],
  ['startTyping', 'startTyping'],
  ['stopTyping', 'stopTyping'],
  ['pushUrl', 'pushUrl'],
  ['updateNickname', 'updateNickname'],
  ['updateData', 'updateData'],
  ['customNotice', 'customNotice'],
  ['readReceipt', 'readReceipt'],
  ['disconnect', 'disconnect'],
]);

export interface Operation {
  name: string;
  fields: FormFields;
}

/** What is no field: the operation itself, and what an SDK adds for a gateway in front (CONTRACT 2.1). */
const notFields = new Set(['operation', 'auth']);

/** The `data` of a publish as the form that REST would have got, so that both are read by the same rules. */
export function readOperation(data: unknown): Parsed<Operation> {
  if (!isObject(data)) return invalid('data must be an object');
  const { operation } = data;
  if (typeof operation !== 'string') return invalid('data.operation must be the name of an operation');
  const fields = new Map<string, string>();
  for (const [name, value] of Object.entries(data)) {
    if (notFields.has(name) || value === null) continue;
    const problem = name === 'userData' ? addUserData(fields, value) : addField(fields, name, value);
    if (problem !== undefined) return invalid(problem, errorCodes.badRequest);
    if (fields.size > FORM_FIELDS_MAX) return invalid(TOO_MANY_FIELDS);
  }
  return ok({ name: operation, fields });
}

function addUserData(fields: Map<string, string>, userData: unknown): string | undefined {
  if (!isObject(userData)) return 'userData must be an object';
  for (const [key, value] of Object.entries(userData)) {
    if (value === null) continue;
    const problem = addField(fields, `userData[${key}]`, value);
    if (problem !== undefined) return problem;
    if (fields.size > FORM_FIELDS_MAX) return TOO_MANY_FIELDS;
  }
  return undefined;
}

const NAME_CHARS_SHOWN = 80;

/** Numbers and booleans count as their text: clients send positions and flags as either. */
function addField(fields: Map<string, string>, name: string, value: unknown): string | undefined {
  if (typeof value === 'string') fields.set(name, value);
  else if (typeof value === 'number' || typeof value === 'boolean') fields.set(name, String(value));
  else return `${name.slice(0, NAME_CHARS_SHOWN)} must be text, a number or a boolean`;
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
