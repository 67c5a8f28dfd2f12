import { wantsColour } from './config';

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const;
export type Style = keyof typeof codes;

/** Paints text for a terminal; returns it as it is for a file, a pipe or with NO_COLOR. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!wantsColour(stream)) return text;
  const [on, off] = codes[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const GAP = '  ';

function columnWidths({ header, rows }: Table): number[] {
  return header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
}

/** Lines of a table: columns as wide as their widest cell, two blanks between, no trailing blanks. */
export function tableLines(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = columnWidths({ header, rows });
  const line = (cells: readonly string[]) =>
    widths
      .map((width, column) => (cells[column] ?? '').padEnd(width))
      .join(GAP)
      .trimEnd();
  return [line(header), ...rows.map(line)];
}

/** A cut cell shows at least so much; below the second number whole columns are left out first, as far as may be. */
const CUT_CHARS_MIN = 8;
const CUT_CHARS_GOOD = 20;

/**
 * The table as it fits into so many characters: its widest columns are cut, with an ellipsis. Those of `whole` never
 * are; those of `optional` are left out, the first one first, before the others become too narrow to be read.
 */
export function fitTable(
  table: Table,
  to: { widthChars: number; whole: readonly string[]; optional: readonly string[] },
): Table {
  const isCut = table.header.map((title) => !to.whole.includes(title));
  const widths = columnWidths(table);
  const total = () => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  while (total() > to.widthChars) {
    const widest = Math.max(...widths.filter((_, column) => isCut[column]));
    if (!(widest > CUT_CHARS_MIN)) break;
    widths[widths.findLastIndex((width, column) => isCut[column] && width === widest)] = widest - 1;
  }
  const [first, ...others] = to.optional;
  const natural = columnWidths(table);
  const isNarrow = widths.some((width, column) => width < (natural[column] ?? 0) && width < CUT_CHARS_GOOD);
  if (isNarrow && first !== undefined)
    return fitTable(withoutColumn(table, first), { ...to, optional: others });
  const cut = (cells: readonly string[]) => cells.map((cell, column) => ellipsis(cell, widths[column] ?? 0));
  return { header: table.header, rows: table.rows.map(cut) };
}

function withoutColumn({ header, rows }: Table, title: string): Table {
  const at = header.indexOf(title);
  const without = (cells: readonly string[]) => cells.filter((_, column) => column !== at);
  return { header: without(header), rows: rows.map(without) };
}

function ellipsis(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax - 1).trimEnd()}…` : text;
}

/** How wide the terminal is; undefined: it is a file or a pipe, for which nothing is cut. */
export function terminalWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

/** Prints a table with a dimmed header to standard output. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const [head = '', ...body] = tableLines(header, rows);
  printLine(paint('dim', head));
  for (const line of body) printLine(line);
}

/** One line of result, on standard output. */
export function printLine(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** One line of progress. It goes to standard error, so that standard output holds results only. */
export function printProgress(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The result of a command with `--json`: one object on one line, the last line of standard output. */
export function printJson(result: object): void {
  isJsonPrinted = true;
  printLine(JSON.stringify(result));
}

let isJsonPrinted = false;

/** Whoever reads the last line gets an object also from a command that failed before it had a result. */
export function printJsonFailure(error: string): void {
  if (!isJsonPrinted) printJson({ verdict: 'fail', error });
}

/** Prints a verdict by the `--json` convention and sets exit code 1 on "fail". */
export function printVerdict(result: { readonly verdict: 'pass' | 'fail' } & object, json: boolean): void {
  if (json) printJson(result);
  else printLine(result.verdict === 'pass' ? paint('green', 'pass') : paint('red', 'FAIL'));
  if (result.verdict === 'fail') process.exitCode = 1;
}
