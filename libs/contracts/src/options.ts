import { BOUNDS } from './bounds';
import { pushContentKeys, type PushContentKey } from './push';

/** How a value is checked. Values are stored as text, as in a Genesys configuration. */
type OptionType =
  | { kind: 'boolean' }
  | { kind: 'integer'; min: number; max: number; unit?: 's' }
  | { kind: 'subset'; of: readonly string[] }
  | { kind: 'choice'; of: readonly string[] }
  | { kind: 'text'; maxChars: number }
  | { kind: 'url' };

export interface OptionSpec {
  /** `settings`, `chat`, `chat.<service>`, `push` or `push.provider.<name>`; the last parts of the two wild ones are free. */
  sections: readonly string[];
  name: string;
  type: OptionType;
  /** Absent: not set unless someone sets it. */
  default?: string;
  since: string;
  meaning: string;
  /** Who reads it: the fold (by a log record) or the delivery (from the watched bucket). */
  readBy: 'fold' | 'delivery';
}

/** The catalogue. Defaults and ranges are those of the page and of CONTRACT sections 3 and 4. */
export const optionCatalogue: readonly OptionSpec[] = [
  {
    sections: ['settings'],
    name: 'flex-push-enabled',
    type: { kind: 'boolean' },
    default: 'true',
    since: '8.5.308.06',
    readBy: 'fold',
    meaning: 'Allows new push registrations; existing ones go on.',
  },
  {
    sections: ['settings'],
    name: 'flex-push-on-join',
    type: { kind: 'boolean' },
    default: 'false',
    since: '8.5.315.05',
    readBy: 'fold',
    meaning: 'Honours a push subscription given in the user data when a chat is created by REST.',
  },
  {
    sections: ['settings'],
    name: 'flex-push-content',
    type: { kind: 'subset', of: pushContentKeys },
    default: 'session-id, user-id',
    since: '8.5.311.06',
    readBy: 'fold',
    meaning: 'Keys in the user data of a reliable push.',
  },
  {
    sections: ['settings'],
    name: 'flex-push-resend-delay',
    type: { kind: 'integer', min: 1, max: 86_400, unit: 's' },
    default: '15',
    since: '8.5.308.06',
    readBy: 'fold',
    meaning: 'Wait before each resend of an unconfirmed reliable push.',
  },
  {
    sections: ['settings'],
    name: 'flex-push-resend-attempts',
    type: { kind: 'integer', min: 0, max: 1_000_000 },
    default: '10',
    since: '8.5.308.06',
    readBy: 'fold',
    meaning: 'How many resends follow the first push; 0 means none.',
  },
  {
    sections: ['settings'],
    name: 'flex-push-timeout',
    type: { kind: 'integer', min: 1, max: 1_728_000, unit: 's' },
    default: '300',
    since: '8.5.202.09',
    readBy: 'fold',
    meaning:
      'No request of a push client for this long: a ping push; none in the next period either: flex-disconnect-timeout starts.',
  },
  {
    sections: ['settings'],
    name: 'flex-disconnect-timeout',
    type: { kind: 'integer', min: 1, max: 1_728_000, unit: 's' },
    default: '45',
    since: '8.5.301.06',
    readBy: 'fold',
    meaning: 'The last step of the inactivity ladder: the client is removed after it.',
  },
  {
    sections: ['chat', 'chat.*'],
    name: 'push_notification_include_payload',
    type: { kind: 'boolean' },
    default: 'false',
    since: '8.5.201.04',
    readBy: 'fold',
    meaning:
      'Puts the chat event into plain customhttp notifications. A section chat.<service> wins over chat.',
  },
  {
    sections: ['chat', 'chat.*'],
    name: 'filtering_chat_events',
    type: { kind: 'subset', of: ['typing', 'notice', 'url', 'message', 'join', 'leave'] },
    default: 'typing',
    since: 'flexpush 0.1',
    readBy: 'fold',
    meaning: 'Kinds of chat events that cause no push.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'customhttp.url',
    type: { kind: 'url' },
    since: '8.5.1',
    readBy: 'delivery',
    meaning: 'Where customhttp notifications are POSTed.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'customhttp.message',
    type: { kind: 'text', maxChars: 4_096 },
    since: '8.5.1',
    readBy: 'delivery',
    meaning: 'The fixed text sent as message when no payload is included.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'debug.customhttp.url',
    type: { kind: 'url' },
    since: '8.5.1',
    readBy: 'delivery',
    meaning: 'Used instead of customhttp.url for subscriptions with debug.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'debug.customhttp.message',
    type: { kind: 'text', maxChars: 4_096 },
    since: '8.5.1',
    readBy: 'delivery',
    meaning: 'Used instead of customhttp.message for subscriptions with debug.',
  },
  {
    sections: ['push'],
    name: 'delivery-mode',
    type: { kind: 'choice', of: ['parallel', 'sequential'] },
    default: 'parallel',
    since: 'flexpush 0.1',
    readBy: 'delivery',
    meaning:
      'sequential sends one notification at a time per GMS node, as the original does; for comparison.',
  },
];

/** The spec for an option, whatever its section's free part. */
export function findOption(section: string, name: string): OptionSpec | undefined {
  return optionCatalogue.find(
    (spec) =>
      spec.name === name &&
      spec.sections.some(
        (s) =>
          s === section ||
          (s.endsWith('.*') && section.startsWith(s.slice(0, -1)) && section.length > s.length - 1),
      ),
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
  const value = raw.trim();
  const refuse = (bound = ''): OptionCheck => ({
    kind: 'refused',
    reason: `${section}/${name}: ${JSON.stringify(raw.slice(0, 80))} is not valid; it must be ${describeRange(spec.type)}${bound}`,
  });
  switch (spec.type.kind) {
    case 'boolean': {
      const lower = value.toLowerCase();
      return lower === 'true' || lower === 'false' ? { kind: 'ok', value: lower, spec } : refuse();
    }
    case 'integer': {
      const number = Number(value);
      return /^\d{1,10}$/.test(value) && number >= spec.type.min && number <= spec.type.max
        ? { kind: 'ok', value: String(number), spec }
        : refuse();
    }
    case 'subset': {
      const allowed = spec.type.of;
      const parts = value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      return parts.every((part) => allowed.includes(part))
        ? { kind: 'ok', value: [...new Set(parts)].join(', '), spec }
        : refuse();
    }
    case 'choice':
      return spec.type.of.includes(value) ? { kind: 'ok', value, spec } : refuse();
    case 'text':
      return raw.length <= spec.type.maxChars ? { kind: 'ok', value: raw, spec } : refuse();
    case 'url': {
      const url = URL.canParse(value) ? new URL(value) : undefined;
      const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
      return isHttp && value.length <= BOUNDS.urlChars ? { kind: 'ok', value, spec } : refuse();
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
  return optionCatalogue.find((spec) => spec.name === name)?.default;
}

/** Keeps only what the fold reads and what is valid: the content of `options.changed`. */
export function foldValues(values: OptionValues): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const key of Object.keys(values).sort()) {
    const at = parseOptionKey(key);
    const checked = at && checkOption(at.section, at.name, values[key] ?? '');
    if (checked?.kind === 'ok' && checked.spec.readBy === 'fold') kept[key] = checked.value;
  }
  return kept;
}

/** The options that the fold reads, typed. Durations in ms. */
export interface SessionOptions {
  pushEnabled: boolean;
  pushOnJoin: boolean;
  pushContent: PushContentKey[];
  resendDelayMs: number;
  resendAttemptMax: number;
  pushTimeoutMs: number;
  disconnectTimeoutMs: number;
  includePayload: boolean;
  filteredEvents: readonly string[];
}

/** Reads the folded values for one chat service. Total: an unreadable value counts as its default. */
export function sessionOptions(values: OptionValues, service: string): SessionOptions {
  const valid = foldValues(values);
  const list = (text: string | undefined) =>
    (text ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  const settings = (name: string) => readOption(valid, ['settings'], name);
  const chat = (name: string) => readOption(valid, [`chat.${service}`, 'chat'], name);
  return {
    pushEnabled: settings('flex-push-enabled') === 'true',
    pushOnJoin: settings('flex-push-on-join') === 'true',
    pushContent: list(settings('flex-push-content')) as PushContentKey[],
    resendDelayMs: Number(settings('flex-push-resend-delay')) * 1000,
    resendAttemptMax: Number(settings('flex-push-resend-attempts')),
    pushTimeoutMs: Number(settings('flex-push-timeout')) * 1000,
    disconnectTimeoutMs: Number(settings('flex-disconnect-timeout')) * 1000,
    includePayload: chat('push_notification_include_payload') === 'true',
    filteredEvents: list(chat('filtering_chat_events')),
  };
}
