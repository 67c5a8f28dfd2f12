import { findOption, optionKey, type OptionValues } from '@flexpush/contracts';

/** What holds at a place, and why. `source` is the section whose value it is; null: nothing is set and there is no default. */
export type InForce = { value: string; source: string } | { value: null; source: null };
export const BY_DEFAULT = 'default';

/** The one option of chat services that section push has too. */
const FILTER = 'filtering_chat_events';
const EVENT_SECTION = /^push\.provider(\.[^.]+)?\.event(\.[^.]+)?$/;

/** The sections whose values hold at a place, the most special one first, as chat-api, the fold and delivery read them. */
function sectionsFor(section: string, name: string): string[] {
  if (section.startsWith('chat.')) return [section, ...sectionsFor('chat', name)];
  if (section === 'chat') return name === FILTER ? [section, 'push'] : [section];
  if (!section.startsWith('push.provider.')) return [section];
  const [, provider, event] = EVENT_SECTION.exec(section) ?? [];
  if (!EVENT_SECTION.test(section)) return [section, 'push'];
  const owners = provider === undefined ? [''] : [provider, ''];
  const ofEvents = owners.flatMap((owner) => {
    const all = `push.provider${owner}.event`;
    return event === undefined ? [all] : [`${all}${event}`, all];
  });
  return [...ofEvents, ...(provider === undefined ? [] : [`push.provider${provider}`]), 'push'];
}

/** The value that holds at this place. */
export function inForce(values: OptionValues, { section, name }: { section: string; name: string }): InForce {
  for (const source of sectionsFor(section, name)) {
    const value = values[optionKey(source, name)];
    if (value !== undefined) return { value, source };
  }
  const value = findOption(section, name)?.default;
  return value === undefined ? { value: null, source: null } : { value, source: BY_DEFAULT };
}
