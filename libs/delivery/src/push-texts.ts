import { parseJson, PUSH_BODY_CHARS, PUSH_TITLE_CHARS, type PushJob } from '@flexpush/contracts';
import type { ProviderOptions } from './provider-options';

/** What a phone shows. A field that is absent has no text configured. */
export interface PushTexts {
  title?: string;
  body?: string;
}

/** Texts by event and language are few; the bound is for languages, which come from clients. */
const TEXTS_MAX = 1_024;
const NICKNAME = '{nickname}';
/** The entry of a language that holds for every event without an entry of its own, and for pushes without an event. */
const ANY_EVENT = 'default';

/**
 * The texts of one target, looked up once per event and language: in the localization by language, then in the sections of the event,
 * then in those of the provider (CONTRACT 3.2, 3.6).
 */
export class TextBook {
  private readonly known = new Map<string, PushTexts>();
  private readonly languages: ReadonlyMap<string, Record<string, PushTexts>>;

  constructor(
    private readonly options: ProviderOptions,
    private readonly names: { title: string; body: string },
  ) {
    this.languages = languagesOf(options.readShared('localization'));
  }

  textsOf(job: PushJob): PushTexts {
    const event = job.kind === 'plain' ? job.event : undefined;
    const texts = this.lookUp(event?.type, job.language);
    const nickname = event?.from.nickname ?? '';
    return {
      ...(texts.title === undefined
        ? {}
        : { title: filled(texts.title, nickname).slice(0, PUSH_TITLE_CHARS) }),
      ...(texts.body === undefined ? {} : { body: filled(texts.body, nickname).slice(0, PUSH_BODY_CHARS) }),
    };
  }

  private lookUp(eventType: string | undefined, language: string | undefined): PushTexts {
    const key = `${eventType ?? ''} ${language ?? ''}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    if (this.known.size >= TEXTS_MAX) this.known.clear();
    const texts: PushTexts = {};
    for (const field of ['title', 'body'] as const) {
      const text = this.localized(field, eventType, language) ?? this.configured(field, eventType);
      if (text !== undefined && text !== '') texts[field] = text;
    }
    this.known.set(key, texts);
    return texts;
  }

  private localized(
    field: keyof PushTexts,
    eventType: string | undefined,
    language: string | undefined,
  ): string | undefined {
    for (const tag of fallbacks(language)) {
      const events = this.languages.get(tag);
      const text =
        (eventType === undefined ? undefined : events?.[eventType]?.[field]) ?? events?.[ANY_EVENT]?.[field];
      if (text !== undefined) return text;
    }
    return undefined;
  }

  private configured(field: keyof PushTexts, eventType: string | undefined): string | undefined {
    return this.options.readFrom(this.options.textSections(eventType), this.names[field]);
  }
}

/** A function, because a nickname may hold what `replaceAll` takes for a pattern. */
function filled(text: string, nickname: string): string {
  return text.replaceAll(NICKNAME, () => nickname);
}

/** `de-DE`, then `de`; lower case, because clients write both. */
function fallbacks(language: string | undefined): string[] {
  const tags: string[] = [];
  let tag = (language ?? '').toLowerCase().replaceAll('_', '-');
  while (tag !== '') {
    tags.push(tag);
    tag = tag.slice(0, Math.max(0, tag.lastIndexOf('-')));
  }
  return tags;
}

/** The option's check has seen the form. A file has not been checked: what does not fit is left out. */
function languagesOf(text: string | undefined): ReadonlyMap<string, Record<string, PushTexts>> {
  const languages = new Map<string, Record<string, PushTexts>>();
  for (const [language, events] of Object.entries(recordOf(parseJson(text ?? '')))) {
    const known: Record<string, PushTexts> = Object.create(null) as Record<string, PushTexts>;
    for (const [event, texts] of Object.entries(recordOf(events))) {
      const { title, body } = recordOf(texts);
      known[event] = {
        ...(typeof title === 'string' ? { title } : {}),
        ...(typeof body === 'string' ? { body } : {}),
      };
    }
    languages.set(language.toLowerCase().replaceAll('_', '-'), known);
  }
  return languages;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
