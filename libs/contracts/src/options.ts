import { BOUNDS } from './bounds';
import type { OptionSpec, OptionType } from './option-spec';
import { chatServerOptions, type NoticeLevel } from './options-chat-server';
import { chatServiceOptions } from './options-chat-service';
import { pushOptions } from './options-push';
import type { PushContentKey } from './push';

/** The catalogue. Defaults and ranges are those of the page and of CONTRACT sections 3 and 4. */
export const optionCatalogue: readonly OptionSpec[] = [
  ...chatServerOptions,
  ...chatServiceOptions,
  ...pushOptions,
];

/** The spec for an option, whatever its section's free part. */
export function findOption(section: string, name: string): OptionSpec | undefined {
  return optionCatalogue.find((spec) => spec.name === name && belongsTo(spec, section));
}

function belongsTo(spec: OptionSpec, section: string): boolean {
  return spec.sections.some(
    (s) =>
      s === section ||
      (s.endsWith('.*') && section.startsWith(s.slice(0, -1)) && section.length > s.length - 1),
  );
}

/** The range in words, as refusals and `options list` show it. */
export function describeRange(type: OptionType): string {
  switch (type.kind) {
    case 'boolean':
      return 'true, false';
    case 'integer':
      return `an integer from ${type.min} to ${type.max}${type.unit ? ' (seconds)' : ''}`;
    case 'subset':
      return `any combination of: ${type.of.join(', ')}`;
    case 'choice':
      return `one of: ${type.of.join(', ')}`;
    case 'text':
    case 'secret':
      return `text of at most ${type.maxChars} characters`;
    case 'url':
      return 'an http or https URL';
    default:
      return type satisfies never;
  }
}

export type OptionCheck =
  { kind: 'ok'; value: string; spec: OptionSpec } | { kind: 'refused'; reason: string };

/** Checks a value against the catalogue; the accepted value is trimmed and, for subsets, written in one way. */
export function checkOption(section: string, name: string, raw: string): OptionCheck {
  const spec = findOption(section, name);
  if (!spec) {
    const elsewhere = optionCatalogue.filter((s) => s.name === name).flatMap((s) => s.sections);
    const hint = elsewhere.length
      ? `; it belongs to section ${elsewhere.join(' or ')}`
      : '; see "flexpush options list"';
    return { kind: 'refused', reason: `there is no option "${name}" in section "${section}"${hint}` };
  }
  // A section becomes part of a KV key, where an empty part is an illegal subject.
  if (section.length > 128 || !/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(section))
    return {
      kind: 'refused',
      reason: `section "${section.slice(0, 128)}" may have letters, digits, "_", "-" and single "." between them only, at most 128`,
    };
  const checked = checkType(spec, raw);
  const problem = checked === undefined ? describeRange(spec.type) : spec.problem?.(checked);
  if (checked !== undefined && problem === undefined) return { kind: 'ok', value: checked, spec };
  // A secret that was refused is still one, and this text is logged.
  const shown = spec.type.kind === 'secret' ? 'the value' : JSON.stringify(raw.slice(0, 80));
  return { kind: 'refused', reason: `${section}/${name}: ${shown} is not valid; it must be ${problem}` };
}

/** The value as it is stored, or undefined when it does not fit the type. */
function checkType(spec: OptionSpec, raw: string): string | undefined {
  const value = raw.trim();
  switch (spec.type.kind) {
    case 'boolean': {
      const lower = value.toLowerCase();
      return lower === 'true' || lower === 'false' ? lower : undefined;
    }
    case 'integer': {
      const number = Number(value);
      return /^\d{1,10}$/.test(value) && number >= spec.type.min && number <= spec.type.max
        ? String(number)
        : undefined;
    }
    case 'subset': {
      const allowed = spec.type.of;
      const parts = listOf(value);
      return parts.every((part) => allowed.includes(part)) ? [...new Set(parts)].join(', ') : undefined;
    }
    case 'choice':
      return spec.type.of.includes(value) ? value : undefined;
    case 'text':
    case 'secret':
      return raw.length <= spec.type.maxChars ? raw : undefined;
    case 'url': {
      const url = URL.canParse(value) ? new URL(value) : undefined;
      const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
      return isHttp && value.length <= BOUNDS.urlChars ? value : undefined;
    }
    default:
      return spec.type satisfies never;
  }
}

/** KV keys allow no blanks and few signs; section and name are joined by a slash, which neither contains. */
export function optionKey(section: string, name: string): string {
  return `${section}/${name}`;
}

export function parseOptionKey(key: string): { section: string; name: string } | undefined {
  const slash = key.indexOf('/');
  return slash > 0 && slash < key.length - 1
    ? { section: key.slice(0, slash), name: key.slice(slash + 1) }
    : undefined;
}

/** The values that are set, by `optionKey`. */
export type OptionValues = Readonly<Record<string, string>>;

/** A value as text: the first of the sections where it is set, else the default, else undefined. */
export function readOption(
  values: OptionValues,
  sections: readonly string[],
  name: string,
): string | undefined {
  for (const section of sections) {
    const value = values[optionKey(section, name)];
    if (value !== undefined) return value;
  }
  return optionCatalogue.find((spec) => spec.name === name && belongsTo(spec, sections.at(-1) ?? ''))
    ?.default;
}

/** Keeps only what the fold reads and what is valid: the content of `options.changed`. */
export function foldValues(values: OptionValues): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const key of Object.keys(values).sort()) {
    const at = parseOptionKey(key);
    const checked = at && checkOption(at.section, at.name, values[key] ?? '');
    if (checked?.kind === 'ok' && checked.spec.readBy.includes('fold')) kept[key] = checked.value;
  }
  return kept;
}

/** What the fold needs to know of `[inactivity-control]` and `async-idle-*` (CONTRACT 4.2b, c). */
export interface IdleOptions {
  notices: NoticeLevel;
  alertMs: number;
  /** 0: there is no second alert. */
  alert2Ms: number;
  closeMs: number;
}

/** `[client-file-transfer]` (CONTRACT 1.5). */
export interface FileOptions {
  filesMax: number;
  fileBytesMax: number;
  totalBytesMax: number;
  /** In lower case; `*` stands for all. */
  types: readonly string[];
  needAgent: boolean;
  downloadsMax: number;
  deleteFile: string;
}

/** The options that the fold reads, typed. Durations in ms. */
export interface SessionOptions {
  pushEnabled: boolean;
  pushOnJoin: boolean;
  pushContent: PushContentKey[];
  deviceTypesEnabled: readonly string[];
  resendDelayMs: number;
  resendAttemptMax: number;
  pushTimeoutMs: number;
  disconnectTimeoutMs: number;
  confirmOnSend: boolean;
  removeOnBadKey: boolean;
  includePayload: boolean;
  pushToActiveClient: boolean;
  filteredEvents: readonly string[];
  /** Undefined: nobody has set one. */
  chatEndpoint: string | undefined;
  /** Of ordinary chats; undefined: they are not watched. */
  idle: IdleOptions | undefined;
  asyncIdle: IdleOptions;
  idleTexts: { alert: string; alert2: string; close: string };
  files: FileOptions;
}

/** Reads the folded values for one chat service. Total: an unreadable value counts as its default. */
export function sessionOptions(values: OptionValues, service: string): SessionOptions {
  const valid = foldValues(values);
  const settings = (name: string) => readOption(valid, ['settings'], name);
  const settingMs = (name: string) => Number(settings(name)) * 1000;
  const chat = (name: string) => readOption(valid, [`chat.${service}`, 'chat'], name);
  const idle = (name: string) => readOption(valid, ['inactivity-control'], name);
  const idleMs = (name: string) => Number(idle(name)) * 1000;
  return {
    pushEnabled: settings('flex-push-enabled') === 'true',
    pushOnJoin: settings('flex-push-on-join') === 'true',
    pushContent: listOf(settings('flex-push-content')) as PushContentKey[],
    deviceTypesEnabled: listOf(readOption(valid, ['push'], 'pushEnabled')),
    resendDelayMs: settingMs('flex-push-resend-delay'),
    resendAttemptMax: Number(settings('flex-push-resend-attempts')),
    pushTimeoutMs: settingMs('flex-push-timeout'),
    disconnectTimeoutMs: settingMs('flex-disconnect-timeout'),
    confirmOnSend: settings('flex-push-confirm-on-send') === 'true',
    removeOnBadKey: settings('remove-on-bad-secure-key') === 'true',
    includePayload: chat('push_notification_include_payload') === 'true',
    pushToActiveClient: chat('push_notification_to_active_client') === 'true',
    filteredEvents: listOf(readOption(valid, [`chat.${service}`, 'chat', 'push'], 'filtering_chat_events')),
    chatEndpoint:
      valid[optionKey(`chat.${service}`, '_chat_endpoint')] ??
      valid[optionKey('chat', 'default_chat_endpoint')],
    idle:
      idle('enabled') === 'true'
        ? {
            notices: idle('include-notices') as NoticeLevel,
            alertMs: idleMs('timeout-alert'),
            alert2Ms: idleMs('timeout-alert2'),
            closeMs: idleMs('timeout-close'),
          }
        : undefined,
    asyncIdle: {
      notices: settings('async-idle-notices') as NoticeLevel,
      alertMs: settingMs('async-idle-alert'),
      alert2Ms: 0,
      closeMs: settingMs('async-idle-close'),
    },
    idleTexts: {
      alert: idle('message-alert') ?? '',
      alert2: idle('message-alert2') ?? '',
      close: idle('message-close') ?? '',
    },
    files: fileOptions(valid),
  };
}

/** May a file of this name be uploaded? By its extension; `*` allows all. */
export function isFileTypeAllowed(types: readonly string[], name: string): boolean {
  const dot = name.lastIndexOf('.');
  return types.includes('*') || types.includes(dot < 0 ? '' : name.slice(dot + 1).toLowerCase());
}

function fileOptions(values: OptionValues): FileOptions {
  const read = (name: string) => readOption(values, ['client-file-transfer'], name) ?? '';
  return {
    filesMax: Number(read('upload-max-files')),
    fileBytesMax: Number(read('upload-max-file-size')),
    totalBytesMax: Number(read('upload-max-total-size')),
    types: read('upload-file-types')
      .split(':')
      .map((type) => type.trim().toLowerCase())
      .filter((type) => type !== ''),
    needAgent: read('upload-need-agent') === 'true',
    downloadsMax: Number(read('download-attempts')),
    deleteFile: read('delete-file'),
  };
}

/** The parts of a comma list. */
export function listOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
