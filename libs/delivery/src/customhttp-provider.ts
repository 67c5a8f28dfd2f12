import { optionKey, readOption, type OptionValues } from '@flexpush/contracts';
import { plainBody, triggerBody } from './customhttp-body';
import type { NoTarget, Provider, Target } from './provider';

const CONTENT_TYPE = 'application/json;charset=UTF-8';

/** Notifications as POSTs to the customer's own web server. */
export const customhttpProvider: Provider = {
  deviceType: 'customhttp',
  target: customhttpTarget,
  body(job, { alias, target }) {
    if (job.kind === 'trigger' && !job.bare) return triggerBody(job, alias);
    const event = job.kind === 'plain' ? job.event : undefined;
    return plainBody({ ...job, event }, { alias, message: target.message });
  },
};

/**
 * A named provider's section wins over `push`. A provider that nobody configured is an error of the subscription and
 * must not reach the default receiver; `debug` never falls back to the production values (CONTRACT 6 #23, #24).
 */
function customhttpTarget(
  options: OptionValues,
  wanted: { provider: string | undefined; debug: boolean },
): Target | NoTarget {
  if (wanted.provider !== undefined && !isConfigured(options, wanted.provider))
    return { kind: 'no-target', reason: 'unknown-provider' };
  const sections = wanted.provider === undefined ? ['push'] : [`push.provider.${wanted.provider}`, 'push'];
  const prefix = wanted.debug ? 'debug.' : '';
  const urlText = readOption(options, sections, `${prefix}customhttp.url`);
  if (urlText === undefined) return { kind: 'no-target', reason: 'no-url-configured' };
  const url = URL.canParse(urlText) ? new URL(urlText) : undefined;
  const headers = url === undefined || url.origin === 'null' ? undefined : headersFor(url);
  if (url === undefined || headers === undefined) return { kind: 'no-target', reason: 'url-not-usable' };
  const message = readOption(options, sections, `${prefix}customhttp.message`);
  return {
    kind: 'target',
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    headers,
    ...(message === undefined ? {} : { message }),
  };
}

function isConfigured(options: OptionValues, provider: string): boolean {
  const prefix = optionKey(`push.provider.${provider}`, '');
  return Object.keys(options).some((key) => key.startsWith(prefix));
}

/** undici drops credentials that stand in the URL, so they become the header that they mean. Undefined: not decodable. */
function headersFor(url: URL): string[] | undefined {
  const headers = ['content-type', CONTENT_TYPE];
  if (url.username === '' && url.password === '') return headers;
  try {
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return [...headers, 'authorization', `Basic ${Buffer.from(credentials).toString('base64')}`];
  } catch {
    // A stray "%" in the credentials; sending without them would only be refused with 401.
    return undefined;
  }
}
