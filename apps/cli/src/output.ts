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

/** Lines of a table: columns as wide as their widest cell, two blanks between, no trailing blanks. */
export function tableLines(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    widths
      .map((width, column) => (cells[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)];
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
