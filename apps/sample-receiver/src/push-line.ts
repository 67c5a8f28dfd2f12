import type { Refreshed } from '@flexpush/receiver';

/** One line for people about a push, whatever its shape: bodies come from outside and are never trusted. */
export function describePush(body: unknown): string {
  const deviceId = textAt(body, 'deviceId') ?? '-';
  return `device ${clip(deviceId, 64)}  ${describeMessage(fieldAt(body, 'message'))}`;
}

/** One line about what a refresh gave. */
export function describeRefreshed(deviceId: string, refreshed: Refreshed): string {
  const device = `device ${clip(deviceId, 64)}`;
  switch (refreshed.kind) {
    case 'events': {
      const texts = refreshed.events.map(({ text, type }) =>
        text === undefined ? clip(type, 32) : quote(text),
      );
      return `${device}  fetched  ${texts.join(' ') || 'nothing new'}${refreshed.chatEnded ? '  chat ended' : ''}`;
    }
    case 'no-credentials':
      return `${device}  cannot fetch: the push has no ${refreshed.missing.join(', ')} (see flex-push-content)`;
    case 'refused':
      return `${device}  fetch refused  ${quote(refreshed.errors.map(({ advice }) => advice).join('; '))}`;
    case 'retry':
      return `${device}  fetch failed (${clip(refreshed.reason, 64)}), waiting for the next push`;
    case 'removed':
      return `${device}  no longer in the chat`;
    default:
      return refreshed satisfies never;
  }
}

/** A time of day to the millisecond, in UTC. */
export function timeOfDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 23);
}

function describeMessage(message: unknown): string {
  if (typeof message === 'string') return `text     ${quote(message)}`;
  const events = fieldAt(message, 'messages');
  const event: unknown = Array.isArray(events) ? events[0] : undefined;
  if (event === undefined) return `other    ${quote(JSON.stringify(message) ?? 'nothing')}`;
  const type = textAt(event, 'type') ?? '?';
  const ended = fieldAt(message, 'chatEnded') === true ? '  chat ended' : '';
  const userData = fieldAt(event, 'userData');
  const position = textAt(userData, 'notify-position');
  if (type === 'PushUrl' && position !== undefined) {
    const session = textAt(userData, 'session-id');
    const where = session === undefined ? '' : `  session ${clip(session, 64)}`;
    return `trigger  position ${clip(position, 16)}  attempt ${clip(textAt(userData, 'notify-attempt') ?? '?', 16)}${where}${ended}`;
  }
  const nickname = textAt(fieldAt(event, 'from'), 'nickname');
  const from = nickname === undefined ? '' : `  from ${quote(nickname)}`;
  const text = textAt(event, 'text');
  return `event    ${clip(type, 32)}${from}${text === undefined ? '' : `  ${quote(text)}`}${ended}`;
}

function fieldAt(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}

function textAt(value: unknown, key: string): string | undefined {
  const field = fieldAt(value, key);
  return typeof field === 'string' ? field : undefined;
}

/** JSON quoting also disarms line breaks and terminal escapes that a sender may have put in. */
function quote(text: string): string {
  return JSON.stringify(clip(text, 200));
}

function clip(text: string, charMax: number): string {
  // Control characters must not reach the terminal.
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
  return plain.length > charMax ? `${plain.slice(0, charMax)}…` : plain;
}
