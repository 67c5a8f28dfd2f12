import type { z } from 'zod';

/**
 * Fields whose texts and numbers may be shown in logs, dead letters, traces, the CLI and the console. Everything else is
 * hidden (I10): refused input has misspelt and misplaced fields, so a list of the secret ones would miss some.
 */
const SHOWN_FIELDS = new Set([
  ...['v', 'id', 'type', 'kind', 'status', 'reason', 'seq', 'index', 'atMs'],
  ...['sessionId', 'userId', 'removedBy', 'nickname', 'participantType', 'messageType'],
  ...['service', 'replyTo', 'transcriptPosition', 'revision', 'subscriptionProblem'],
  ...['deviceType', 'nodeGroup', 'provider', 'n', 'attempt', 'position'],
  ...['timers', 'results'],
]);
/** Fields that are hidden whatever they hold. */
const SECRET_FIELDS = new Set([
  'secureKey',
  'obfuscatedKey',
  'keyHash',
  'secure-key',
  'secret',
  'password',
  'authorization',
  'text',
  'preview',
  'url',
  'subject',
  'deviceId',
  'GCTI_GMS_PushDeviceId',
  'GCTI_Chat_SessionPassword',
]);
const HIDDEN = '[redacted]';
const DEPTH_MAX = 8;
const ITEMS_MAX = 100;
const CHARS_MAX = 512;
/** Names of fields as ours are; other ones may be content that was taken for a name. */
const NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;
/** Of all that is shown: even if each character took six bytes as JSON, a dead letter stays below max_payload. */
const TOTAL_CHARS_MAX = 65_536;
/** What each value costs beyond its own characters. */
const VALUE_CHARS = 16;

interface Budget {
  charsLeft: number;
}

/** The one redactor: a copy that is safe to show. What may be secret becomes `[redacted]`, long texts and lists are cut. */
export function redact(value: unknown): unknown {
  return shown(value, { isOpen: false, depth: 0 }, { charsLeft: TOTAL_CHARS_MAX });
}

/** `isOpen`: the value stands under a field that may be shown. */
function shown(value: unknown, at: { isOpen: boolean; depth: number }, budget: Budget): unknown {
  budget.charsLeft -= VALUE_CHARS;
  if (budget.charsLeft < 0) return '[cut]';
  if (typeof value === 'string' || typeof value === 'number')
    return at.isOpen ? shownScalar(value, budget) : HIDDEN;
  if (typeof value !== 'object' || value === null) return value;
  if (at.depth >= DEPTH_MAX) return '[deep]';
  const inside = { ...at, depth: at.depth + 1 };
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => shown(item, inside, budget));
  return shownFields(value, (name, field) => {
    if (SECRET_FIELDS.has(name)) return HIDDEN;
    if (name === 'userData') return shownUserData(field, budget);
    return shown(field, { isOpen: SHOWN_FIELDS.has(name), depth: inside.depth }, budget);
  });
}

function shownScalar(value: string | number, budget: Budget): string | number {
  if (typeof value === 'number') return value;
  budget.charsLeft -= Math.min(value.length, CHARS_MAX);
  return value.length > CHARS_MAX ? `${value.slice(0, CHARS_MAX)}... (${value.length} characters)` : value;
}

/** `fromEntries`, because an assignment to a field named `__proto__` would be none. */
function shownFields(value: object, show: (name: string, field: unknown) => unknown): object {
  const entries = Object.entries(value).slice(0, ITEMS_MAX);
  return Object.fromEntries(entries.map(([name, field]) => [shownName(name), show(name, field)]));
}

function shownName(name: string): string {
  return NAME_PATTERN.test(name) ? name : HIDDEN;
}

/** User data may hold anything about the customer: only the switches of the page are shown. */
function shownUserData(userData: unknown, budget: Budget): unknown {
  if (typeof userData !== 'object' || userData === null || Array.isArray(userData)) return HIDDEN;
  const isOpen = (key: string) => key.startsWith('GCTI_') && !SECRET_FIELDS.has(key);
  return shownFields(userData, (key, value) =>
    isOpen(key) ? shown(value, { isOpen: true, depth: DEPTH_MAX }, budget) : HIDDEN,
  );
}

const PROBLEMS_MAX = 5;
const NAMES_MAX = 5;

/** What is wrong with a value that a schema refused: places and rules, never what stood there (I10). */
export function describeProblems(error: z.ZodError): string {
  return error.issues
    .slice(0, PROBLEMS_MAX)
    .map((issue) => {
      const place = issue.path.map((part) => (typeof part === 'number' ? part : shownName(String(part))));
      const rule =
        issue.code === 'unrecognized_keys'
          ? `unknown fields: ${issue.keys.slice(0, NAMES_MAX).map(shownName).join(', ')}`
          : issue.message;
      return `${place.slice(0, DEPTH_MAX).join('.') || 'message'}: ${rule}`;
    })
    .join('; ')
    .slice(0, CHARS_MAX);
}
