import { BOUNDS, errorCodes, isFileTypeAllowed, type ChatFile } from '@flexpush/contracts';
import type { Reply, Work } from './effects';
import { refused, reply } from './reply';
import type { Participant, Session, StoredFile } from './session';
import { say, SYSTEM } from './transcript';

/** The answer to `file/limits`: a notice without a position (CONTRACT 1.5, sample R6). */
export function fileLimits(work: Work, participant: Participant): Reply {
  const { files } = work.options;
  const uploaded = participant.uploaded ?? { files: 0, bytes: 0 };
  const downloads = (work.session.files ?? []).reduce((sum, file) => sum + file.downloads, 0);
  const { nickname, participantId, type } = SYSTEM;
  return reply(work.session, 'ok', {
    hasAgent: hasAgent(work.session),
    notices: [
      {
        from: { nickname, participantId, type },
        type: 'Notice',
        text: 'file-client-cfg-get',
        utcTime: work.atMs,
        userData: {
          'upload-max-files': String(files.filesMax),
          'upload-max-file-size': String(files.fileBytesMax),
          'upload-max-total-size': String(files.totalBytesMax),
          'upload-file-types': files.types.join(':'),
          'upload-need-agent': String(files.needAgent),
          'used-upload-max-files': String(uploaded.files),
          'used-upload-max-total-size': String(uploaded.bytes),
          'download-attempts': String(files.downloadsMax),
          'used-download-attempts': String(downloads),
          'delete-file': files.deleteFile,
        },
      },
    ],
  });
}

/** A customer's upload; its content is stored already. Refused by the limits, with their codes (CONTRACT 1.6). */
export function uploadFile(work: Work, participant: Participant, file: ChatFile): Reply {
  const problem = uploadProblem(work, participant, file);
  if (problem) return refused(work.session, problem);
  const { files, bytes } = participant.uploaded ?? { files: 0, bytes: 0 };
  participant.uploaded = { files: files + 1, bytes: bytes + file.sizeBytes };
  keepFile(work, participant, file);
  return reply(work.session, 'ok', { userData: { 'file-id': file.fileId } });
}

function uploadProblem(
  work: Work,
  participant: Participant,
  file: ChatFile,
): { code: number; reason: string } | undefined {
  const { files: limits } = work.options;
  const { files, bytes } = participant.uploaded ?? { files: 0, bytes: 0 };
  if (limits.needAgent && !hasAgent(work.session))
    return { code: errorCodes.mediaServer, reason: 'files can be uploaded when an agent has joined' };
  const filesMax = Math.min(limits.filesMax, BOUNDS.filesPerSession);
  if (files >= filesMax || isFull(work)) return { code: errorCodes.tooManyFiles, reason: String(filesMax) };
  if (file.sizeBytes > limits.fileBytesMax)
    return { code: errorCodes.fileTooLarge, reason: String(limits.fileBytesMax) };
  if (bytes + file.sizeBytes > limits.totalBytesMax)
    return { code: errorCodes.fileTooLarge, reason: String(limits.totalBytesMax) };
  return isFileTypeAllowed(limits.types, file.name)
    ? undefined
    : { code: errorCodes.fileTypeNotAllowed, reason: limits.types.join(':') };
}

function hasAgent({ participants }: Session): boolean {
  return participants.some(({ type, status, silent }) => type !== 'Client' && status === 'in' && !silent);
}

export function isFull({ session }: Work): boolean {
  return (session.files?.length ?? 0) >= BOUNDS.filesPerSession;
}

/** Notes the file and says that it is there. */
export function keepFile(work: Work, participant: Participant, file: ChatFile): void {
  const { fileId, name, sizeBytes } = file;
  const kept: StoredFile = { fileId, name, sizeBytes, userId: participant.userId, downloads: 0 };
  work.session.files = [...(work.session.files ?? []), kept];
  say(work, participant, {
    type: 'FileUploaded',
    userData: { ...file.userData, 'file-id': fileId, 'file-name': name, 'file-size': String(sizeBytes) },
  });
}

export function findFile({ session }: Work, fileId: string): StoredFile | undefined {
  return session.files?.find((file) => file.fileId === fileId);
}

/** Each download counts, whether or not its content arrives. */
export function permitDownload(work: Work, fileId: string): Reply {
  const file = findFile(work, fileId);
  if (!file) return noSuchFile(work.session);
  const { downloadsMax } = work.options.files;
  if (file.downloads >= downloadsMax)
    return refused(work.session, {
      code: errorCodes.mediaServer,
      reason: `the file was downloaded ${downloadsMax} times, which is the limit`,
    });
  work.session.files = work.session.files?.map((one) =>
    one === file ? { ...file, downloads: file.downloads + 1 } : one,
  );
  return reply(work.session, 'ok', {
    userData: { 'file-id': fileId, 'file-name': file.name, 'file-size': String(file.sizeBytes) },
  });
}

/** Of customers everybody deletes what is its own. */
export function deleteFile(work: Work, participant: Participant, fileId: string): Reply {
  const file = findFile(work, fileId);
  if (!file || file.userId !== participant.userId) return noSuchFile(work.session);
  dropFile(work, participant, fileId);
  return reply(work.session, 'ok', { userData: { 'file-id': fileId } });
}

export function dropFile(work: Work, participant: Participant, fileId: string): void {
  work.session.files = work.session.files?.filter((file) => file.fileId !== fileId);
  say(work, participant, { type: 'FileDeleted', userData: { 'file-id': fileId } });
}

export function noSuchFile(session: Session): Reply {
  return refused(session, { code: errorCodes.notFound, reason: 'there is no such file in this chat' });
}
