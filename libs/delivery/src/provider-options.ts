import { optionKey, readOption, type OptionValues } from '@flexpush/contracts';
import { isUsable, type HttpConnection, type TlsSettings } from './connection';
import type { NoTarget, Wanted } from './provider';

/** `push.provider.event` holds texts for all providers, so no provider can have this name (CONTRACT 3.2). */
const TEXTS_FOR_ALL = 'event';

/** Reads the options of one provider for one kind of subscription. */
export interface ProviderOptions {
  read(name: string): string | undefined;
  /** For options that have no debug variant. */
  readShared(name: string): string | undefined;
  /** The sections in which event texts are looked for, the most special first, and the prefix of names. */
  textSections(eventType: string | undefined): readonly string[];
  readFrom(sections: readonly string[], name: string): string | undefined;
}

/**
 * A named provider's section wins over `push`. A provider that nobody configured is an error of the subscription and
 * must not reach the default receiver; `debug` never falls back to the production values (CONTRACT 6 #23, #24).
 */
export function providerOptions(values: OptionValues, wanted: Wanted): ProviderOptions | NoTarget {
  const { provider, debug } = wanted;
  if (provider !== undefined && !isConfigured(values, provider))
    return { kind: 'no-target', reason: 'unknown-provider' };
  const own = provider === undefined ? [] : [`push.provider.${provider}`];
  const sections = [...own, 'push'];
  const prefix = debug ? 'debug.' : '';
  const readFrom = (places: readonly string[], name: string) =>
    readOption(values, places, `${prefix}${name}`);
  return {
    readFrom,
    read: (name) => readFrom(sections, name),
    readShared: (name) => readOption(values, sections, name),
    textSections: (eventType) => {
      const places = [...own, 'push.provider'].map((section) => `${section}.event`);
      const ofEvent = places.flatMap((place) =>
        eventType === undefined ? [place] : [`${place}.${eventType}`, place],
      );
      return [...ofEvent, ...sections];
    },
  };
}

export function isNoTarget(found: object): found is NoTarget {
  return 'kind' in found && found.kind === 'no-target';
}

function isConfigured(values: OptionValues, provider: string): boolean {
  if (provider === TEXTS_FOR_ALL || provider.includes('.')) return false;
  const section = `push.provider.${provider}`;
  const own = [optionKey(section, ''), optionKey(`${section}.event`, ''), `${section}.event.`];
  return Object.keys(values).some((key) => own.some((start) => key.startsWith(start)));
}

/** An origin of http or https, and what stands behind it. */
export function parsedUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url === undefined || !['http:', 'https:'].includes(url.protocol) ? undefined : url;
}

/** The connection settings that all providers over HTTP share; undefined: the certificates or the key are not usable. */
export function connectionOf(
  options: ProviderOptions,
  { provider, origin }: { provider: string; origin: string },
): HttpConnection | undefined {
  const read = (name: string) => options.read(`${provider}.${name}`);
  const tls: TlsSettings = withoutAbsent({
    ca: read('ca'),
    cert: read('client-cert'),
    key: read('client-key'),
  });
  const isTls = origin.startsWith('https:') && Object.keys(tls).length > 0;
  if (isTls && !isUsable(tls)) return undefined;
  const proxyUrl = read('proxy');
  const proxy =
    proxyUrl === undefined
      ? undefined
      : { url: proxyUrl, ...withoutAbsent({ authorization: read('proxy-authorization') }) };
  return {
    origin,
    ...withoutAbsent({
      tls: isTls ? tls : undefined,
      proxy,
      connectTimeoutMs: msOf(read('connection-timeout')),
      answerTimeoutMs: msOf(read('socket-timeout')),
    }),
  };
}

export function msOf(seconds: string | undefined): number | undefined {
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}

/** Without the fields that are undefined, as exact optional properties want it. */
export function withoutAbsent<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
