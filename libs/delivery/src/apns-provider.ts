import { createHash } from 'node:crypto';
import {
  apnsKeyProblem,
  listOf,
  parseJson,
  type ApnsArgument,
  type OptionValues,
  type PushJob,
} from '@flexpush/contracts';
import { ApnsToken, type ApnsCredentials } from './apns-token';
import { destinationOf, type HttpConnection } from './connection';
import type { JobResult } from './delivery-job';
import type { Channel, HttpPost, PostOutcome } from './channel';
import type { NoTarget, Provider, Target, Wanted } from './provider';
import {
  connectionOf,
  isNoTarget,
  parsedUrl,
  providerOptions,
  withoutAbsent,
  type ProviderOptions,
} from './provider-options';
import { TextBook } from './push-texts';
import { TokenBook } from './token-book';

const APNS_ENDPOINT = 'https://api.push.apple.com';

export interface ApnsTarget extends Target {
  topic: string;
  credentials: ApnsCredentials;
  texts: TextBook;
  sound?: string;
  badge?: number;
  contentAvailable: boolean;
  /** Of the alert, besides title and body. */
  alert: Record<string, string>;
  /** Shown when there is nothing else to show. */
  plainAlert?: string;
  locArguments: readonly ApnsArgument[];
}

export interface ApnsParts {
  /** Epoch ms. */
  nowMs: () => number;
  /** APNs speaks HTTP/2 only. */
  openHttp2: (connection: HttpConnection) => Channel;
}

/**
 * Notifications by Apple's push service, HTTP/2 with token authentication. As for FCM, never what was said in the chat
 * (CONTRACT 6 #25).
 */
export function createApnsProvider(parts: ApnsParts): Provider<ApnsTarget> {
  const tokens = new TokenBook<ApnsToken>();
  return {
    deviceType: 'ios',
    target: apnsTarget,
    request: (job, { target }) => apnsPost(job, target),
    open({ destination, connection, credentials }) {
      const token = tokens.of(destination, () => new ApnsToken(credentials, parts.nowMs));
      return new TokenChannel(parts.openHttp2(connection), token);
    },
    judge: judgeApns,
  };
}

function apnsTarget(values: OptionValues, wanted: Wanted): ApnsTarget | NoTarget {
  const noTarget = (reason: NoTarget['reason']): NoTarget => ({ kind: 'no-target', reason });
  const options = providerOptions(values, wanted);
  if (isNoTarget(options)) return options;
  const credentials = credentialsOf(options);
  if (credentials === undefined) return noTarget('no-credentials-configured');
  if (apnsKeyProblem(credentials.key) !== undefined) return noTarget('credentials-not-usable');
  const topic = options.read('apple.topic');
  if (topic === undefined) return noTarget('no-topic-configured');
  const url = parsedUrl(options.read('apple.endpoint') ?? APNS_ENDPOINT);
  if (url === undefined || url.protocol !== 'https:') return noTarget('url-not-usable');
  const connection = connectionOf(options, { provider: 'apple', origin: url.origin });
  if (connection === undefined) return noTarget('tls-settings-not-usable');
  const digest = createHash('sha256').update(JSON.stringify(credentials)).digest('hex');
  const badge = options.read('apple.badge');
  return {
    kind: 'target',
    // APNs refuses tokens of several teams on one connection.
    destination: destinationOf(connection, digest),
    connection,
    topic,
    credentials,
    texts: new TextBook(options, { title: 'apple.title', body: 'apple.alertMessage.body' }),
    contentAvailable: options.read('apple.content-available') === 'true',
    alert: withoutAbsent({
      'loc-key': options.read('apple.alertMessage.loc-key'),
      'action-loc-key': options.read('apple.alertMessage.action-loc-key'),
      'launch-image': options.read('apple.alertMessage.launch-image'),
    }),
    locArguments: listOf(options.read('apple.alertMessage.loc-argnames')) as ApnsArgument[],
    ...withoutAbsent({
      plainAlert: options.read('apple.alert'),
      sound: options.read('apple.sound'),
      badge: badge === undefined ? undefined : Number(badge),
    }),
  };
}

function credentialsOf(options: ProviderOptions): ApnsCredentials | undefined {
  const [key, keyId, teamId] = ['key', 'key-id', 'team-id'].map((name) => options.read(`apple.${name}`));
  return key === undefined || keyId === undefined || teamId === undefined
    ? undefined
    : { key, keyId, teamId };
}

/** CONTRACT 3.9 P7. Without anything to show it is a silent push, which APNs wants to be told. */
function apnsPost(job: PushJob, target: ApnsTarget): HttpPost {
  const { sound, badge } = target;
  const shown = withoutAbsent({ alert: alertOf(job, target), sound, badge });
  const isSilent = Object.keys(shown).length === 0;
  const aps = { ...shown, ...(isSilent || target.contentAvailable ? { 'content-available': 1 } : {}) };
  return {
    path: `/3/device/${encodeURIComponent(job.deviceId)}`,
    headers: [
      'content-type',
      'application/json',
      'apns-topic',
      target.topic,
      'apns-push-type',
      isSilent ? 'background' : 'alert',
      // Apple refuses silent pushes with the high priority.
      'apns-priority',
      isSilent ? '5' : '10',
    ],
    body: JSON.stringify({ aps, chatId: job.sessionId }),
    keepsAnswer: true,
  };
}

/** A dictionary, or the plain text where there is nothing to put into one; undefined: nothing is shown. */
function alertOf(job: PushJob, target: ApnsTarget): object | string | undefined {
  const { alert, locArguments, plainAlert } = target;
  const event = job.kind === 'plain' ? job.event : undefined;
  const values: Record<ApnsArgument, string> = {
    nickname: event?.from.nickname ?? '',
    event: event?.type ?? '',
  };
  const shown = {
    ...target.texts.textsOf(job),
    ...alert,
    ...(alert['loc-key'] === undefined || locArguments.length === 0
      ? {}
      : { 'loc-args': locArguments.map((name) => values[name]) }),
  };
  return Object.keys(shown).length === 0 ? plainAlert : shown;
}

const GONE = 410;
/** The words of APNs that are shown as they are; others show as their status. */
const apnsWords = new Set([
  ...[
    'BadDeviceToken',
    'DeviceTokenNotForTopic',
    'TopicDisallowed',
    'BadTopic',
    'MissingTopic',
    'PayloadTooLarge',
  ],
  ...['PayloadEmpty', 'ExpiredProviderToken', 'InvalidProviderToken', 'MissingProviderToken', 'Forbidden'],
  ...[
    'TooManyProviderTokenUpdates',
    'TooManyRequests',
    'InternalServerError',
    'ServiceUnavailable',
    'Shutdown',
  ],
  ...['Unregistered', 'ExpiredToken', 'BadEnvironmentKeyInToken', 'BadEnvironmentKeyIdInToken'],
]);

/**
 * Only 410 speaks of the device alone. BadDeviceToken is also what every device gets while `apple.endpoint` is the wrong
 * one of the two, and must not end all subscriptions.
 */
function judgeApns(outcome: PostOutcome): JobResult | undefined {
  if (outcome.kind !== 'answered' || outcome.status < 300) return undefined;
  const word = apnsReason(outcome.answer);
  const reason = word !== undefined && apnsWords.has(word) ? `apns-${word}` : `http-${outcome.status}`;
  return { outcome: outcome.status === GONE ? 'gone' : 'failed', reason };
}

function apnsReason(answer: string | undefined): string | undefined {
  // No JSON, or cut: the status has to do.
  const { reason } = (parseJson(answer ?? '') ?? {}) as { reason?: unknown };
  return typeof reason === 'string' ? reason : undefined;
}

/** Puts the provider token on each post. */
class TokenChannel implements Channel {
  constructor(
    private readonly inner: Channel,
    private readonly tokens: ApnsToken,
  ) {}

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    const token = this.tokens.read();
    const headers = [...post.headers, 'authorization', `bearer ${token}`];
    this.inner.post({ ...post, headers }, (outcome) => {
      if (outcome.kind === 'answered' && apnsReason(outcome.answer) === 'ExpiredProviderToken')
        this.tokens.refuse(token);
      done(outcome);
    });
  }

  sweep(nowMs: number): void {
    this.inner.sweep(nowMs);
  }

  async close(): Promise<void> {
    await this.inner.close();
  }
}
