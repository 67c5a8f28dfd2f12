import {
  apnsKeyProblem,
  jsonObjectProblem,
  localizationProblem,
  pemProblem,
  webhookSecretProblem,
} from './option-problems';
import type { OptionSpec, OptionType } from './option-spec';
import { deviceTypes } from './records';

const PEM_CHARS = 65_536;
/** FCM and APNs take 4 KiB; even in three-byte characters these fit with the rest. */
export const PUSH_TITLE_CHARS = 200;
export const PUSH_BODY_CHARS = 800;
const TEXT_CHARS = 4_096;
/** What of an event may go into a localized text: never what was said. */
export const apnsArguments = ['nickname', 'event'] as const;
export type ApnsArgument = (typeof apnsArguments)[number];
const SHUT_DOWN = 'Accepted without effect:';

interface ProviderOption {
  name: string;
  type: OptionType;
  meaning: string;
  since?: string;
  /** Absent: read by delivery. */
  readBy?: OptionSpec['readBy'];
  problem?: OptionSpec['problem'];
}

const secret = (maxChars: number): OptionType => ({ kind: 'secret', maxChars });
const text = (maxChars: number): OptionType => ({ kind: 'text', maxChars });
const seconds = (max: number): OptionType => ({ kind: 'integer', min: 1, max, unit: 's' });

const customhttp: readonly ProviderOption[] = [
  {
    name: 'url',
    type: { kind: 'url' },
    since: '8.5.1',
    meaning: 'Where customhttp notifications are POSTed.',
  },
  {
    name: 'message',
    type: text(TEXT_CHARS),
    since: '8.5.1',
    meaning: 'The fixed text sent as message when no payload is included.',
  },
  {
    name: 'ca',
    type: text(PEM_CHARS),
    problem: pemProblem('CERTIFICATE'),
    meaning:
      'Certificates (PEM) of the authorities that may sign the certificate of the receiver, in place of the public ones. Certificates are always verified.',
  },
  {
    name: 'client-cert',
    type: text(PEM_CHARS),
    problem: pemProblem('CERTIFICATE'),
    meaning: 'Client certificate (PEM, with its chain) shown to the receiver; needs customhttp.client-key.',
  },
  {
    name: 'client-key',
    type: secret(PEM_CHARS),
    problem: pemProblem('PRIVATE KEY'),
    meaning: 'Private key (PEM, not encrypted) of customhttp.client-cert.',
  },
  {
    name: 'headers',
    type: secret(TEXT_CHARS),
    problem: headersProblem,
    meaning:
      'Further headers, a JSON object of strings, at most 32. content-type, content-length, host, connection headers and webhook-* are not taken.',
  },
  {
    name: 'user',
    type: text(256),
    meaning: 'User of basic authorization; goes before credentials in customhttp.url.',
  },
  { name: 'password', type: secret(256), meaning: 'Password of basic authorization, with customhttp.user.' },
  {
    name: 'connection-timeout',
    type: seconds(60),
    meaning: 'For connecting. Not set: http.connection_timeout of section gms, else the setting of the node.',
  },
  {
    name: 'socket-timeout',
    type: seconds(120),
    meaning:
      'For the head of the answer, and between two parts of it. Not set: http.socket_timeout of section gms, else the setting of the node.',
  },
  {
    name: 'proxy',
    type: { kind: 'url' },
    problem: (value) =>
      /\/\/[^/]*@/.test(value) ? 'a URL without credentials; see proxy-authorization' : undefined,
    meaning: 'HTTP proxy that is asked (CONNECT) for every connection to the receiver.',
  },
  {
    name: 'proxy-authorization',
    type: secret(TEXT_CHARS),
    problem: lineProblem,
    meaning: 'Header Proxy-Authorization for customhttp.proxy, such as "Basic ...".',
  },
  {
    name: 'signing-key',
    type: secret(256),
    problem: webhookSecretProblem,
    meaning:
      'Signs each POST by Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature); whsec_ and 24 to 64 bytes in base64.',
  },
  {
    name: 'signing-key-previous',
    type: secret(256),
    problem: webhookSecretProblem,
    meaning: 'The key before, while receivers change: POSTs then carry both signatures.',
  },
];

const fcm: readonly ProviderOption[] = [
  {
    name: 'service-account',
    type: secret(16_384),
    problem: serviceAccountProblem,
    meaning:
      'The JSON key file of a Google service account that may send (FCM HTTP v1): client_email, private_key and project_id are used.',
  },
  {
    name: 'project-id',
    type: text(128),
    meaning: 'The Firebase project, if it is not the one of the service account.',
  },
  {
    name: 'title',
    type: text(PUSH_TITLE_CHARS),
    since: '8.5.114.09',
    meaning: 'Title of notifications; {nickname} stands for who acted. Texts of events go before it.',
  },
  {
    name: 'body',
    type: text(PUSH_BODY_CHARS),
    since: '8.5.114.09',
    meaning: 'Text of notifications, as fcm.title. Without title and body a push shows nothing.',
  },
  {
    name: 'endpoint',
    type: { kind: 'url' },
    meaning: 'Where FCM is, for private gateways; https://fcm.googleapis.com when not set.',
  },
  {
    name: 'token-url',
    type: { kind: 'url' },
    meaning: 'Where access tokens are fetched; https://oauth2.googleapis.com/token when not set.',
  },
  {
    name: 'ca',
    type: text(PEM_CHARS),
    problem: pemProblem('CERTIFICATE'),
    meaning: 'Certificates (PEM) of the authorities of fcm.endpoint and fcm.token-url, if not public ones.',
  },
  {
    name: 'proxy',
    type: { kind: 'url' },
    problem: (value) => (/\/\/[^/]*@/.test(value) ? 'a URL without credentials' : undefined),
    meaning: 'HTTP proxy for fcm.endpoint and fcm.token-url.',
  },
  {
    name: 'apiKey',
    type: secret(TEXT_CHARS),
    since: '8.5.112.05',
    readBy: [],
    meaning: `${SHUT_DOWN} the FCM API that took server keys was shut down in 2024; set fcm.service-account.`,
  },
];

const apple: readonly ProviderOption[] = [
  {
    name: 'key',
    type: secret(TEXT_CHARS),
    problem: apnsKeyProblem,
    meaning: 'The signing key of APNs, the content of the .p8 file (a PEM key of the curve P-256).',
  },
  { name: 'key-id', type: text(32), problem: tokenProblem, meaning: 'The id of apple.key.' },
  { name: 'team-id', type: text(32), problem: tokenProblem, meaning: 'The id of the Apple developer team.' },
  { name: 'topic', type: text(256), problem: tokenProblem, meaning: 'The bundle id of the app.' },
  {
    name: 'endpoint',
    type: { kind: 'url' },
    meaning:
      'https://api.push.apple.com when not set; https://api.sandbox.push.apple.com for development builds.',
  },
  {
    name: 'ca',
    type: text(PEM_CHARS),
    problem: pemProblem('CERTIFICATE'),
    meaning: 'Certificates (PEM) of the authorities of apple.endpoint, if not public ones.',
  },
  {
    name: 'title',
    type: text(PUSH_TITLE_CHARS),
    since: '8.5.1',
    meaning: 'Title of notifications; {nickname} stands for who acted. Texts of events go before it.',
  },
  {
    name: 'alertMessage.body',
    type: text(PUSH_BODY_CHARS),
    since: '8.5.1',
    meaning: 'Text of notifications, as apple.title. Without title and text a push is silent.',
  },
  {
    name: 'alert',
    type: text(PUSH_BODY_CHARS),
    since: '8.5.1',
    meaning: 'Text of notifications for which there is neither a title nor a text nor a loc-key.',
  },
  {
    name: 'alertMessage.loc-key',
    type: text(128),
    since: '8.5.1',
    meaning: 'Key of a text in the app’s own localization, which then shows in place of the text.',
  },
  {
    name: 'alertMessage.loc-argnames',
    type: { kind: 'subset', of: apnsArguments },
    since: '8.5.1',
    meaning: 'What is put into the text of apple.alertMessage.loc-key, in this order.',
  },
  {
    name: 'alertMessage.action-loc-key',
    type: text(128),
    since: '8.5.1',
    meaning: 'Key of the title of the button in the app’s own localization.',
  },
  {
    name: 'alertMessage.launch-image',
    type: text(128),
    since: '8.5.1',
    meaning: 'Image in the bundle of the app that shows when it is launched by the notification.',
  },
  {
    name: 'sound',
    type: text(128),
    since: '8.5.1',
    meaning: 'Sound of notifications, such as default; none when not set.',
  },
  {
    name: 'badge',
    type: { kind: 'integer', min: 0, max: 99_999 },
    since: '8.5.1',
    meaning: 'Number on the icon of the app; unchanged when not set.',
  },
  {
    name: 'content-available',
    type: { kind: 'boolean' },
    since: '8.5.1',
    meaning: 'Also wakes the app in the background.',
  },
  {
    name: 'keystore',
    type: secret(PEM_CHARS),
    since: '8.5.1',
    readBy: [],
    meaning: `${SHUT_DOWN} APNs by certificate and the binary protocol ended in 2021; set apple.key.`,
  },
  {
    name: 'keystorePassword',
    type: secret(256),
    since: '8.5.1',
    readBy: [],
    meaning: `${SHUT_DOWN} see apple.keystore.`,
  },
];

/** Every option of a provider stands in `push` and in sections of named providers, plain and for debug (CONTRACT 6 #23, #24). */
function optionsOf(provider: string, options: readonly ProviderOption[]): OptionSpec[] {
  return options.flatMap(({ name, meaning, since = 'flexpush 0.2', readBy = ['delivery'], ...rest }) => {
    const spec = { ...rest, sections: ['push', 'push.provider.*'], since, readBy };
    const plainName = `${provider}.${name}`;
    return [
      { ...spec, name: plainName, meaning },
      {
        ...spec,
        name: `debug.${plainName}`,
        // What nobody reads is not used instead of anything.
        meaning: readBy.length === 0 ? meaning : `Used instead of ${plainName} for subscriptions with debug.`,
      },
    ];
  });
}

/** Options of delivery: `push`, and `push.provider.<name>` for one provider (CONTRACT 3.1, 3.2). */
export const pushOptions: readonly OptionSpec[] = [
  {
    sections: ['push'],
    name: 'pushEnabled',
    type: { kind: 'subset', of: [...deviceTypes, 'android', 'gcm', 'httpcb', 'orscb'] },
    default: 'comet',
    since: '8.5.103.10',
    readBy: ['fold', 'delivery', 'chat-api'],
    meaning:
      'Device types that are pushed to; of the rest neither registrations nor pushes are accepted. Empty: push is off. comet is needed for CometD. Older types are known and not served.',
  },
  {
    sections: ['push'],
    name: 'delivery-mode',
    type: { kind: 'choice', of: ['parallel', 'sequential'] },
    default: 'parallel',
    since: 'flexpush 0.1',
    readBy: ['delivery'],
    meaning:
      'sequential sends one notification at a time per GMS node, as the original does; for comparison.',
  },
  {
    sections: ['push', 'push.provider.*'],
    name: 'localization',
    type: { kind: 'text', maxChars: 65_536 },
    since: 'flexpush 0.2',
    readBy: ['delivery'],
    problem: localizationProblem,
    meaning:
      'Texts of fcm and ios by language: JSON, language, then event or default, then title and body. Looked up as de-DE, then de, then the options.',
  },
  {
    sections: ['push'],
    name: 'localizationFileLocation',
    type: { kind: 'text', maxChars: 1_024 },
    since: '8.5.1',
    readBy: ['delivery'],
    meaning:
      'A file on every GMS node with what option localization takes; read at the start and when an option changes. localization goes before it.',
  },
  ...optionsOf('customhttp', customhttp),
  ...optionsOf('fcm', fcm),
  ...optionsOf('apple', apple),
  {
    sections: ['gms'],
    name: 'http.connection_timeout',
    type: seconds(60),
    since: '8.1.1',
    readBy: ['delivery'],
    meaning: 'For connecting to customhttp receivers, where customhttp.connection-timeout is not set.',
  },
  {
    sections: ['gms'],
    name: 'http.socket_timeout',
    type: seconds(120),
    since: '8.1.1',
    readBy: ['delivery'],
    meaning: 'For answers of customhttp receivers, where customhttp.socket-timeout is not set.',
  },
  {
    sections: ['gms'],
    name: 'http.ssl_trust_all',
    type: { kind: 'boolean' },
    since: '8.1.1',
    readBy: [],
    meaning:
      'Accepted without effect: certificates are always verified. Set customhttp.ca for receivers with certificates of your own authority.',
  },
];

/** Names that would change what is sent, or how. */
const RESERVED_HEADERS = new Set([
  ...['content-type', 'content-length', 'transfer-encoding', 'host', 'connection', 'keep-alive'],
  ...['upgrade', 'expect', 'te', 'trailer', 'proxy-authorization', 'proxy-connection'],
]);
const HEADERS_MAX = 32;

function headersProblem(value: string): string | undefined {
  const problem = jsonObjectProblem(value);
  if (problem !== undefined) return problem;
  const entries = Object.entries(JSON.parse(value) as Record<string, unknown>);
  if (entries.length > HEADERS_MAX) return `a JSON object of at most ${HEADERS_MAX} headers`;
  for (const [name, content] of entries) {
    const lower = name.toLowerCase();
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/.test(name)) return 'a JSON object whose keys are header names';
    if (RESERVED_HEADERS.has(lower) || lower.startsWith('webhook-')) return `headers other than ${lower}`;
    if (typeof content !== 'string' || lineProblem(content) !== undefined)
      return 'a JSON object whose values are texts of one line in Latin-1';
  }
  return undefined;
}

function lineProblem(value: string): string | undefined {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value) ? undefined : 'one line in Latin-1';
}

/** Such values become parts of headers and paths. */
function tokenProblem(value: string): string | undefined {
  return /^[A-Za-z0-9._-]+$/.test(value) ? undefined : 'letters, digits, ".", "_" and "-"';
}

function serviceAccountProblem(value: string): string | undefined {
  const problem = jsonObjectProblem(value);
  if (problem !== undefined) return problem;
  const account = JSON.parse(value) as Record<string, unknown>;
  const isText = (name: string) => typeof account[name] === 'string' && account[name] !== '';
  if (!isText('client_email') || !isText('private_key'))
    return 'a JSON object with client_email and private_key';
  return pemProblem('PRIVATE KEY')(account['private_key'] as string) === undefined
    ? undefined
    : 'a JSON object whose private_key is PEM';
}
