import { paint, printLine, type Style } from '../output';
import { areaOf, areas, counted, levels, type Area, type Finding, type Level } from './finding';
import type { Diagnosis } from './judge';

const WIDTH_MAX = 100;
const WIDTH_MIN = 50;
const INDENT = '           ';

const headings: Record<Area, string> = { nats: 'NATS', redis: 'Redis', flexpush: 'flexpush' };
const styles: Record<Level, Style> = { unsafe: 'red', warning: 'yellow', note: 'cyan', ok: 'green' };

/** For people: grouped, the worst first, with what it means and what to do. */
export function printDiagnosis({ findings, counts, profile, verdict }: Diagnosis): void {
  const width = Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, process.stdout.columns ?? WIDTH_MAX));
  for (const area of areas) {
    const own = findings.filter((finding) => areaOf(finding) === area);
    if (own.length === 0) continue;
    printLine(paint('bold', headings[area]));
    for (const level of levels)
      for (const finding of own.filter((one) => one.level === level))
        for (const line of findingLines(finding, width)) printLine(line);
    printLine();
  }
  printLine(
    [
      `${counts.unsafe} unsafe`,
      counted(counts.warning, 'warning'),
      counted(counts.note, 'note'),
      `${counts.ok} ok`,
    ].join(', '),
  );
  if (profile !== null && verdict === 'fail') printLine(`not fit for ${profile}`);
}

/** Painted after wrapping, for colours have no width. */
export function findingLines({ level, title, meaning, advice }: Finding, width: number): string[] {
  const room = width - INDENT.length;
  const [first = '', ...rest] = wrap(title, room);
  return [
    `  ${paint(styles[level], level.padEnd(INDENT.length - 2))}${first}`,
    ...rest.map((line) => `${INDENT}${line}`),
    ...wrap(meaning, room).map((line) => `${INDENT}${paint('dim', line)}`),
    ...wrap(advice === '' ? '' : `-> ${advice}`, room).map((line) => `${INDENT}${line}`),
  ];
}

/** Lines of whole words, each at most so wide unless one word is wider. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter((part) => part !== '')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
