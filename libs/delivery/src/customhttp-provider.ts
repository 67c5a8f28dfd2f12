import { parseJson, readOption, type OptionValues, type PushJob } from '@flexpush/contracts';
import { destinationOf } from './connection';
import { plainBody, triggerBody } from './customhttp-body';
import type { HttpPost } from './channel';
import type { NoTarget, Provider, Target, Wanted } from './provider';
import {
  connectionOf,
  isNoTarget,
  msOf,
  parsedUrl,
  providerOptions,
  withoutAbsent,
  type ProviderOptions,
} from './provider-options';
import { webhookSigner, type WebhookSigner } from './webhook-signature';

const CONTENT_TYPE = 'application/json;charset=UTF-8';

export interface CustomhttpTarget extends Target {
  /** Path and query. */
  path: string;
  /** Names and values in turn; the same list for each POST. */
  headers: string[];
  /** The fixed text, for notifications without content. */
  message?: string;
  signer?: WebhookSigner;
}

/** Notifications as POSTs to the customer's own web server. */
export const customhttpProvider: Provider<CustomhttpTarget> = {
  deviceType: 'customhttp',
  target: customhttpTarget,
  request: (job, { alias, target }) => requestTo(target, job, bodyOf(job, alias, target)),
};

function bodyOf(job: PushJob, alias: string, target: CustomhttpTarget): string {
  if (job.kind === 'trigger' && !job.bare) return triggerBody(job, alias);
  const event = job.kind === 'plain' ? job.event : undefined;
  return plainBody({ ...job, event }, { alias, message: target.message });
}

function requestTo(target: CustomhttpTarget, job: PushJob, body: string): HttpPost {
  const { path, headers, signer } = target;
  // Only who asked for signatures pays for them.
  if (signer === undefined) return { path, headers, body };
  return { path, headers: [...headers, ...signer.sign(job.id, body, Date.now())], body };
}

function customhttpTarget(values: OptionValues, wanted: Wanted): CustomhttpTarget | NoTarget {
  const noTarget = (reason: NoTarget['reason']): NoTarget => ({ kind: 'no-target', reason });
  const options = providerOptions(values, wanted);
  if (isNoTarget(options)) return options;
  const urlText = options.read('customhttp.url');
  if (urlText === undefined) return noTarget('no-url-configured');
  const url = parsedUrl(urlText);
  const authorization = url === undefined ? undefined : authorizationFor(url, options);
  if (url === undefined || authorization === undefined) return noTarget('url-not-usable');
  const connection = connectionOf(options, { provider: 'customhttp', origin: url.origin });
  if (connection === undefined) return noTarget('tls-settings-not-usable');
  const headers = furtherHeaders(options.read('customhttp.headers'));
  if (headers === undefined) return noTarget('headers-not-usable');
  const keys = ['signing-key', 'signing-key-previous'].flatMap(
    (name) => options.read(`customhttp.${name}`) ?? [],
  );
  const signer = keys.length === 0 ? undefined : webhookSigner(keys);
  if (keys.length > 0 && signer === undefined) return noTarget('signing-key-not-usable');
  const withDefaults = { ...gmsTimeouts(values), ...connection };
  return {
    kind: 'target',
    destination: destinationOf(withDefaults),
    connection: withDefaults,
    path: `${url.pathname}${url.search}`,
    headers: ['content-type', CONTENT_TYPE, ...headersWith(authorization, headers)],
    ...withoutAbsent({ message: options.read('customhttp.message'), signer }),
  };
}

/** The original's options for all connections; those of customhttp go before them. */
function gmsTimeouts(values: OptionValues) {
  const read = (name: string) => msOf(readOption(values, ['gms'], name));
  return withoutAbsent({
    connectTimeoutMs: read('http.connection_timeout'),
    answerTimeoutMs: read('http.socket_timeout'),
  });
}

/** Configured headers win over the authorization that stands in the URL, not the other way round. */
function headersWith(authorization: string, headers: readonly [string, string][]): string[] {
  const own = headers.flatMap(([name, value]) => [name.toLowerCase(), value]);
  return authorization === '' || headers.some(([name]) => name.toLowerCase() === 'authorization')
    ? own
    : ['authorization', authorization, ...own];
}

/** Basic authorization, or '' when there is none. Undefined: what stands in the URL cannot be decoded. */
function authorizationFor(url: URL, options: ProviderOptions): string | undefined {
  const user = options.read('customhttp.user');
  if (user !== undefined) return basic(user, options.read('customhttp.password') ?? '');
  if (url.username === '' && url.password === '') return '';
  try {
    // Credentials that stand in the URL become the header that they mean.
    return basic(decodeURIComponent(url.username), decodeURIComponent(url.password));
  } catch {
    // A stray "%" in the credentials; sending without them would only be refused with 401.
    return undefined;
  }
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** The option's check has seen them; a value that got into the bucket past it must not break every POST. */
function furtherHeaders(text: string | undefined): [string, string][] | undefined {
  if (text === undefined) return [];
  const parsed = parseJson(text);
  // Not JSON: the destination is told as not usable, for a receiver may need its headers.
  if (parsed === undefined) return undefined;
  const entries = typeof parsed === 'object' && parsed !== null ? Object.entries(parsed) : [];
  return entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}
