import type { Answer } from './answer';
import type { SessionCaller } from './chat-service';
import type { FileService } from './file-service';
import type { FormFields } from './form';
import type { TransferDesk, UploadRequest } from './transfer-desk';

/** The file operations within the bounds of transfers, for whoever speaks HTTP: REST, and chat-ntf of CometD. */
export class FileDesk {
  constructor(
    private readonly files: FileService,
    private readonly transfers: TransferDesk,
  ) {}

  limits(caller: SessionCaller): Promise<Answer> {
    return this.files.limits(caller);
  }

  /**
   * Reads the multipart body of the request. `callerOf` gets the needed fields, which may stand before or behind the
   * file; `chatId` is that of the path, where there is one.
   */
  upload(
    request: UploadRequest,
    needed: readonly string[],
    callerOf: (fields: FormFields) => SessionCaller,
    chatId?: string,
  ): Promise<Answer> {
    return this.transfers.upload(request, { needed, chatId }, (place) => this.files.upload(place, callerOf));
  }

  /** On success the answer has `content`. */
  download(caller: SessionCaller, fileId: string): Promise<Answer> {
    return this.transfers.download(caller, () => this.files.download(caller, fileId));
  }

  delete(caller: SessionCaller, fileId: string): Promise<Answer> {
    return this.files.delete(caller, fileId);
  }
}
