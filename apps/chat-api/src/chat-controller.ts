import { Controller, HttpCode, Inject, Post, Req, Res, type Type } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ChatService } from './chat-service';
import { RequestDesk } from './request-desk';

interface ChatPath {
  service: string;
  chatId?: string;
  operation?: string;
}

/** The base path is configured, so the controller is made for it. */
export function chatController(appName: string): Type {
  @Controller(`${appName}/2/chat`)
  class ChatController {
    constructor(
      @Inject(ChatService) private readonly service: ChatService,
      @Inject(RequestDesk) private readonly desk: RequestDesk,
    ) {}

    @Post(':service')
    @HttpCode(200)
    async requestChat(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      const { service } = request.params as ChatPath;
      await this.desk.run(request, reply, { operation: 'requestChat', body: 'form' }, (call) =>
        this.service.requestChat({ service, ...call }),
      );
    }

    @Post(':service/:chatId/:operation')
    @HttpCode(200)
    async onSession(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      const { service, chatId = '', operation = '' } = request.params as ChatPath;
      await this.desk.run(request, reply, { operation, chatId, body: 'urlencoded' }, (call) =>
        this.service.onSession({ service, chatId, operation, ...call }),
      );
    }
  }
  return ChatController;
}
