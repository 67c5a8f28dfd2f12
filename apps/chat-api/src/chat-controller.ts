import { Controller, HttpCode, Inject, Post, Req, Res, type Type } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { invalidAnswer, unavailableAnswer, unsupportedMediaTypeAnswer, type Answer } from './answer';
import { ChatService } from './chat-service';
import { NO_FIELDS, type Form, type FormFields } from './form';
import { RequestJournal } from './request-journal';
import { RequestGate } from './request-gate';
import { sendAnswer } from './http-answer';

interface ChatPath {
  service: string;
  chatId?: string;
  operation?: string;
}

interface ChatCall {
  fields: FormFields;
  idempotencyKey: string | undefined;
}

/** Unguessable keys are long; longer than this they are a mistake. */
const IDEMPOTENCY_KEY_PATTERN = /^[\x21-\x7e]{16,64}$/;

/** The base path is configured, so the controller is made for it. */
export function chatController(appName: string): Type {
  @Controller(`${appName}/2/chat`)
  class ChatController {
    constructor(
      @Inject(ChatService) private readonly service: ChatService,
      @Inject(RequestGate) private readonly gate: RequestGate,
      @Inject(RequestJournal) private readonly journal: RequestJournal,
    ) {}

    @Post(':service')
    @HttpCode(200)
    async requestChat(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      const { service } = request.params as ChatPath;
      await this.run(request, reply, { operation: 'requestChat', multipart: true }, (call) =>
        this.service.requestChat({ service, ...call }),
      );
    }

    @Post(':service/:chatId/:operation')
    @HttpCode(200)
    async onSession(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      const { service, chatId = '', operation = '' } = request.params as ChatPath;
      await this.run(request, reply, { operation, chatId, multipart: false }, (call) =>
        this.service.onSession({ service, chatId, operation, ...call }),
      );
    }

    /** What all operations have in common: the bound, the form, the header, the journal. */
    private async run(
      request: FastifyRequest,
      reply: FastifyReply,
      target: { operation: string; chatId?: string; multipart: boolean },
      perform: (call: ChatCall) => Promise<Answer>,
    ): Promise<void> {
      const done = this.journal.begin(target);
      const entry = this.gate.enter();
      if (entry !== 'entered') {
        const advice = entry === 'full' ? 'too many requests are under way' : 'this server is stopping';
        sendAnswer(
          reply,
          done(unavailableAnswer(`${advice}; the same request may be retried`, target.chatId)),
        );
        return;
      }
      try {
        const call = readCall(request, target);
        sendAnswer(reply, done(call.kind === 'answer' ? call.answer : await perform(call)));
      } finally {
        this.gate.leave();
      }
    }
  }
  return ChatController;
}

function readCall(
  request: FastifyRequest,
  target: { chatId?: string; multipart: boolean },
): ({ kind: 'call' } & ChatCall) | { kind: 'answer'; answer: Answer } {
  const refuse = (answer: Answer) => ({ kind: 'answer' as const, answer });
  const form = request.body as Form | undefined;
  if (form?.encoding === 'multipart' && !target.multipart) return refuse(unsupportedMediaTypeAnswer());
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
