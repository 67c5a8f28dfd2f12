/** Fields whose values never leave through logs, dead letters, traces, the CLI or the console (I10). */
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
const DEPTH_MAX = 8;
const ITEMS_MAX = 100;
const CHARS_MAX = 512;

/** The one redactor: a copy that is safe to show. Secrets and chat content become `[redacted]`, long texts and lists are cut. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string')
    return value.length > CHARS_MAX ? `${value.slice(0, CHARS_MAX)}... (${value.length} characters)` : value;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deep]';
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => redact(item, depth + 1));
  const shown: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(value).slice(0, ITEMS_MAX)) {
    if (SECRET_FIELDS.has(key)) shown[key] = '[redacted]';
    else shown[key] = key === 'userData' ? redactUserData(field) : redact(field, depth + 1);
  }
  return shown;
}

/** User data may hold anything about the customer: only the switches of the page are shown. */
function redactUserData(userData: unknown): unknown {
  if (typeof userData !== 'object' || userData === null) return '[redacted]';
  const isShown = (key: string) => key.startsWith('GCTI_') && !SECRET_FIELDS.has(key);
  const entries = Object.entries(userData).slice(0, ITEMS_MAX);
  return Object.fromEntries(
    entries.map(([key, value]) => [key, isShown(key) ? redact(value, DEPTH_MAX - 1) : '[redacted]']),
  );
}
