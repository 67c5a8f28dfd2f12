import { checkOption, findOption, whyElsewhere } from '@flexpush/contracts';

/** What became of one line of an imported file. */
export interface ImportedLine {
  line: number;
  section: string;
  name: string;
  /** `without-effect`: accepted, and nobody reads it. `elsewhere`: an option of the original that is none here. */
  outcome: 'taken' | 'without-effect' | 'elsewhere' | 'unknown' | 'out-of-range' | 'unreadable';
  /** As it is stored. */
  value?: string;
  reason?: string;
}

const SECTION_PATTERN = /^\[([^\]]*)\]$/;
const BYTE_ORDER_MARK = '\uFEFF';
/** A file with more lines is no configuration. */
export const IMPORT_LINES_MAX = 10_000;

/**
 * Reads a configuration as the original exports it: `[section]`, then `name=value` lines; lines that begin with `#` or
 * `;` are comments. Every other line is told of, whether it is good or not. Of two lines for one option the later counts.
 */
export function readImport(text: string): ImportedLine[] {
  const lines = text.replace(BYTE_ORDER_MARK, '').split(/\r?\n/);
  if (lines.length > IMPORT_LINES_MAX) throw new Error(`the file has more than ${IMPORT_LINES_MAX} lines`);
  let section = '';
  return lines.flatMap((raw, i): ImportedLine[] => {
    const text = raw.trim();
    if (text === '' || text.startsWith('#') || text.startsWith(';')) return [];
    const heading = SECTION_PATTERN.exec(text);
    if (heading) {
      section = (heading[1] ?? '').trim();
      return [];
    }
    return [{ line: i + 1, ...readLine(section, text) }];
  });
}

function readLine(section: string, text: string): Omit<ImportedLine, 'line'> {
  const equals = text.indexOf('=');
  const name = (equals < 0 ? text : text.slice(0, equals)).trim();
  const at = { section, name };
  if (equals <= 0 || section === '') {
    const reason = equals <= 0 ? 'it is neither [section] nor name=value' : 'no [section] stands above it';
    return { ...at, name: name.slice(0, 80), outcome: 'unreadable', reason };
  }
  const why = whyElsewhere(name);
  const spec = findOption(section, name);
  if (!spec && why !== undefined) return { ...at, outcome: 'elsewhere', reason: why };
  const check = checkOption(section, name, text.slice(equals + 1).trim());
  if (check.kind === 'refused')
    return { ...at, outcome: spec ? 'out-of-range' : 'unknown', reason: check.reason };
  const { value } = check;
  return check.spec.readBy.length === 0
    ? { ...at, outcome: 'without-effect', value, reason: check.spec.meaning }
    : { ...at, outcome: 'taken', value };
}

/** Is there a line that the user has to look at? */
export function isClean(lines: readonly ImportedLine[]): boolean {
  return lines.every(({ outcome }) => !['unknown', 'out-of-range', 'unreadable'].includes(outcome));
}
