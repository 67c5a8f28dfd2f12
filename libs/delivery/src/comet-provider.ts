import {
  cometAddressSchema,
  cometPushAnswerSchema,
  parseJson,
  subjects,
  type CometPush,
  type PushJob,
} from '@flexpush/contracts';
import { COMET_TIMEOUT_MS } from './bounds';
import type { JobResult } from './delivery-job';
import type { Channel, HttpPost, PostOutcome } from './channel';
import type { NoTarget, Provider, Target } from './provider';

/** What the channel to a chat-api needs of the bus. */
export interface RequestBus {
  request(
    subject: string,
    payload: string,
    options: { timeoutMs: number },
  ): Promise<{ kind: 'answer'; text: string } | { kind: 'no-responders' } | { kind: 'timeout' }>;
}

interface CometTarget extends Target {
  callerId: string;
}

/** The outcomes of a NATS request, told in HTTP's words so that they pass through delivery like any other. */
const TAKEN = 200;
const GONE = 410;
const NO_ANSWER = 504;
const NOT_UNDERSTOOD = 502;

/**
 * Notifications for connected CometD clients: a NATS request to the chat-api that has the client. Every chat-api is a
 * destination of its own, so that one that hangs holds up no other.
 *
 * Nobody else has the event for a live client, so no outcome loses it: where the client is known to be gone the session
 * hears it and pushes to the device, or waits for the client; where it is not known the job is handed back, and placed
 * anew as long as it is young. A client that gets an event twice drops it by its index.
 */
export function createCometProvider(bus: RequestBus): Provider<CometTarget> {
  return {
    deviceType: 'comet',
    route: (job) => addressOf(job.deviceId)?.callerId ?? '',
    target: (_options, { route }) => cometTarget(route ?? ''),
    request: (job, { alias, target }) => ({
      path: target.callerId,
      headers: [],
      body: JSON.stringify(cometPush(job, alias)),
    }),
    open: ({ callerId }) => new CometChannel(bus, subjects.comet(callerId)),
    judge: judgeComet,
  };
}

function cometTarget(callerId: string): CometTarget | NoTarget {
  if (callerId === '') return { kind: 'no-target', reason: 'address-not-usable' };
  const origin = `comet:${callerId}`;
  return { kind: 'target', destination: origin, connection: { origin }, callerId };
}

function addressOf(address: string): { callerId: string; clientId: string } | undefined {
  const [callerId, clientId] = cometAddressSchema.safeParse(address).success ? address.split('/') : [];
  return callerId === undefined || clientId === undefined ? undefined : { callerId, clientId };
}

function cometPush(job: PushJob, alias: string): CometPush {
  const { sessionId, userId, chatEnded } = job;
  const clientId = addressOf(job.deviceId)?.clientId ?? '';
  const event = job.kind === 'plain' ? job.event : undefined;
  return { v: 1, clientId, sessionId, userId, alias, chatEnded, ...(event === undefined ? {} : { event }) };
}

function judgeComet(outcome: PostOutcome): JobResult {
  if (outcome.kind === 'answered') {
    if (outcome.status === TAKEN) return { outcome: 'delivered' };
    if (outcome.status === GONE) return { outcome: 'gone', reason: 'comet-client-gone' };
  }
  return { outcome: 'returned', reason: 'comet-no-answer' };
}

class CometChannel implements Channel {
  constructor(
    private readonly bus: RequestBus,
    private readonly subject: string,
  ) {}

  post(post: HttpPost, done: (outcome: PostOutcome) => void): void {
    this.bus.request(this.subject, post.body, { timeoutMs: COMET_TIMEOUT_MS }).then(
      (answer) => done({ kind: 'answered', status: statusOf(answer) }),
      () => done({ kind: 'answered', status: NO_ANSWER }),
    );
  }

  sweep(): void {
    // Every request has its time-out.
  }

  async close(): Promise<void> {
    // The connection is the bus's.
  }
}

function statusOf(answer: Awaited<ReturnType<RequestBus['request']>>): number {
  if (answer.kind === 'no-responders') return GONE;
  if (answer.kind === 'timeout') return NO_ANSWER;
  const read = cometPushAnswerSchema.safeParse(parseJson(answer.text));
  if (!read.success) return NOT_UNDERSTOOD;
  return read.data.status === 'taken' ? TAKEN : GONE;
}
