import {
  checkOption,
  describeRange,
  findOption,
  optionCatalogue,
  optionKey,
  parseOptionKey,
  type OptionSpec,
  type OptionValues,
} from '@flexpush/contracts';
import { openOptionStore, type OptionStore } from '@flexpush/nats-bus';
import type { Command } from 'commander';
import { readInput } from './input-file';
import { isClean, readImport, type ImportedLine } from './options-import';
import { BY_DEFAULT, inForce } from './options-in-force';
import { fitTable, paint, printJson, printLine, printTable, terminalWidth, type Table } from './output';
import { withBus, withTarget, type TargetOptions } from './target';

const CELL_CHARS_MAX = 80;

interface OptionsCommandOptions extends TargetOptions {
  readonly json?: boolean;
}

interface ImportOptions extends OptionsCommandOptions {
  readonly dryRun?: boolean;
}

interface SetOptions extends OptionsCommandOptions {
  readonly file?: string;
}

/** On a command line a secret would stand in the shell's history and in every list of processes. */
function valueOf(value: string | undefined, file: string | undefined): string {
  if ((value === undefined) === (file === undefined)) throw new Error('give either a value or --file');
  if (file === undefined) return value ?? '';
  const text = readInput(file);
  // Editors and shells end files with a line break that belongs to no value.
  return text.replace(/\r?\n$/, '');
}

export function registerOptions(program: Command): void {
  const options = program
    .command('options')
    .description('Look at and change the options of a running system; changes take effect at once.');
  withTarget(options.command('list'))
    .description('Every option: value, default, range and meaning; cut to the width of a terminal.')
    .option('--json', 'print one JSON object')
    .action((given: OptionsCommandOptions) => list(given));
  withTarget(options.command('show'))
    .description('All of one option, in whole: where it is set, value, default, range and meaning.')
    .argument('<name>', 'such as flex-push-resend-delay')
    .option('--json', 'print one JSON object')
    .action((name: string, given: OptionsCommandOptions) => show(name, given));
  withTarget(options.command('get'))
    .description(
      'The value that holds in a section: its own, else that of the section above, else the default.',
    )
    .argument('<section>')
    .argument('<name>')
    .option('--json', 'print one JSON object')
    .action((section: string, name: string, given: OptionsCommandOptions) => get({ section, name }, given));
  withTarget(options.command('set'))
    .description('Set a value. One that is out of range is refused, and the present value stays.')
    .argument('<section>', 'such as settings, chat, chat.<service>, push, push.provider.<name>')
    .argument('<name>')
    .argument('[value]')
    .option(
      '--file <path>',
      'take the value from a file, or from standard input with "-"; for keys and certificates',
    )
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  $ npx flexpush options set settings flex-push-resend-delay 30\n  $ npx flexpush options set push apple.key --file AuthKey.p8\n',
    )
    .action((section: string, name: string, value: string | undefined, given: SetOptions) =>
      set({ section, name, value: valueOf(value, given.file) }, given),
    );
  withTarget(options.command('import'))
    .description('Take over a configuration of the original: [section] lines with name=value below them.')
    .argument('<file>', 'the file; - reads standard input')
    .option('--dry-run', 'report, and set nothing')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      '\nEvery line is reported. What is valid is set; exit code 1 says that some line was not.\n' +
        '\nExample:\n  $ npx flexpush options import gms.conf --dry-run\n',
    )
    .action((file: string, given: ImportOptions) => importFile(file, given));
  withTarget(options.command('unset'))
    .description('Take a value back, and say what holds now: the value of the section above, or the default.')
    .argument('<section>')
    .argument('<name>')
    .option('--json', 'print one JSON object')
    .action((section: string, name: string, given: OptionsCommandOptions) => unset({ section, name }, given));
}

async function withStore<T>(target: TargetOptions, task: (store: OptionStore) => Promise<T>): Promise<T> {
  return withBus(target, async (bus) => {
    const store = await openOptionStore(bus);
    try {
      return await task(store);
    } finally {
      store.close();
    }
  });
}

/** A row for each catalogue entry that is unset, and one for each place where it is set. */
function rowsOf(values: OptionValues): { section: string; spec: OptionSpec; value: string | undefined }[] {
  return optionCatalogue.flatMap((spec) => {
    const places = Object.keys(values)
      .map((key) => parseOptionKey(key))
      .filter(
        (at) =>
          at?.name === spec.name &&
          checkOption(at.section, at.name, values[optionKey(at.section, at.name)] ?? '').kind === 'ok',
      );
    const set = places.flatMap((at) =>
      at ? [{ section: at.section, spec, value: values[optionKey(at.section, at.name)] }] : [],
    );
    return set.length > 0 ? set : [{ section: spec.sections.join(' | '), spec, value: undefined }];
  });
}

/** What is set of a secret, and credentials in a URL, are never printed: terminals and pipelines keep what they show. */
function shown(spec: OptionSpec, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (spec.type.kind === 'secret') return '(set, hidden)';
  return spec.type.kind === 'url' ? value.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1(hidden)@') : value;
}

/** In a table certificates and localizations are only told from each other; `get` shows them whole. */
function clipped(value: string): string {
  const line = value.replace(/\s+/g, ' ');
  return line.length > CELL_CHARS_MAX ? `${line.slice(0, CELL_CHARS_MAX)}...` : line;
}

/** What was set, as far as it fits a line: nobody reads a certificate that goes by, and `get` shows it. */
function confirmed(value: string): string {
  const [first = '', ...further] = value.trim().split(/\r?\n/);
  if (further.length === 0 && first.length <= CELL_CHARS_MAX) return value;
  return `${Buffer.byteLength(value)} bytes, beginning with ${JSON.stringify(first.slice(0, CELL_CHARS_MAX))}`;
}

type Row = ReturnType<typeof rowsOf>[number];

async function readRows(given: OptionsCommandOptions): Promise<Row[]> {
  return rowsOf(await withStore(given, (store) => Promise.resolve(store.values())));
}

function jsonOf({ section, spec, value }: Row): object {
  return {
    section,
    name: spec.name,
    value: shown(spec, value) ?? spec.default ?? null,
    isSet: value !== undefined,
    default: spec.default ?? null,
    range: describeRange(spec.type),
    since: spec.since,
    meaning: spec.meaning,
  };
}

async function list(given: OptionsCommandOptions): Promise<void> {
  const rows = await readRows(given);
  if (given.json) return printJson({ options: rows.map(jsonOf) });
  const table: Table = {
    header: ['SECTION', 'NAME', 'VALUE', 'DEFAULT', 'RANGE', 'MEANING'],
    rows: rows.map(({ section, spec, value }) => [
      section,
      spec.name,
      clipped(shown(spec, value) ?? spec.default ?? '-'),
      spec.default ?? '-',
      describeRange(spec.type),
      spec.meaning,
    ]),
  };
  const widthChars = terminalWidth();
  if (widthChars === undefined) return printTable(table.header, table.rows);
  const fitted = fitTable(table, { widthChars, whole: ['NAME'], optional: ['RANGE', 'DEFAULT'] });
  printTable(fitted.header, fitted.rows);
  printLine(paint('dim', 'flexpush options show <name> tells all of one.'));
}

async function show(name: string, given: OptionsCommandOptions): Promise<void> {
  // Checked before connecting: a typing error needs no server.
  if (!optionCatalogue.some((spec) => spec.name === name))
    throw new Error(`there is no option "${name}"; see "flexpush options list"`);
  const rows = (await readRows(given)).filter(({ spec }) => spec.name === name);
  if (given.json) return printJson({ options: rows.map(jsonOf) });
  rows.forEach((row, i) => {
    const { section, spec, value } = row;
    if (i > 0) printLine();
    const lines = [
      ['section', section],
      ['value', value === undefined ? 'not set' : (shown(spec, value) ?? '')],
      ['default', spec.default ?? 'none'],
      ['range', describeRange(spec.type)],
      ['since', spec.since],
      ['meaning', spec.meaning],
    ];
    printLine(spec.name);
    for (const [title = '', text = ''] of lines) printLine(`  ${paint('dim', title.padEnd(7))}  ${text}`);
  });
}

/** Throws for an option that is not in the catalogue, so that a typing error never looks like an unset one. */
function specOf(at: { section: string; name: string }): OptionSpec {
  const spec = findOption(at.section, at.name);
  if (spec) return spec;
  const refused = checkOption(at.section, at.name, '');
  throw new Error(refused.kind === 'refused' ? refused.reason : `no option ${at.section}/${at.name}`);
}

async function get(at: { section: string; name: string }, given: OptionsCommandOptions): Promise<void> {
  const spec = specOf(at);
  const values = await withStore(given, (store) => Promise.resolve(store.values()));
  const { value, source } = inForce(values, at);
  const text = shown(spec, value ?? undefined) ?? null;
  const isSet = source === at.section;
  if (given.json) printJson({ ...at, value: text, isSet, source, default: spec.default ?? null });
  else printLine(text ?? '(not set)');
}

async function set(
  asked: { section: string; name: string; value: string },
  given: OptionsCommandOptions,
): Promise<void> {
  const { section, name } = asked;
  // Checked before connecting: a refusal needs no server.
  const early = checkOption(section, name, asked.value);
  if (early.kind === 'refused') throw new Error(early.reason);
  await withStore(given, (store) => store.set(section, name, asked.value));
  const value = shown(early.spec, early.value);
  if (given.json) printJson({ section, name, value });
  else printLine(`${section}/${name} = ${confirmed(value ?? '')}`);
}

async function unset(at: { section: string; name: string }, given: OptionsCommandOptions): Promise<void> {
  const spec = specOf(at);
  const { [optionKey(at.section, at.name)]: _taken, ...left } = await withStore(given, async (store) => {
    await store.unset(at.section, at.name);
    return store.values();
  });
  const { value, source } = inForce(left, at);
  const text = shown(spec, value ?? undefined) ?? null;
  if (given.json) return printJson({ ...at, value: text, source });
  const place = `${at.section}/${at.name}`;
  if (text === null) {
    printLine(`${place} is not set, and has no default`);
    return printLine(paint('dim', spec.meaning));
  }
  const unit = spec.type.kind === 'integer' && spec.type.unit === 's' ? ' seconds' : '';
  const why = source === BY_DEFAULT ? 'the default' : `from section ${source}`;
  printLine(`${place} = ${text === '' ? 'nothing' : `${text}${unit}`} (${why})`);
}

const outcomeWords: Record<ImportedLine['outcome'], string> = {
  taken: 'taken',
  'without-effect': 'no effect',
  elsewhere: 'not here',
  unknown: 'unknown',
  'out-of-range': 'not valid',
  unreadable: 'unreadable',
};

/** Sets what is valid. Exits with 1 when some line is not, so that a script does not go on with half a configuration. */
async function importFile(file: string, given: ImportOptions): Promise<void> {
  const read = readImport(readInput(file));
  const toSet = read.filter(({ value }) => value !== undefined);
  const lines = read.map((line) => ({ ...line, value: shownOf(line) }));
  if (given.dryRun !== true && toSet.length > 0)
    await withStore(given, async (store) => {
      for (const { section, name, value } of toSet) await store.set(section, name, value ?? '');
    });
  if (given.json) printJson({ dryRun: given.dryRun === true, clean: isClean(lines), lines });
  else {
    printTable(
      ['LINE', 'OUTCOME', 'OPTION', 'VALUE OR REASON'],
      lines.map(({ line, outcome, section, name, value, reason }) => [
        String(line),
        outcomeWords[outcome],
        section === '' ? name : `${section}/${name}`,
        outcome === 'taken' ? (value ?? '') : (reason ?? ''),
      ]),
    );
    const verb = given.dryRun === true ? 'would be set' : 'set';
    printLine(`${toSet.length} of ${lines.length} lines ${verb}.`);
  }
  if (!isClean(lines)) process.exitCode = 1;
}

function shownOf({ section, name, value }: ImportedLine): string | undefined {
  const spec = findOption(section, name);
  return spec && value !== undefined ? shown(spec, value) : value;
}
