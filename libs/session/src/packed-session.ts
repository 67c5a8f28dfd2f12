import { deviceTypes, participantTypes } from '@flexpush/contracts';
import {
  SESSION_VERSION,
  type Idle,
  type Inactivity,
  type Participant,
  type Schedule,
  type Session,
  type StoredFile,
  type Subscription,
} from './session';

/**
 * A session as it is stored: values by their place instead of by name, times as distances from its creation, flags as bits
 * of one number. Half the size of the JSON of the object, and quicker to write and to read, because every commit writes it.
 *
 * What is absent is 0, and is left out at the end of a list; numbers that may be absent are one more than they are. New
 * values go to the end of their list; anything else is a new SESSION_VERSION, which stands first.
 */
export type PackedSession = unknown[];

const inactivitySteps: Inactivity['step'][] = ['quiet', 'pinged', 'leaving'];
const idleSteps: Idle['step'][] = ['quiet', 'alerted', 'alerted-twice'];

/** Bits of a participant, and of a subscription. */
const OUT = 1;
const TYPING = 2;
const BOT = 4;
const SILENT = 8;
const NOTIFY_REQUESTOR = 1;
const RESEND = 2;
const DEBUG = 4;
const PAYLOAD_SAID = 8;
const PAYLOAD = 16;
const REMOVED = 32;

export function packSession(session: Session): PackedSession {
  const { createdAtMs, recent, userData, idle, files } = session;
  return trimmed([
    SESSION_VERSION,
    session.service,
    createdAtMs,
    session.nextPosition,
    session.nextParticipantId,
    session.participants.map((one) => packParticipant(one, createdAtMs)),
    [recent.sinceMs - createdAtMs, recent.now, recent.before],
    session.status === 'ended' ? [session.endedAtMs - createdAtMs, session.purgeAtMs - createdAtMs] : 0,
    Object.keys(userData).length === 0 ? 0 : userData,
    idle
      ? [idle.lastActivityAtMs - createdAtMs, idleSteps.indexOf(idle.step), idle.dueAtMs - createdAtMs]
      : 0,
    files
      ? files.map(({ fileId, name, sizeBytes, userId, downloads }) => [
          fileId,
          name,
          sizeBytes,
          userId,
          downloads,
        ])
      : 0,
  ]);
}

/** undefined when it is no session as this release stores them. */
export function unpackSession(packed: unknown, sessionId: string): Session | undefined {
  try {
    return readSession(new Places(packed), sessionId);
  } catch (error) {
    if (error instanceof NotPackedError) return undefined;
    throw error;
  }
}

/** The version of something packed, whatever the rest is. */
export function packedVersion(packed: unknown): unknown {
  return Array.isArray(packed) ? packed[0] : undefined;
}

function packParticipant(participant: Participant, sinceMs: number): unknown[] {
  const { inactivity, uploaded, subscription } = participant;
  const flags =
    (participant.status === 'out' ? OUT : 0) |
    (participant.typing ? TYPING : 0) |
    (participant.style ? BOT : 0) |
    (participant.silent ? SILENT : 0);
  return trimmed([
    participant.userId,
    participant.participantId,
    participant.nickname,
    participantTypes.indexOf(participant.type),
    flags,
    participant.secureKey ?? 0,
    participant.keyHash ?? 0,
    participant.obfuscatedKey ?? 0,
    inactivity
      ? [
          inactivity.lastRequestAtMs - sinceMs,
          inactivitySteps.indexOf(inactivity.step),
          inactivity.dueAtMs - sinceMs,
        ]
      : 0,
    subscription ? packSubscription(subscription, sinceMs) : 0,
    participant.readPosition === undefined ? 0 : participant.readPosition + 1,
    participant.lastPosition === undefined ? 0 : participant.lastPosition + 1,
    uploaded ? [uploaded.files, uploaded.bytes] : 0,
  ]);
}

function packSubscription(subscription: Subscription, sinceMs: number): unknown[] {
  const { includePayload } = subscription;
  const flags =
    (subscription.notifyRequestor ? NOTIFY_REQUESTOR : 0) |
    (subscription.resend ? RESEND : 0) |
    (subscription.debug ? DEBUG : 0) |
    (includePayload === undefined ? 0 : PAYLOAD_SAID) |
    (includePayload === true ? PAYLOAD : 0) |
    (subscription.status === 'removed' ? REMOVED : 0);
  return trimmed([
    subscription.deviceId,
    deviceTypes.indexOf(subscription.deviceType),
    flags,
    subscription.lastN,
    subscription.unread,
    subscription.schedule ? packSchedule(subscription.schedule, sinceMs) : 0,
    subscription.nodeGroup ?? 0,
    subscription.provider ?? 0,
    subscription.language ?? 0,
    subscription.address ?? 0,
  ]);
}

function packSchedule(schedule: Schedule, sinceMs: number): unknown[] {
  const { n, attempt } = schedule;
  return schedule.status === 'armed' ? [n, attempt, schedule.dueAtMs - sinceMs] : [n, attempt];
}

/** Without what is absent at the end. */
function trimmed(values: unknown[]): unknown[] {
  while (values.at(-1) === 0) values.pop();
  return values;
}

function readSession(places: Places, sessionId: string): Session {
  if (places.number() !== SESSION_VERSION) throw new NotPackedError();
  const service = places.text();
  const createdAtMs = places.number();
  const nextPosition = places.count(1);
  const nextParticipantId = places.count(1);
  const participants = places.list().map((one) => readParticipant(new Places(one), createdAtMs));
  const recent = places.places();
  const session: Session = {
    v: SESSION_VERSION,
    status: 'open',
    sessionId,
    service,
    createdAtMs,
    nextPosition,
    nextParticipantId,
    participants,
    userData: {},
    recent: { sinceMs: createdAtMs + recent.number(), now: recent.text(), before: recent.text() },
  };
  const end = places.maybePlaces();
  if (end)
    Object.assign(session, {
      status: 'ended',
      endedAtMs: createdAtMs + end.number(),
      purgeAtMs: createdAtMs + end.number(),
    });
  session.userData = places.maybeTexts() ?? {};
  const idle = places.maybePlaces();
  if (idle)
    session.idle = {
      lastActivityAtMs: createdAtMs + idle.number(),
      step: idle.oneOf(idleSteps),
      dueAtMs: createdAtMs + idle.number(),
    };
  const files = places.maybeList();
  if (files) session.files = files.map((one) => readFile(new Places(one)));
  return session;
}

function readFile(places: Places): StoredFile {
  const [fileId, name, sizeBytes] = [places.text(), places.text(), places.number()];
  return { fileId, name, sizeBytes, userId: places.text(), downloads: places.number() };
}

function readParticipant(places: Places, sinceMs: number): Participant {
  const userId = places.text();
  const participantId = places.count(1);
  const nickname = places.text();
  const type = places.oneOf(participantTypes);
  const flags = places.count(0);
  const participant: Participant = {
    userId,
    participantId,
    nickname,
    type,
    status: flags & OUT ? 'out' : 'in',
    typing: (flags & TYPING) > 0,
  };
  if (flags & BOT) participant.style = 'BOT';
  if (flags & SILENT) participant.silent = true;
  setWhereThere(participant, 'secureKey', places.maybeText());
  setWhereThere(participant, 'keyHash', places.maybeText());
  setWhereThere(participant, 'obfuscatedKey', places.maybeText());
  const inactivity = places.maybePlaces();
  if (inactivity)
    participant.inactivity = {
      lastRequestAtMs: sinceMs + inactivity.number(),
      step: inactivity.oneOf(inactivitySteps),
      dueAtMs: sinceMs + inactivity.number(),
    };
  const subscription = places.maybePlaces();
  if (subscription) participant.subscription = readSubscription(subscription, sinceMs);
  setWhereThere(participant, 'readPosition', places.maybeNumber());
  setWhereThere(participant, 'lastPosition', places.maybeNumber());
  const uploaded = places.maybePlaces();
  if (uploaded) participant.uploaded = { files: uploaded.number(), bytes: uploaded.number() };
  return participant;
}

function readSubscription(places: Places, sinceMs: number): Subscription {
  const deviceId = places.text();
  const deviceType = places.oneOf(deviceTypes);
  const flags = places.count(0);
  const subscription: Subscription = {
    deviceId,
    deviceType,
    notifyRequestor: (flags & NOTIFY_REQUESTOR) > 0,
    resend: (flags & RESEND) > 0,
    debug: (flags & DEBUG) > 0,
    lastN: places.count(0),
    unread: places.count(0),
    status: flags & REMOVED ? 'removed' : 'open',
  };
  if (flags & PAYLOAD_SAID) subscription.includePayload = (flags & PAYLOAD) > 0;
  const schedule = places.maybePlaces();
  if (schedule) subscription.schedule = readSchedule(schedule, sinceMs);
  setWhereThere(subscription, 'nodeGroup', places.maybeText());
  setWhereThere(subscription, 'provider', places.maybeText());
  setWhereThere(subscription, 'language', places.maybeText());
  setWhereThere(subscription, 'address', places.maybeText());
  return subscription;
}

function readSchedule(places: Places, sinceMs: number): Schedule {
  const n = places.count(0);
  const attempt = places.count(0);
  return places.isAtEnd()
    ? { n, attempt, status: 'exhausted' }
    : { n, attempt, status: 'armed', dueAtMs: sinceMs + places.number() };
}

function setWhereThere<T, K extends keyof T>(to: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) to[key] = value;
}

/** Never seen outside this file. */
class NotPackedError extends Error {
  readonly code = 'NOT_PACKED';
  readonly retryable = false;
}

/** Reads a list place by place; whatever is not what it should be is a `NotPackedError`. */
class Places {
  private readonly values: readonly unknown[];
  private at = 0;

  constructor(values: unknown) {
    if (!Array.isArray(values)) throw new NotPackedError();
    this.values = values;
  }

  isAtEnd(): boolean {
    return this.at >= this.values.length;
  }

  text(): string {
    const value = this.values[this.at++];
    if (typeof value !== 'string') throw new NotPackedError();
    return value;
  }

  number(): number {
    const value = this.values[this.at++];
    if (typeof value !== 'number') throw new NotPackedError();
    return value;
  }

  /** A whole number from `min` on; 0 at the end of a list is not written. */
  count(min: number): number {
    const value = this.values[this.at++] ?? 0;
    if (!Number.isSafeInteger(value) || (value as number) < min) throw new NotPackedError();
    return value as number;
  }

  oneOf<T>(all: readonly T[]): T {
    const found = all[this.count(0)];
    if (found === undefined) throw new NotPackedError();
    return found;
  }

  list(): readonly unknown[] {
    const value = this.values[this.at++];
    if (!Array.isArray(value)) throw new NotPackedError();
    return value as unknown[];
  }

  places(): Places {
    return new Places(this.values[this.at++]);
  }

  private isAbsent(): boolean {
    const value = this.values[this.at];
    const isAbsent = value === undefined || value === 0;
    if (isAbsent) this.at++;
    return isAbsent;
  }

  maybeText(): string | undefined {
    return this.isAbsent() ? undefined : this.text();
  }

  maybeNumber(): number | undefined {
    return this.isAbsent() ? undefined : this.number() - 1;
  }

  maybeList(): readonly unknown[] | undefined {
    return this.isAbsent() ? undefined : this.list();
  }

  maybePlaces(): Places | undefined {
    return this.isAbsent() ? undefined : this.places();
  }

  maybeTexts(): Record<string, string> | undefined {
    if (this.isAbsent()) return undefined;
    const value = this.values[this.at++];
    const isTexts =
      typeof value === 'object' &&
      !Array.isArray(value) &&
      Object.values(value as object).every((text) => typeof text === 'string');
    if (!isTexts) throw new NotPackedError();
    return value as Record<string, string>;
  }
}
