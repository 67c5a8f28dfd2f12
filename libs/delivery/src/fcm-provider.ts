import { createHash } from 'node:crypto';
import { parseJson, type OptionValues, type PushJob } from '@flexpush/contracts';
import { AuthorizedChannel } from './authorized-channel';
import { destinationOf } from './connection';
import type { JobResult } from './delivery-job';
import { fetchGoogleToken, type ServiceAccount } from './google-token';
import type { PostOutcome } from './channel';
import type { NoTarget, Provider, Target, Wanted } from './provider';
import { connectionOf, isNoTarget, parsedUrl, providerOptions } from './provider-options';
import { TextBook } from './push-texts';
import { TokenBook } from './token-book';
import { TokenSource } from './token-source';

const FCM_ENDPOINT = 'https://fcm.googleapis.com';
const GOOGLE_TOKEN_URL = 'https://oauth2.googleapis.com/token';
const HEADERS = ['content-type', 'application/json;charset=UTF-8'];

export interface FcmTarget extends Target {
  path: string;
  account: ServiceAccount;
  texts: TextBook;
}

export interface FcmParts {
  /** Epoch ms. */
  nowMs: () => number;
  log: { warn(fields: object, fact: string): void };
}

/**
 * Notifications by Firebase Cloud Messaging, HTTP v1. Jobs for it hold no content, and what it sends is who did what of
 * which chat, never what was said (CONTRACT 6 #25).
 */
export function createFcmProvider(parts: FcmParts): Provider<FcmTarget> {
  const sources = new TokenBook<TokenSource>();
  return {
    deviceType: 'fcm',
    target: fcmTarget,
    request: (job, { target }) => ({
      path: target.path,
      headers: HEADERS,
      body: fcmBody(job, target.texts),
      keepsAnswer: true,
    }),
    open(target, openHttp) {
      const source = sources.of(target.destination, () => tokenSource(target, parts));
      return new AuthorizedChannel(openHttp(), source);
    },
    judge: judgeFcm,
  };
}

function tokenSource({ account, connection, destination }: FcmTarget, parts: FcmParts): TokenSource {
  return new TokenSource({
    fetch: () => fetchGoogleToken(account, connection),
    nowMs: parts.nowMs,
    onFailure: (failure) => parts.log.warn({ destination, ...failure }, 'fcm.token-not-fetched'),
  });
}

function fcmTarget(values: OptionValues, wanted: Wanted): FcmTarget | NoTarget {
  const noTarget = (reason: NoTarget['reason']): NoTarget => ({ kind: 'no-target', reason });
  const options = providerOptions(values, wanted);
  if (isNoTarget(options)) return options;
  const accountText = options.read('fcm.service-account');
  if (accountText === undefined) return noTarget('no-credentials-configured');
  const file = accountOf(accountText);
  const projectId = options.read('fcm.project-id') ?? file?.projectId;
  if (file === undefined || projectId === undefined) return noTarget('credentials-not-usable');
  const tokenUrl = options.read('fcm.token-url') ?? GOOGLE_TOKEN_URL;
  const url = parsedUrl(options.read('fcm.endpoint') ?? FCM_ENDPOINT);
  if (url === undefined || parsedUrl(tokenUrl) === undefined) return noTarget('url-not-usable');
  const connection = connectionOf(options, { provider: 'fcm', origin: url.origin });
  if (connection === undefined) return noTarget('tls-settings-not-usable');
  const account = { email: file.email, privateKey: file.privateKey, tokenUrl };
  const digest = createHash('sha256').update(JSON.stringify(account)).digest('hex');
  return {
    kind: 'target',
    // Another account is another destination: its channel carries its token.
    destination: destinationOf(connection, digest),
    connection,
    path: `${url.pathname.replace(/\/$/, '')}/v1/projects/${encodeURIComponent(projectId)}/messages:send`,
    account,
    texts: new TextBook(options, { title: 'fcm.title', body: 'fcm.body' }),
  };
}

/** `token_uri` of the file is not obeyed: a file from elsewhere must not choose where signed assertions go. */
function accountOf(text: string): { email: string; privateKey: string; projectId?: string } | undefined {
  // Not by its own parse, whose words would show parts of the key.
  const file = parseJson(text);
  const [email, privateKey, projectId] = ['client_email', 'private_key', 'project_id'].map((name) =>
    fieldOf(file, name),
  );
  if (typeof email !== 'string' || typeof privateKey !== 'string') return undefined;
  return { email, privateKey, ...(typeof projectId === 'string' ? { projectId } : {}) };
}

/** CONTRACT 3.9 P6. Without any text it is a message for the app alone. */
function fcmBody(job: PushJob, texts: TextBook): string {
  const notification = texts.textsOf(job);
  const event = job.kind === 'plain' ? job.event : undefined;
  const data = {
    chatId: job.sessionId,
    ...(event === undefined ? {} : { type: event.type }),
    ...(event?.index === undefined ? {} : { index: String(event.index) }),
  };
  const message = {
    token: job.deviceId,
    ...(Object.keys(notification).length === 0 ? {} : { notification }),
    data,
    android: { priority: 'HIGH' },
  };
  return JSON.stringify({ message });
}

/** The words of FCM that are shown as they are; others show as their status. */
const fcmWords = new Set([
  ...['UNREGISTERED', 'INVALID_ARGUMENT', 'SENDER_ID_MISMATCH', 'QUOTA_EXCEEDED', 'UNAVAILABLE', 'INTERNAL'],
  ...['THIRD_PARTY_AUTH_ERROR', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'NOT_FOUND'],
]);

function judgeFcm(outcome: PostOutcome): JobResult | undefined {
  if (outcome.kind !== 'answered' || outcome.status < 300) return undefined;
  const { word, fields } = refusalOf(outcome.answer);
  // Of an invalid argument only the one that names the token speaks of the device.
  const isGone = word === 'UNREGISTERED' || (word === 'INVALID_ARGUMENT' && fields.includes('message.token'));
  if (isGone) return { outcome: 'gone', reason: `fcm-${word}` };
  return word !== undefined && fcmWords.has(word) ? { outcome: 'failed', reason: `fcm-${word}` } : undefined;
}

/** `error.details[].errorCode`, else `error.status`; and the fields that a violation names. */
function refusalOf(answer: string | undefined): { word: string | undefined; fields: string[] } {
  const error = fieldOf(parseJson(answer ?? ''), 'error');
  const details = listAt(error, 'details');
  const code = details.map((detail) => fieldOf(detail, 'errorCode')).find((word) => typeof word === 'string');
  const status = fieldOf(error, 'status');
  const word = code ?? (typeof status === 'string' ? status : undefined);
  const fields = details
    .flatMap((detail) => listAt(detail, 'fieldViolations'))
    .map((violation) => fieldOf(violation, 'field'))
    .filter((field): field is string => typeof field === 'string');
  return { word: typeof word === 'string' ? word : undefined, fields };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function listAt(value: unknown, name: string): unknown[] {
  const list = fieldOf(value, name);
  return Array.isArray(list) ? list : [];
}
