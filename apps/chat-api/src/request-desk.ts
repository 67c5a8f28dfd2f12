import type { FastifyReply, FastifyRequest } from 'fastify';
import { finished } from 'node:stream/promises';
import { invalidAnswer, notEnteredAnswer, unsupportedMediaTypeAnswer, type Answer } from './answer';
import { NO_FIELDS, type Form, type FormFields } from './form';
import { sendAnswer } from './http-answer';
import type { RequestGate } from './request-gate';
import type { RequestJournal } from './request-journal';

export interface ChatCall {
  fields: FormFields;
  idempotencyKey: string | undefined;
}

export interface RequestTarget {
  operation: string;
  chatId?: string;
  /** What the body may be; `upload`: nothing but a multipart form, which `perform` reads itself. */
  body: 'urlencoded' | 'form' | 'upload';
}

/** Unguessable keys are long; longer than this they are a mistake. */
const IDEMPOTENCY_KEY_PATTERN = /^[\x21-\x7e]{16,64}$/;

/** What all operations have in common: the bound, the form, the header, the journal. */
export class RequestDesk {
  constructor(
    private readonly gate: RequestGate,
    private readonly journal: RequestJournal,
  ) {}

  async run(
    request: FastifyRequest,
    reply: FastifyReply,
    target: RequestTarget,
    perform: (call: ChatCall) => Promise<Answer>,
  ): Promise<void> {
    const done = this.journal.begin(target);
    const entry = this.gate.enter();
    if (entry !== 'entered') {
      sendBehind(request, reply, done(notEnteredAnswer(entry, target.chatId)));
      return;
    }
    try {
      const call = readCall(request, target);
      const answer = done(call.kind === 'answer' ? call.answer : await perform(call));
      sendBehind(request, reply, answer);
      // A shutdown waits for what is being sent.
      if (answer.content) await finished(answer.content.stream).catch(() => undefined);
    } finally {
      this.gate.leave();
    }
  }
}

/** Sends the answer; behind a body that nobody has read to its end there is no next request. */
export function sendBehind(request: FastifyRequest, reply: FastifyReply, answer: Answer): void {
  if (isStream(request.body) && !request.raw.readableEnded) void reply.header('connection', 'close');
  sendAnswer(reply, answer);
}

/** What `acceptForms` leaves unread. */
function isStream(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}

function readCall(
  request: FastifyRequest,
  target: RequestTarget,
): ({ kind: 'call' } & ChatCall) | { kind: 'answer'; answer: Answer } {
  const refuse = (answer: Answer) => ({ kind: 'answer' as const, answer });
  const isUpload = isStream(request.body);
  if (isUpload !== (target.body === 'upload'))
    return refuse(unsupportedMediaTypeAnswer('a file is uploaded with multipart/form-data'));
  const form = isUpload ? undefined : (request.body as Form | undefined);
  if (form?.encoding === 'multipart' && target.body === 'urlencoded')
    return refuse(unsupportedMediaTypeAnswer());
  if (form?.kind === 'malformed')
    return refuse(invalidAnswer({ code: 400, advice: form.reason }, target.chatId));
  const idempotencyKey = request.headers['idempotency-key'];
  if (idempotencyKey !== undefined && !isIdempotencyKey(idempotencyKey)) {
    const advice = 'Idempotency-Key must be 16 to 64 visible ASCII characters';
    return refuse(invalidAnswer({ code: 400, advice }, target.chatId));
  }
  return { kind: 'call', fields: form?.fields ?? NO_FIELDS, idempotencyKey };
}

function isIdempotencyKey(value: string | string[]): value is string {
  return typeof value === 'string' && IDEMPOTENCY_KEY_PATTERN.test(value);
}
