import { localizationProblem, optionKey, type OptionValues } from '@flexpush/contracts';
import { open } from 'node:fs/promises';

/** As many as option `localization` takes. */
export const LOCALIZATION_BYTES_MAX = 65_536;
const FILE = optionKey('push', 'localizationFileLocation');
const TEXT = optionKey('push', 'localization');

/**
 * Puts the content of the localization file where delivery looks for texts: into option `localization`, unless that is
 * set. The file is read at the start and whenever an option changes.
 *
 * L1. Options never wait for the file: they hold at once, with what was read of it last.
 * L2. A file that cannot be read, or is not of the form, is told, and what was read of it last stays in force.
 */
export class LocalizationFile {
  private known: { path: string; text: string } | undefined;
  private turn = 0;
  private reading: Promise<void> = Promise.resolve();

  constructor(
    private readonly log: { warn(fields: object, fact: string): void },
    private readonly use: (values: OptionValues) => void,
  ) {}

  apply(values: OptionValues): void {
    this.turn += 1;
    const path = values[FILE];
    if (path === undefined || path === '' || values[TEXT] !== undefined) {
      this.use(values);
      return;
    }
    this.use(this.withText(values, path));
    const { turn } = this;
    this.reading = readText(path).then(
      (text) => {
        if (turn !== this.turn || (this.known?.path === path && this.known.text === text)) return;
        this.known = { path, text };
        this.use(this.withText(values, path));
      },
      (error: unknown) => this.log.warn({ path, err: error }, 'localization.not-read'),
    );
  }

  /** Resolves when the file has been read, or has been found unreadable. */
  async settled(): Promise<void> {
    await this.reading;
  }

  private withText(values: OptionValues, path: string): OptionValues {
    return this.known?.path === path ? { ...values, [TEXT]: this.known.text } : values;
  }
}

/** Thrown for a file that is there and not usable. */
class LocalizationFileError extends Error {
  readonly code = 'LOCALIZATION_FILE';
  readonly retryable = false;
}

async function readText(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    // Anything but a file, such as a pipe, could keep the reader for ever.
    if (!(await file.stat()).isFile()) throw new LocalizationFileError('it is not a file');
    const buffer = Buffer.alloc(LOCALIZATION_BYTES_MAX + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > LOCALIZATION_BYTES_MAX)
      throw new LocalizationFileError(`it is larger than ${LOCALIZATION_BYTES_MAX} bytes`);
    const text = buffer.toString('utf8', 0, bytesRead);
    const problem = localizationProblem(text);
    if (problem !== undefined) throw new LocalizationFileError(`it must be ${problem}`);
    return text;
  } finally {
    await file.close();
  }
}
