import type { Answer } from './answer';

/** The answer to `file/limits` (CONTRACT 1.5), as numbers. */
export interface FileLimits {
  filesMax: number;
  filesUsed: number;
  fileBytesMax: number;
  totalBytesMax: number;
  totalBytesUsed: number;
  /** In lower case; `*` stands for all. */
  types: readonly string[];
  /** Only while an agent is in the chat may files come, and none is. Not said by session-actors of older releases. */
  lacksAgent: boolean;
}

/** Undefined: the answer is a refusal. */
export function readFileLimits({ body, hasAgent }: Answer): FileLimits | undefined {
  const { statusCode, messages } = body;
  if (statusCode !== 0) return undefined;
  const told = messages.find(({ text }) => text === 'file-client-cfg-get')?.userData ?? {};
  const count = (name: string) => Number(told[name] ?? 0);
  return {
    filesMax: count('upload-max-files'),
    filesUsed: count('used-upload-max-files'),
    fileBytesMax: count('upload-max-file-size'),
    totalBytesMax: count('upload-max-total-size'),
    totalBytesUsed: count('used-upload-max-total-size'),
    types: (told['upload-file-types'] ?? '').split(':'),
    lacksAgent: told['upload-need-agent'] === 'true' && hasAgent === false,
  };
}
