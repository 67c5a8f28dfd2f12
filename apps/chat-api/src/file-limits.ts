import type { ChatResponse } from '@flexpush/contracts';

/** The answer to `file/limits` (CONTRACT 1.5), as numbers. */
export interface FileLimits {
  filesMax: number;
  filesUsed: number;
  fileBytesMax: number;
  totalBytesMax: number;
  totalBytesUsed: number;
  /** In lower case; `*` stands for all. */
  types: readonly string[];
}

/** Undefined: the answer is a refusal. */
export function readFileLimits({ statusCode, messages }: ChatResponse): FileLimits | undefined {
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
  };
}
