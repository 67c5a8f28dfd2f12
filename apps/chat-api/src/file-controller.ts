import { Controller, HttpCode, Inject, Post, Req, Res, type Type } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { credentialsIn, type SessionCaller } from './chat-service';
import { FileDesk } from './file-desk';
import { fileOperations } from './operations';
import { RequestDesk, type ChatCall } from './request-desk';

interface FilePath {
  service: string;
  chatId: string;
  fileId?: string;
}

/** The credentials of a REST upload. */
const UPLOAD_NEEDS = ['userId', 'secureKey'];

/** The route whose body is left to be read as it comes. */
export function uploadRoute(appName: string): string {
  return `/${appName}/2/chat/:service/:chatId/${fileOperations.upload}`;
}

/** File operations of CONTRACT 1.2. */
export function fileController(appName: string): Type {
  @Controller(`${appName}/2/chat`)
  class FileController {
    constructor(
      @Inject(FileDesk) private readonly files: FileDesk,
      @Inject(RequestDesk) private readonly desk: RequestDesk,
    ) {}

    @Post(':service/:chatId/file')
    @HttpCode(200)
    async upload(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      const { service, chatId } = request.params as FilePath;
      const operation = fileOperations.upload;
      const target = { operation, chatId, body: 'upload' } as const;
      await this.desk.run(request, reply, target, ({ idempotencyKey }) =>
        this.files.upload(
          request,
          UPLOAD_NEEDS,
          (fields) => ({ operation, service, chatId, idempotencyKey, ...credentialsIn(fields) }),
          chatId,
        ),
      );
    }

    @Post(':service/:chatId/file/limits')
    @HttpCode(200)
    async limits(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      await this.run(request, reply, 'file/limits', (caller) => this.files.limits(caller));
    }

    @Post(':service/:chatId/file/:fileId/download')
    @HttpCode(200)
    async download(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      await this.run(request, reply, fileOperations.download, (caller, fileId) =>
        this.files.download(caller, fileId),
      );
    }

    @Post(':service/:chatId/file/:fileId/delete')
    @HttpCode(200)
    async delete(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      await this.run(request, reply, fileOperations.delete, (caller, fileId) =>
        this.files.delete(caller, fileId),
      );
    }

    private async run(
      request: FastifyRequest,
      reply: FastifyReply,
      operation: string,
      perform: (caller: SessionCaller, fileId: string) => ReturnType<FileDesk['delete']>,
    ): Promise<void> {
      const { service, chatId, fileId = '' } = request.params as FilePath;
      const target = { operation, chatId, body: 'urlencoded' } as const;
      await this.desk.run(request, reply, target, ({ fields, idempotencyKey }: ChatCall) =>
        perform({ operation, service, chatId, idempotencyKey, ...credentialsIn(fields) }, fileId),
      );
    }
  }
  return FileController;
}
